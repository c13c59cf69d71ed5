//! A project is taken out of use for good: every door that one of its credentials opened is shut within a second, wherever it is, and
//! stays shut, whichever process died meanwhile. What stands beside it goes on.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection, Row};
use testkit::{
    Cluster,
    bounds::{SECOND, ends_within},
    caller::{Caller, Organization, Project, Refused, text, unique},
};
use tokio::time::sleep;
use tonic::Code;

use crate::tenant_walls::superuser;

const ARCHIVE: &str = "ProjectService/ArchiveProject";
/// Restarts, each after a longer pause, on a busy machine.
const BACK_WITHIN: Duration = Duration::from_secs(60);

/// One call that each credential may make, the service that answers it, and the token.
struct Door {
    service: &'static str,
    method: &'static str,
    request: Value,
    token: String,
}

/// Every kind of credential that a project has, at every service.
async fn doors(acme: &Organization<'_>) -> Vec<Door> {
    let account = json!({"organization_id": acme.id, "service_account": {"display_name": "bot"}});
    let account = acme.owner().caller.call("ServiceAccountService/CreateServiceAccount", account).await;
    let about = json!({"organization_id": acme.id, "service_account_id": account["service_account_id"]});
    let key = acme.project.account.call("ServiceAccountService/CreateApiKey", about).await;
    let bind = json!({"organization_id": acme.id, "binding": {
        "subject": {"service_account_id": account["service_account_id"]}, "role_id": "admin"}});
    acme.project.account.call("BindingService/CreateBinding", bind).await;
    let bot = acme.project.cluster;
    let bot = bot.client_credentials(&text(&account, "service_account_id"), &text(&key, "secret")).await.unwrap();

    let here = json!({"organization_id": acme.id});
    let check = json!({"organization_id": acme.id, "subject": {"member_id": acme.owner().id},
        "permission": "guildhall.member:read"});
    let calls = [
        ("org-service", "OrganizationService/GetOrganization", here.clone()),
        ("member-service", "MemberService/ListMembers", here.clone()),
        ("authz-service", "AuthorizationService/Check", check),
    ];
    let mut doors = Vec::new();
    for (service, method, request) in &calls {
        for token in [&acme.owner().tokens.access, &acme.project.token, &bot] {
            doors.push(Door { service, method, request: request.clone(), token: token.clone() });
        }
    }
    // What is the project's own, and names no organization.
    for (service, method) in [
        ("org-service", "OrganizationService/ListOrganizations"),
        ("member-service", "ServiceAccountService/ListServiceAccounts"),
        ("authz-service", "CatalogService/GetCatalog"),
        ("authz-service", "RoleService/ListRoles"),
    ] {
        doors.push(Door { service, method, request: json!({}), token: acme.project.token.clone() });
    }
    doors
}

impl Door {
    fn of_service(&self, cluster: &Cluster) -> Caller {
        cluster.bearer_at(cluster.door(self.service), Some(&self.token))
    }

    fn of_gateway(&self, cluster: &Cluster) -> Caller {
        cluster.bearer(&self.token)
    }

    async fn is_open(&self, cluster: &Cluster) {
        self.of_service(cluster).call(self.method, self.request.clone()).await;
        self.of_gateway(cluster).call(self.method, self.request.clone()).await;
    }

    /// The service by itself, which knows of no gateway.
    async fn is_shut_by_service(&self, cluster: &Cluster) {
        let refused = self.of_service(cluster).insist(self.method, self.request.clone()).await;
        let refused = refused.expect_err(self.method);
        // As it finds the project, or as the news of it reach what it knows of tokens, whichever it looks at first.
        let told = (refused.code, refused.reason.as_str());
        let shut = [(Code::FailedPrecondition, "PROJECT_ARCHIVED"), (Code::Unauthenticated, "CREDENTIAL_REVOKED")];
        assert!(shut.contains(&told), "{} of {}: {told:?}", self.method, self.service);
    }

    /// What the gateway says instead of refusing its credential as revoked.
    async fn is_open_by_gateway(&self, cluster: &Cluster) -> Option<Result<Value, Refused>> {
        let outcome = self.of_gateway(cluster).insist(self.method, self.request.clone()).await;
        let is_shut = outcome.as_ref().is_err_and(|refused| refused.reason == "CREDENTIAL_REVOKED");
        (!is_shut).then_some(outcome)
    }
}

async fn until_shut_by_gateway(cluster: &Cluster, doors: &[Door], since: Instant, within: Duration) {
    for door in doors {
        ends_within(since, within, door.method, async || door.is_open_by_gateway(cluster).await).await;
    }
}

async fn until_shut_by_services(cluster: &Cluster, doors: &[Door]) {
    let begun = Instant::now();
    for door in doors {
        loop {
            let refused = door.of_service(cluster).try_call(door.method, door.request.clone()).await;
            match refused {
                Err(refused) if ["PROJECT_ARCHIVED", "CREDENTIAL_REVOKED"].contains(&refused.reason.as_str()) => break,
                other => assert!(begun.elapsed() < BACK_WITHIN, "{} of {}: {other:?}", door.method, door.service),
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn archive(project: &Project<'_>) -> Value {
    project.cluster.operator().await.call(ARCHIVE, json!({"project_id": project.id})).await
}

fn uuid(id: &str) -> String {
    let id: tenancy::ProjectId = id.parse().unwrap();
    id.uuid().to_string()
}

async fn count(database: &mut PgConnection, what: &str, project: &str) -> i64 {
    let statement = format!("select count(*) from {what} and project_id = '{}'", uuid(project));
    sqlx::query(AssertSqlSafe(statement)).fetch_one(database).await.unwrap().get(0)
}

#[tokio::test]
async fn an_archived_project_is_shut_at_every_door_within_a_second() {
    let cluster = Cluster::shared().await;
    let (project, beside) = (cluster.project().await, cluster.project().await);
    let (acme, other) = (project.organization("acme").await, beside.organization("other").await);
    let (doors, others) = (doors(&acme).await, doors(&other).await);
    for door in doors.iter().chain(&others) {
        door.is_open(cluster).await;
    }
    let invited = unique("grace") + "@acme.test";
    let token = acme.invite(&invited, &["member"]).await;
    let owner = acme.owner();

    let answer = archive(&project).await;
    assert_eq!(text(&answer, "state"), "PROJECT_STATE_ARCHIVED");
    let begun = Instant::now();
    for door in &doors {
        door.is_shut_by_service(cluster).await;
    }
    until_shut_by_gateway(cluster, &doors, begun, SECOND).await;

    // No credential gives another.
    let anyone = project.anyone();
    let refused = acme.sign_in(&owner.email, &owner.password).await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "PROJECT_ARCHIVED"));
    let start = json!({"organization_slug": acme.slug, "email_address": owner.email});
    let email = "AuthenticationService/StartEmailSignIn";
    anyone.refused(email, start, Code::FailedPrecondition, "PROJECT_ARCHIVED").await;
    let refresh = json!({"refresh_token": owner.tokens.refresh});
    let method = "AuthenticationService/RefreshSession";
    anyone.refused(method, refresh, Code::Unauthenticated, "REFRESH_TOKEN_REFUSED").await;
    let accept = json!({"token": token});
    let method = "InvitationService/AcceptInvitation";
    anyone.refused(method, accept, Code::FailedPrecondition, "ORGANIZATION_NOT_ACTIVE").await;

    // A service that asks for itself is told what holds: nobody may do anything.
    let check = json!({"organization_id": acme.id, "subject": {"member_id": owner.id},
        "permission": "guildhall.member:read", "consistency": {"fully_consistent": true}});
    let asked = cluster.workload("member-service", "authz-service").call("AuthorizationService/Check", check).await;
    assert_eq!(asked["allowed"], false, "{asked}");
    // So for the sign-in, should a gateway be late: a right password opens nothing.
    let verify = json!({"organization_id": acme.id, "project_id": project.id, "email_address": owner.email,
        "password": owner.password});
    let gateway = cluster.workload("gateway", "member-service");
    gateway.refused("CredentialService/VerifyPassword", verify, Code::Unauthenticated, "SIGN_IN_FAILED").await;

    // The operator reads it, and writes nothing in it.
    let operator = cluster.operator().await;
    let about = json!({"project_id": project.id});
    assert_eq!(operator.call("ProjectService/GetProject", about.clone()).await, answer);
    let update = json!({"project_id": project.id, "project": {"display_name": "x"}, "update_mask": "displayName"});
    operator.refused("ProjectService/UpdateProject", update, Code::FailedPrecondition, "PROJECT_ARCHIVED").await;
    let account = json!({"project_id": project.id, "service_account": {"display_name": "backend"}});
    let method = "ServiceAccountService/CreateProjectServiceAccount";
    operator.refused(method, account, Code::FailedPrecondition, "PROJECT_ARCHIVED").await;

    for door in &others {
        door.is_open(cluster).await;
    }
    other.sign_in(&other.owner().email, &other.owner().password).await.unwrap();
}

#[tokio::test]
async fn client_credentials_of_an_archived_project_are_refused_as_wrong_ones_are() {
    let cluster = Cluster::shared().await;
    let operator = cluster.operator().await;
    let project = json!({"project": {"display_name": unique("short-lived")}});
    let id = text(&operator.call("ProjectService/CreateProject", project).await, "project_id");
    let account = json!({"project_id": id, "service_account": {"display_name": "backend"}});
    let account = operator.call("ServiceAccountService/CreateProjectServiceAccount", account).await;
    let (client, secret) = (text(&account, "client_id"), text(&account, "client_secret"));
    cluster.client_credentials(&client, &secret).await.unwrap();
    operator.call(ARCHIVE, json!({"project_id": id})).await;
    let refused = cluster.shut_out(&client, &secret).await;
    let nobodys = cluster.client_credentials(&client, &(secret[..secret.len() - 8].to_owned() + "AAAAAAAA")).await;
    assert_eq!(refused.0, nobodys.unwrap_err().0, "{refused:?}");
}

#[tokio::test]
async fn archiving_is_done_once_and_for_good() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let operator = cluster.operator().await;
    let before = operator.call("ProjectService/GetProject", json!({"project_id": project.id})).await;
    let stale = json!({"project_id": project.id, "etag": "ffff"});
    operator.refused(ARCHIVE, stale.clone(), Code::Aborted, "ETAG_MISMATCH").await;
    let nowhere = json!({"project_id": tenancy::ProjectId::new().to_string()});
    operator.refused(ARCHIVE, nowhere, Code::NotFound, "NOT_FOUND").await;
    let long = json!({"project_id": "nobody", "reason": "x".repeat(513)});
    let refused = operator.refused(ARCHIVE, long, Code::InvalidArgument, "INVALID_FIELDS").await;
    assert_eq!(refused.fields, ["project_id", "reason"]);
    project.account.refused(ARCHIVE, json!({"project_id": project.id}), Code::PermissionDenied, "WRONG_AUDIENCE").await;

    let request = json!({"project_id": project.id, "etag": before["etag"], "reason": "the product was given up",
        "request_id": unique("archive")});
    let (one, two) =
        futures::future::join(operator.call(ARCHIVE, request.clone()), operator.call(ARCHIVE, request.clone())).await;
    assert_eq!(one, two);
    assert_ne!(one["etag"], before["etag"]);
    let mut other = request.clone();
    other["reason"] = "another".into();
    operator.refused(ARCHIVE, other, Code::InvalidArgument, "REQUEST_ID_REUSED").await;
    assert_eq!(operator.call(ARCHIVE, json!({"project_id": project.id})).await, one, "nothing changes twice");
    operator.refused(ARCHIVE, stale, Code::Aborted, "ETAG_MISMATCH").await;

    let mut database = superuser(cluster).await;
    let events: Vec<String> =
        sqlx::query_scalar("select payload from org.event where kind = 'project.archived' and project_id = $1::uuid")
            .bind(uuid(&project.id))
            .fetch_all(&mut database)
            .await
            .unwrap();
    let [event] = events.as_slice() else { panic!("{events:?}") };
    let event: Value = serde_json::from_str(event).unwrap();
    assert_eq!(text(&event, "reason"), "the product was given up");
    let states = (text(&event, "before.state"), text(&event, "after.state"));
    assert_eq!(states, ("ACTIVE".to_owned(), "ARCHIVED".to_owned()));

    let mut archived = Vec::new();
    let mut page = String::new();
    loop {
        let list = json!({"state": "PROJECT_STATE_ARCHIVED", "page_size": 500, "page_token": page});
        let listed = operator.call("ProjectService/ListProjects", list).await;
        archived.extend(listed["projects"].as_array().unwrap().iter().map(|p| text(p, "project_id")));
        page = text(&listed, "next_page_token");
        if page.is_empty() {
            break;
        }
    }
    assert!(archived.contains(&project.id));
}

/// Sessions, codes, mails and looks for records: none goes on, and none of another project's is touched.
#[tokio::test]
async fn nothing_of_an_archived_project_goes_on_in_the_background() {
    let cluster = Cluster::shared().await;
    let (project, beside) = (cluster.project().await, cluster.project().await);
    let (acme, other) = (project.organization("acme").await, beside.organization("other").await);
    for organization in [&acme, &other] {
        let claim = json!({"organization_id": organization.id,
            "domain": {"name": unique("d") + ".test", "purpose": "DOMAIN_PURPOSE_EMAIL"}});
        organization.owner().caller.call("DomainService/CreateDomain", claim).await;
    }
    let mut database = superuser(cluster).await;
    for organization in [&acme, &other] {
        // What waits for a mail server that is away.
        let id: tenancy::OrganizationId = organization.id.parse().unwrap();
        sqlx::query(
            "insert into member.outbox (organization_id, project_id, mail_id, content, next_try_time, give_up_time)
             values ($1::uuid, $2::uuid, gen_random_uuid(), '', now() + interval '1 hour', now() + interval '1 day')",
        )
        .bind(id.uuid().to_string())
        .bind(uuid(&organization.project.id))
        .execute(&mut database)
        .await
        .unwrap();
    }
    archive(&project).await;
    let begun = Instant::now();
    loop {
        let sessions = count(&mut database, "member.session where true", &project.id).await;
        let mails = count(&mut database, "member.outbox where true", &project.id).await;
        if (sessions, mails) == (0, 0) {
            break;
        }
        assert!(begun.elapsed() < BACK_WITHIN, "{sessions} sessions and {mails} mails stay");
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(count(&mut database, "member.session where true", &beside.id).await, 1);
    assert_eq!(count(&mut database, "member.outbox where true", &beside.id).await, 1);

    sqlx::query("update org.domain set next_look_time = now() where project_id = any ($1::uuid[])")
        .bind(vec![uuid(&project.id), uuid(&beside.id)])
        .execute(&mut database)
        .await
        .unwrap();
    // Taken from the list of what is due, to be asked about again much later; looked for where the project goes on.
    let due = "org.domain where next_look_time <= now() + interval '30 minutes'";
    let begun = Instant::now();
    while count(&mut database, due, &project.id).await > 0 {
        assert!(begun.elapsed() < BACK_WITHIN, "somebody looks for records of an archived project");
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(count(&mut database, "org.domain where misses = 0", &project.id).await, 1);
    sqlx::query("delete from member.outbox where project_id = $1::uuid and content = ''")
        .bind(uuid(&beside.id))
        .execute(&mut database)
        .await
        .unwrap();
}

#[tokio::test]
async fn whoever_dies_while_a_project_is_archived_learns_of_it_afterwards() {
    let cluster = Cluster::start().await;
    let operator = cluster.operator().await;

    // org-service dies with the state committed and nobody told: the others read it in its feed.
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let first = doors(&acme).await;
    let request = json!({"project_id": project.id, "request_id": unique("archive")});
    let pid = cluster.pid("org-service").unwrap();
    cluster.arm("archive-project/committed");
    let _ = operator.try_call(ARCHIVE, request.clone()).await;
    assert!(!cluster.armed(), "it never came to its commit");
    cluster.restarted("org-service", pid).await;
    until_shut_by_gateway(&cluster, &first, Instant::now(), BACK_WITHIN).await;
    until_shut_by_services(&cluster, &first).await;
    let again = operator.call(ARCHIVE, request.clone()).await;
    assert_eq!(text(&again, "state"), "PROJECT_STATE_ARCHIVED");
    assert_eq!(operator.call(ARCHIVE, request).await, again);

    // Another dies when it has noted it, and org-service hears nothing of that.
    for (service, place) in
        [("member-service", "note-state/committed"), ("authz-service", "note-organization/committed")]
    {
        let project = cluster.project().await;
        let acme = project.organization("acme").await;
        let doors = doors(&acme).await;
        let pid = cluster.pid(service).unwrap();
        cluster.arm(place);
        archive(&project).await;
        assert!(!cluster.armed(), "{service} never came to {place}");
        cluster.restarted(service, pid).await;
        until_shut_by_services(&cluster, &doors).await;
        until_shut_by_gateway(&cluster, &doors, Instant::now(), BACK_WITHIN).await;
    }

    // The others are dead while it is archived: they know before they have answered for long.
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let second = doors(&acme).await;
    for service in ["member-service", "authz-service"] {
        let pid = cluster.kill(service);
        cluster.restarted(service, pid).await;
    }
    archive(&project).await;
    until_shut_by_services(&cluster, &second).await;
    until_shut_by_gateway(&cluster, &second, Instant::now(), BACK_WITHIN).await;
    // What a process knows outlives it.
    for service in ["member-service", "authz-service", "org-service", "gateway"] {
        let pid = cluster.kill(service);
        cluster.restarted(service, pid).await;
    }
    let begun = Instant::now();
    for door in first.iter().chain(&second) {
        loop {
            match door.of_gateway(&cluster).try_call(door.method, door.request.clone()).await {
                Err(refused) if refused.reason == "CREDENTIAL_REVOKED" => break,
                Err(refused) => assert!(begun.elapsed() < BACK_WITHIN, "{refused:?}"),
                Ok(_) => panic!("a dead process' successor lets somebody in: {}", door.method),
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}
