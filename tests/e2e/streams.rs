//! Streams through the gateway: as large as they are, at the pace of whoever reads them, with the status at their end.

use std::{
    fs,
    time::{Duration, Instant},
};

use api::{
    authz::v1::{
        ExportOrganizationRequest, ExportOrganizationResponse, WatchRevisionsRequest,
        authorization_service_client::AuthorizationServiceClient,
    },
    member::v1::{Identity, ImportIdentitiesRequest, identity_service_client::IdentityServiceClient},
};
use serde_json::{Value, json};
use testkit::{Cluster, caller::Organization};
use tonic::{Code, Request, Streaming, transport::Channel};

/// An export of a few megabytes: much more than all that lies between its writer and its reader may hold.
const RECORDS: usize = 12_000;
const BATCH: usize = 500;

/// A reader that lets others be ahead of it by 16 KiB.
async fn reader(cluster: &Cluster) -> AuthorizationServiceClient<Channel> {
    let endpoint = Channel::from_shared(format!("http://{}", cluster.access().gateway)).unwrap();
    let endpoint = endpoint.initial_stream_window_size(16 * 1024).initial_connection_window_size(64 * 1024);
    AuthorizationServiceClient::new(endpoint.connect().await.unwrap())
}

fn as_owner<T>(organization: &Organization<'_>, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {}", organization.owner().tokens.access);
    request.metadata_mut().insert("authorization", bearer.parse().unwrap());
    request
}

async fn export(cluster: &Cluster, organization: &Organization<'_>) -> Streaming<ExportOrganizationResponse> {
    let message = ExportOrganizationRequest { organization_id: organization.id.clone(), consistency: None };
    let begun = Instant::now();
    loop {
        match reader(cluster).await.export_organization(as_owner(organization, message.clone())).await {
            Ok(answer) => return answer.into_inner(),
            // One at a time: the last has not ended yet.
            Err(status) => assert!(begun.elapsed() < Duration::from_secs(20), "{status:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn large<'c>(project: &testkit::caller::Project<'c>) -> Organization<'c> {
    let organization = project.organization("large").await;
    let catalog = json!({"catalog": {"resource_types": [{"name": "document", "verbs": ["read"]}]}});
    project.account.call("CatalogService/UpdateCatalog", catalog).await;
    let long = "x".repeat(100);
    for batch in 0..RECORDS / BATCH {
        let resource =
            |n: usize| json!({"resource": {"type": "document", "id": format!("{long}-{}", batch * BATCH + n)}});
        let resources: Vec<Value> = (0..BATCH).map(resource).collect();
        let request = json!({"organization_id": organization.id, "resources": resources});
        organization.owner().caller.call("ResourceService/RegisterResources", request).await;
    }
    organization
}

/// Resident memory, in KiB.
fn memory(cluster: &Cluster, name: &str) -> u64 {
    let pid = cluster.pid(name).unwrap();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_stream_goes_at_its_reader_s_pace_and_ends_when_the_reader_goes() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let large = large(&project).await;

    // All of it, to the status at its end.
    let mut all = export(cluster, &large).await;
    let mut count = 0;
    while let Some(message) = all.message().await.unwrap() {
        count += usize::from(message.record.is_some());
    }
    assert!(count >= RECORDS, "{count} records");
    drop(all);

    // Somebody who begins and does not read on: what there is to read stays where it comes from.
    let before = memory(cluster, "gateway");
    let mut idle = export(cluster, &large).await;
    idle.message().await.unwrap().expect("a record");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let grown = memory(cluster, "gateway").saturating_sub(before);
    assert!(grown < 2 * 1024, "the gateway holds {grown} KiB more");

    // Who goes away takes the work along: an organization is exported once at a time.
    drop(idle);
    let mut next = export(cluster, &large).await;
    next.message().await.unwrap().expect("a record");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_whose_service_dies_ends_with_a_status() {
    let cluster = Cluster::start().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let message = WatchRevisionsRequest { organization_id: acme.id.clone(), ..Default::default() };
    let stream = reader(&cluster).await.watch_revisions(as_owner(&acme, message)).await.unwrap();
    let mut stream = stream.into_inner();
    stream.message().await.unwrap().expect("where it begins");
    cluster.kill("authz-service");
    let status = loop {
        match tokio::time::timeout(Duration::from_secs(20), stream.message()).await.expect("it ends") {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended as if all were well"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
}

/// Longer than a call without a deadline waits for its answer: this one begins when all of the request has come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_streams_may_take_its_time() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let endpoint = Channel::from_shared(format!("http://{}", cluster.access().gateway)).unwrap();
    let messages = futures::stream::unfold(0, |sent| async move {
        let identity = Identity { email_address: format!("x{sent}@slow.test"), ..Default::default() };
        let message = ImportIdentitiesRequest { identity: Some(identity), ..Default::default() };
        tokio::time::sleep(Duration::from_secs(4)).await;
        (sent < 3).then_some((message, sent + 1))
    });
    let mut request = Request::new(messages);
    request.metadata_mut().insert("authorization", format!("Bearer {}", project.token).parse().unwrap());
    let imported = IdentityServiceClient::new(endpoint.connect().await.unwrap())
        .import_identities(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!((imported.created_count, imported.refused_count), (3, 0));
}
