//! The stream by which verifiers outside learn what is no longer good: whole, in time, one project's own, and gone on with.

use std::time::{Duration, Instant, SystemTime};

use api::gateway::v1::{
    Invalidation, WatchInvalidationsRequest, WatchInvalidationsResponse, invalidation::Subject,
    watch_invalidations_response::Message,
};
use client::Client;
use serde_json::json;
use testkit::{Cluster, caller::Project};
use tonic::{Code, Status, Streaming};

const PATIENCE: Duration = Duration::from_secs(20);

async fn watch(project: &Project<'_>, cursor: &str) -> Result<Streaming<WatchInvalidationsResponse>, Status> {
    watch_with(project, &project.token, cursor).await
}

async fn watch_with(
    project: &Project<'_>,
    token: &str,
    cursor: &str,
) -> Result<Streaming<WatchInvalidationsResponse>, Status> {
    let client = Client::new(&format!("http://{}", project.cluster.access().gateway), Default::default()).unwrap();
    client.set_token(token.to_owned().into());
    let mut request = tonic::Request::new(WatchInvalidationsRequest { cursor: cursor.to_owned() });
    request.set_timeout(PATIENCE);
    Ok(client.tokens().watch_invalidations(request).await?.into_inner())
}

async fn next(stream: &mut Streaming<WatchInvalidationsResponse>) -> WatchInvalidationsResponse {
    tokio::time::timeout(PATIENCE, stream.message()).await.expect("it says nothing").unwrap().unwrap()
}

/// What is told until the stream has come as far as now.
async fn told_until_now(stream: &mut Streaming<WatchInvalidationsResponse>) -> (Vec<Invalidation>, String) {
    let (asked, mut told) = (SystemTime::now(), Vec::new());
    loop {
        let message = next(stream).await;
        match message.message.unwrap() {
            Message::Invalidation(invalidation) => told.push(invalidation),
            Message::Heartbeat(heartbeat) => {
                if heartbeat.time.is_some_and(|time| SystemTime::try_from(time).unwrap() >= asked) {
                    return (told, message.cursor);
                }
            }
            Message::Reset(reset) => panic!("{reset:?}"),
        }
    }
}

fn names(told: &[Invalidation], id: &str) -> bool {
    told.iter().any(|invalidation| matches!(&invalidation.subject, Some(Subject::MemberId(member)) if member == id))
}

#[tokio::test]
async fn a_stream_tells_what_is_in_force_and_what_comes_and_of_no_other_project() {
    let cluster = Cluster::shared().await;
    let (project, other) = (cluster.project().await, cluster.project().await);
    let (acme, theirs) = (project.organization("acme").await, other.organization("acme").await);
    let (ada, grace) = (acme.join("ada", &["member"]).await, acme.join("grace", &["member"]).await);
    let stranger = theirs.join("mallory", &["member"]).await;
    let remove = |organization: &str, member: &str| json!({"organization_id": organization, "member_id": member});
    project.account.call("MemberService/RemoveMember", remove(&acme.id, &ada.id)).await;
    other.account.call("MemberService/RemoveMember", remove(&theirs.id, &stranger.id)).await;

    let mut stream = watch(&project, "").await.unwrap();
    let (told, cursor) = told_until_now(&mut stream).await;
    assert!(names(&told, &ada.id) && !names(&told, &stranger.id), "{told:?}");
    project.account.call("MemberService/RemoveMember", remove(&acme.id, &grace.id)).await;
    let removed = Instant::now();
    loop {
        let message = next(&mut stream).await;
        if let Some(Message::Invalidation(told)) = &message.message
            && names(std::slice::from_ref(told), &grace.id)
            && told.every_token
        {
            break;
        }
        assert!(removed.elapsed() < PATIENCE, "it was not told");
    }
    drop(stream);
    // Gone on with.
    let (told, _) = told_until_now(&mut watch(&project, &cursor).await.unwrap()).await;
    assert!(names(&told, &grace.id) && !names(&told, &stranger.id), "{told:?}");
    // Nobody goes on with another's, and only a project's own credential may watch.
    for bad in [cursor.as_str(), "nonsense", "AAAA"] {
        let refused = watch(&other, bad).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{bad}: {refused:?}");
    }
    let refused = watch_with(&project, &acme.owner().tokens.access, "").await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    let refused = watch_with(&project, "nonsense", "").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
}

#[tokio::test]
async fn a_cursor_that_is_too_old_begins_with_a_reset() {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let project = Cluster::shared().await.project().await;
    let (_, cursor) = told_until_now(&mut watch(&project, "").await.unwrap()).await;
    let mut bytes = URL_SAFE_NO_PAD.decode(&cursor).unwrap();
    let micros = i64::from_be_bytes(bytes[16..].try_into().unwrap()) - 3_600_000_000;
    bytes[16..].copy_from_slice(&micros.to_be_bytes());
    let mut stream = watch(&project, &URL_SAFE_NO_PAD.encode(bytes)).await.unwrap();
    let Some(Message::Reset(reset)) = next(&mut stream).await.message else { panic!("no reset") };
    let age = SystemTime::now().duration_since(reset.time.unwrap().try_into().unwrap()).unwrap();
    assert!(age >= Duration::from_secs(300), "no token that could still be good is refused for it: {age:?}");
    told_until_now(&mut stream).await;
}

#[tokio::test]
async fn a_project_has_so_many_streams_and_no_more() {
    let cluster = Cluster::shared().await;
    let (project, other) = (cluster.project().await, cluster.project().await);
    let mut open = Vec::new();
    let refused = loop {
        match watch(&project, "").await {
            Ok(stream) => open.push(stream),
            Err(refused) => break refused,
        }
        assert!(open.len() <= 64);
    };
    assert_eq!((refused.code(), open.len()), (Code::ResourceExhausted, 64), "{refused:?}");
    watch(&other, "").await.unwrap();
    open.clear();
    let begun = Instant::now();
    while watch(&project, "").await.is_err() {
        assert!(begun.elapsed() < PATIENCE, "those that ended are counted on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_credential() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let operator = cluster.operator().await;
    let account = json!({"project_id": project.id, "service_account": {"display_name": "verifier"}});
    let account = operator.call("ServiceAccountService/CreateProjectServiceAccount", account).await;
    let (id, secret) = (account["client_id"].as_str().unwrap(), account["client_secret"].as_str().unwrap());
    let token = cluster.client_credentials(id, secret).await.unwrap();
    let mut stream = watch_with(&project, &token, "").await.unwrap();
    told_until_now(&mut stream).await;
    let delete = json!({"service_account_id": id});
    project.account.call("ServiceAccountService/DeleteServiceAccount", delete).await;
    let begun = Instant::now();
    let ended = loop {
        match stream.message().await {
            Ok(Some(_)) => assert!(begun.elapsed() < PATIENCE, "it goes on"),
            Ok(None) => panic!("it ends without a word"),
            Err(status) => break status,
        }
    };
    assert_eq!(ended.code(), Code::Unauthenticated, "{ended:?}");
}
