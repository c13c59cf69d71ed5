//! Rights that were good when a stream was opened. Tokens that were given before, and decisions, are looked at in `e2e`: `epochs`,
//! `replicas`, `offline_verifier`.

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Caller, Member, Organization, Project, text, unique},
};
use tonic::{Code, Request, Status, Streaming, metadata::MetadataValue, transport::Channel};

use api::{
    authz::v1::{
        ExportOrganizationRequest, ListResourcesRequest, Subject, WatchRevisionsRequest, WatchRevisionsResponse,
        authorization_service_client::AuthorizationServiceClient, subject,
    },
    gateway::v1::{WatchInvalidationsRequest, WatchInvalidationsResponse, token_service_client::TokenServiceClient},
};

/// A right is asked for again each second, and a machine with three other tests on it takes its time.
pub const WITHIN: Duration = Duration::from_secs(5);
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", MetadataValue::try_from(format!("Bearer {token}")).unwrap());
    request
}

pub fn channel(address: std::net::SocketAddr) -> Channel {
    Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy()
}

/// A stream that somebody reads on, come what may.
struct Reader<M> {
    what: String,
    stream: Streaming<M>,
}

impl Reader<WatchRevisionsResponse> {
    async fn of_revisions(
        cluster: &Cluster,
        door: &str,
        organization: &str,
        token: &str,
        include_changes: bool,
    ) -> Self {
        let message =
            WatchRevisionsRequest { organization_id: organization.to_owned(), include_changes, ..Default::default() };
        let mut client = AuthorizationServiceClient::new(channel(cluster.door(door)));
        let mut stream = client.watch_revisions(with_token(message, token)).await.unwrap().into_inner();
        stream.message().await.unwrap().expect("where it begins");
        Self { what: format!("WatchRevisions at {door}, changes: {include_changes}"), stream }
    }
}

impl Reader<WatchInvalidationsResponse> {
    async fn of_invalidations(cluster: &Cluster, token: &str) -> Self {
        let mut client = TokenServiceClient::new(channel(cluster.access().gateway));
        let message = WatchInvalidationsRequest::default();
        let mut stream = client.watch_invalidations(with_token(message, token)).await.unwrap().into_inner();
        stream.message().await.unwrap().expect("where it begins");
        Self { what: "WatchInvalidations".to_owned(), stream }
    }
}

impl<M> Reader<M> {
    /// Reads until the end: with which status, and how long after `since`. Nothing may come later than it may.
    async fn ends(mut self, since: Instant, why: &str) -> (String, Status) {
        loop {
            match tokio::time::timeout(PATIENCE, self.stream.message()).await {
                Ok(Ok(Some(_))) => {
                    assert!(since.elapsed() < WITHIN, "{}: goes on after {why} for {:?}", self.what, since.elapsed());
                }
                Ok(Ok(None)) => panic!("{}: ends after {why} as if all were well", self.what),
                Ok(Err(status)) => {
                    assert!(
                        since.elapsed() < WITHIN,
                        "{}: ended after {why} only after {:?}",
                        self.what,
                        since.elapsed()
                    );
                    return (self.what, status);
                }
                Err(_) => panic!("{}: goes on after {why}, and says nothing", self.what),
            }
        }
    }
}

fn about(organization: &Organization<'_>, member: &Member) -> Value {
    json!({"organization_id": organization.id, "member_id": member.id})
}

async fn readers(
    cluster: &Cluster,
    organization: &Organization<'_>,
    token: &str,
) -> Vec<Reader<WatchRevisionsResponse>> {
    let mut readers = Vec::new();
    for door in ["gateway", "authz-service"] {
        for include_changes in [false, true] {
            readers.push(Reader::of_revisions(cluster, door, &organization.id, token, include_changes).await);
        }
    }
    readers
}

/// Somebody writes all the time, so that there is always something more that a stream could tell.
async fn write_on(project: &Project<'_>, organization: &Organization<'_>, until: Instant) {
    while Instant::now() < until {
        let group = json!({"organization_id": organization.id, "group": {"display_name": "secret"}});
        let _ = project.account.try_call("GroupService/CreateGroup", group).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub async fn take_back(what: &str, project: &Project<'_>, organization: &Organization<'_>, member: &Member) {
    let account = &project.account;
    let one = json!({"organization_id": organization.id});
    match what {
        "a sign-out" => drop(member.caller.call("AuthenticationService/SignOut", json!({})).await),
        "a suspension" => drop(account.call("MemberService/SuspendMember", about(organization, member)).await),
        "a removal" => drop(account.call("MemberService/RemoveMember", about(organization, member)).await),
        "the end of all sessions" => {
            drop(account.call("SessionService/RevokeMemberSessions", about(organization, member)).await)
        }
        "the loss of a role" => {
            let mut bindings = one.clone();
            bindings["subject"] = json!({"member_id": member.id});
            let bindings = account.call("BindingService/ListBindings", bindings).await;
            let binding =
                json!({"organization_id": organization.id, "binding_id": text(&bindings, "bindings.0.binding_id")});
            account.call("BindingService/DeleteBinding", binding).await;
        }
        "the suspension of the person" => {
            let member = account.call("MemberService/GetMember", about(organization, member)).await;
            let identity = json!({"identity_id": member["identity_id"], "state": "IDENTITY_STATE_SUSPENDED"});
            account.call("IdentityService/UpdateIdentity", json!({"identity": identity, "update_mask": "state"})).await;
        }
        "the suspension of the organization" => {
            drop(account.call("OrganizationService/SuspendOrganization", one).await)
        }
        "the deletion of the organization" => drop(account.call("OrganizationService/DeleteOrganization", one).await),
        other => panic!("how is {other} done?"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_with_whatever_gave_a_right_to_it() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let ways = [
        "a sign-out",
        "a suspension",
        "a removal",
        "the end of all sessions",
        "the loss of a role",
        "the suspension of the person",
        "the suspension of the organization",
        "the deletion of the organization",
    ];
    join_all(ways.map(async |what| {
        let organization = project.organization("acme").await;
        let member = organization.join("reader", &["admin"]).await;
        let readers = readers(cluster, &organization, &member.tokens.access).await;
        take_back(what, &project, &organization, &member).await;
        let since = Instant::now();
        let ended = join_all(readers.into_iter().map(|reader| reader.ends(since, what)));
        let (ended, ()) = tokio::join!(ended, write_on(&project, &organization, since + Duration::from_secs(2)));
        for (reader, status) in ended {
            let expected = [Code::Unauthenticated, Code::PermissionDenied, Code::NotFound, Code::FailedPrecondition];
            assert!(expected.contains(&status.code()), "{reader} after {what}: {status:?}");
        }
    }))
    .await;
}

/// More than all that lies between a stream's writer and its reader may hold.
const RECORDS: usize = 12_000;

/// An organization of many resources.
async fn large<'c>(project: &Project<'c>) -> Organization<'c> {
    let types = json!({"catalog": {"resource_types": [{"name": "document", "verbs": ["read"]}]}});
    project.account.call("CatalogService/UpdateCatalog", types).await;
    let organization = project.organization("large").await;
    let long = "x".repeat(100);
    for batch in 0..RECORDS / 500 {
        let resource =
            |n: usize| json!({"resource": {"type": "document", "id": format!("{long}-{}", batch * 500 + n)}});
        let resources: Vec<Value> = (0..500).map(resource).collect();
        let register = json!({"organization_id": organization.id, "resources": resources});
        project.account.call("ResourceService/RegisterResources", register).await;
    }
    organization
}

/// A way to the gateway on which little is under way at once.
async fn narrow(cluster: &Cluster) -> AuthorizationServiceClient<Channel> {
    let narrow = Channel::from_shared(format!("http://{}", cluster.access().gateway)).unwrap();
    let narrow = narrow.initial_stream_window_size(16 * 1024).initial_connection_window_size(64 * 1024);
    AuthorizationServiceClient::new(narrow.connect().await.unwrap())
}

/// A stream that has an end is no way round either: whoever reads it slowly gets what was under way, and no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_that_is_read_slowly_ends_with_the_right_to_it() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let organization = large(&project).await;
    let reader = organization.join("reader", &["owner"]).await;
    let subject = Subject { subject: Some(subject::Subject::MemberId(reader.id.clone())) };
    let mut client = narrow(cluster).await;
    let export = ExportOrganizationRequest { organization_id: organization.id.clone(), consistency: None };
    let list = ListResourcesRequest {
        organization_id: organization.id.clone(),
        subject: Some(subject),
        permission: "document:read".to_owned(),
        resource_type: "document".to_owned(),
        ..Default::default()
    };
    let owner =
        organization.project.account.call("RoleService/ListRoles", json!({"organization_id": organization.id})).await;
    let owner =
        owner["roles"].as_array().unwrap().iter().find(|role| role["key"] == "owner").unwrap()["role_id"].clone();
    let all =
        json!({"key": unique("all"), "display_name": "x", "permissions": ["document:*"], "included_role_ids": [owner]});
    let all =
        project.account.call("RoleService/CreateRole", json!({"organization_id": organization.id, "role": all})).await;
    let binding = json!({"subject": {"member_id": reader.id}, "role_id": all["role_id"]});
    project
        .account
        .call("BindingService/CreateBinding", json!({"organization_id": organization.id, "binding": binding}))
        .await;
    let mut exported =
        client.export_organization(with_token(export, &reader.tokens.access)).await.unwrap().into_inner();
    exported.message().await.unwrap().expect("a record");
    let mut listed = client.list_resources(with_token(list, &reader.tokens.access)).await.unwrap().into_inner();
    listed.message().await.unwrap().expect("a resource");
    take_back("a removal", &project, &organization, &reader).await;
    tokio::time::sleep(WITHIN).await;
    let (mut records, mut resources) = (1, 1);
    let export_ended = loop {
        match exported.message().await {
            Ok(Some(_)) => records += 1,
            Ok(None) => panic!("all {records} records were sent"),
            Err(status) => break status,
        }
    };
    let list_ended = loop {
        match listed.message().await {
            Ok(Some(_)) => resources += 1,
            Ok(None) => panic!("all {resources} resources were listed"),
            Err(status) => break status,
        }
    };
    let expected = [Code::Unauthenticated, Code::PermissionDenied];
    assert!(expected.contains(&export_ended.code()), "{records}: {export_ended:?}");
    assert!(expected.contains(&list_ended.code()), "{resources}: {list_ended:?}");
}

/// Nor is one that begins with all there is: the whole is not completed for somebody who may not have it any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_whose_start_is_read_slowly_ends_with_the_right_to_it() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let organization = large(&project).await;
    let reader = organization.join("reader", &["admin"]).await;
    let organization_id = organization.id.clone();
    let watch = WatchRevisionsRequest { organization_id, include_changes: true, ..Default::default() };
    let mut client = narrow(cluster).await;
    let mut stream = client.watch_revisions(with_token(watch, &reader.tokens.access)).await.unwrap().into_inner();
    let mut facts = stream.message().await.unwrap().expect("where it begins").facts.len();
    take_back("a removal", &project, &organization, &reader).await;
    tokio::time::sleep(WITHIN).await;
    let ended = loop {
        match stream.message().await {
            Ok(Some(part)) => {
                facts += part.facts.len();
                assert!(part.revision.is_empty(), "the whole was told, in {facts} facts");
            }
            Ok(None) => panic!("it ends after {facts} facts as if all were well"),
            Err(status) => break status,
        }
    };
    let expected = [Code::Unauthenticated, Code::PermissionDenied];
    assert!(facts < RECORDS && expected.contains(&ended.code()), "{facts}: {ended:?}");
}

/// A verifier's stream ends with the project's credential, however that ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_of_what_is_revoked_ends_with_the_key_the_account_the_token_and_the_project() {
    let cluster = Cluster::shared().await;
    let operator = cluster.operator().await;
    for what in ["the key", "the account's suspension", "the account's deletion", "the token", "the project"] {
        let project = cluster.project().await;
        let account = json!({"project_id": project.id, "service_account": {"display_name": "verifier"}});
        let account = operator.call("ServiceAccountService/CreateProjectServiceAccount", account).await;
        let (id, secret) = (text(&account, "client_id"), text(&account, "client_secret"));
        let token = cluster.client_credentials(&id, &secret).await.unwrap();
        let reader = Reader::of_invalidations(cluster, &token).await;
        match what {
            "the key" => {
                let keys =
                    project.account.call("ServiceAccountService/ListApiKeys", json!({"service_account_id": id})).await;
                let key = json!({"service_account_id": id, "api_key_id": text(&keys, "api_keys.0.api_key_id")});
                project.account.call("ServiceAccountService/RevokeApiKey", key).await;
            }
            "the account's suspension" => {
                let state = json!({"service_account_id": id, "state": "SERVICE_ACCOUNT_STATE_SUSPENDED"});
                let update = json!({"service_account": state, "update_mask": "state"});
                project.account.call("ServiceAccountService/UpdateServiceAccount", update).await;
            }
            "the account's deletion" => {
                project
                    .account
                    .call("ServiceAccountService/DeleteServiceAccount", json!({"service_account_id": id}))
                    .await;
            }
            "the token" => drop(cluster.bearer(&token).call("TokenService/RevokeToken", json!({"token": token})).await),
            _ => drop(operator.call("ProjectService/ArchiveProject", json!({"project_id": project.id})).await),
        }
        let (_, status) = reader.ends(Instant::now(), what).await;
        let expected = [Code::Unauthenticated, Code::FailedPrecondition, Code::PermissionDenied];
        assert!(expected.contains(&status.code()), "{what}: {status:?}");
    }
}

/// The first answer after a right is gone that still says yes, and how long after.
async fn last_yes(caller: &Caller, check: &Value, since: Instant) -> Duration {
    let mut last = Duration::ZERO;
    let mut no = 0;
    while no < 20 {
        let asked = since.elapsed();
        match caller.try_call("AuthorizationService/Check", check.clone()).await {
            Ok(answer) if answer["allowed"] == json!(true) => (last, no) = (asked, 0),
            _ => no += 1,
        }
        assert!(asked < PATIENCE, "{check} is allowed on");
    }
    last
}

/// What was decided before is not kept: neither for the subject, nor for the group it was in, nor for the organization.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_ends_with_what_it_was_made_of() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    for what in [
        "a suspension",
        "a removal",
        "the loss of a role",
        "the suspension of the organization",
        "the deletion of the organization",
    ] {
        let organization = project.organization("acme").await;
        let member = organization.join("subject", &["admin"]).await;
        let asker = organization.join("asker", &["admin"]).await;
        let check = json!({"organization_id": organization.id, "subject": {"member_id": member.id}, "permission": "guildhall.member:update"});
        let answer = asker.caller.call("AuthorizationService/Check", check.clone()).await;
        assert_eq!(answer["allowed"], json!(true), "{answer}");
        take_back(what, &project, &organization, &member).await;
        let late = last_yes(&asker.caller, &check, Instant::now()).await;
        assert!(late < Duration::from_secs(3), "{what}: allowed for {late:?} more");
        let mut fresh = check.clone();
        fresh["consistency"] = json!({"fully_consistent": true});
        if let Ok(answer) = project.account.try_call("AuthorizationService/Check", fresh).await {
            assert_eq!(answer["allowed"], json!(false), "{what}: {answer}");
        }
    }
}
