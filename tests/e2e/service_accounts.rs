//! Callers that are no persons: what a key gives, who may make one, and how fast one ends.

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};
use testkit::{
    Cluster,
    bounds::{SECOND, ends_within},
    caller::{Organization, text, unique},
};
use tonic::Code;

use crate::tenant_walls::superuser;

const UPDATE: &str = "ServiceAccountService/UpdateServiceAccount";
const DELETE: &str = "ServiceAccountService/DeleteServiceAccount";
const CREATE_KEY: &str = "ServiceAccountService/CreateApiKey";

async fn account(organization: &Organization<'_>, name: &str) -> Value {
    let request = json!({"organization_id": organization.id, "service_account": {"display_name": name}});
    organization.owner().caller.call("ServiceAccountService/CreateServiceAccount", request).await
}

fn id(account: &Value) -> String {
    text(account, "service_account_id")
}

/// An account, and a key of it made by the owner.
async fn robot(organization: &Organization<'_>) -> (String, Value) {
    let id = id(&account(organization, "robot").await);
    let key = json!({"organization_id": organization.id, "service_account_id": id});
    let key = organization.owner().caller.call(CREATE_KEY, key).await;
    (id, key)
}

async fn role(organization: &Organization<'_>, permissions: &[&str]) -> String {
    let catalog = json!({"catalog": {"resource_types": [{"name": "vault", "verbs": ["open"]}]}});
    organization.project.account.call("CatalogService/UpdateCatalog", catalog).await;
    let role = json!({"organization_id": organization.id,
        "role": {"key": unique("role"), "display_name": "x", "permissions": permissions}});
    text(&organization.owner().caller.call("RoleService/CreateRole", role).await, "role_id")
}

async fn bind(organization: &Organization<'_>, subject: Value, role: &str, more: Value) {
    let mut binding = json!({"subject": subject, "role_id": role});
    binding.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let request = json!({"organization_id": organization.id, "binding": binding});
    organization.owner().caller.call("BindingService/CreateBinding", request).await;
}

/// A key is all that its account may do, so whoever comes by one must hold all that: at a single resource, later, or through a group
/// just as at the organization now.
#[tokio::test]
async fn nobody_comes_by_a_key_of_an_account_that_holds_more_than_they_do() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let admin = acme.join("admin", &["admin"]).await;
    let opener = role(&acme, &["vault:open"]).await;
    let exceeds = "GRANT_EXCEEDS_GRANTOR";
    let open = id(&account(&acme, "of no rights").await);
    let key = |account: &str| json!({"organization_id": acme.id, "service_account_id": account});
    admin.caller.call(CREATE_KEY, key(&open)).await;

    let subject = |account: &str| json!({"service_account_id": account});
    let at_a_resource = id(&account(&acme, "at a resource").await);
    let at = json!({"resource": {"type": "vault", "id": "7"}});
    bind(&acme, subject(&at_a_resource), &opener, at).await;
    let later = id(&account(&acme, "later").await);
    bind(&acme, subject(&later), &opener, json!({"not_before": "2099-01-01T00:00:00Z"})).await;
    let in_a_group = id(&account(&acme, "in a group").await);
    let group = json!({"organization_id": acme.id, "group": {"display_name": "robots"}});
    let group = text(&acme.owner().caller.call("GroupService/CreateGroup", group).await, "group_id");
    let add = json!({"organization_id": acme.id, "group_id": group, "subjects": [subject(&in_a_group)]});
    acme.owner().caller.call("GroupService/AddGroupMembers", add).await;
    bind(&acme, json!({"group_id": group}), &opener, json!({})).await;

    for account in [&at_a_resource, &later, &in_a_group] {
        admin.caller.refused(CREATE_KEY, key(account), Code::PermissionDenied, exceeds).await;
        let state = |state: &str| {
            json!({"organization_id": acme.id,
            "service_account": {"service_account_id": account, "state": state}})
        };
        // She may stop it, but not have its keys work again: one of them might be in her hands.
        admin.caller.call(UPDATE, state("SERVICE_ACCOUNT_STATE_SUSPENDED")).await;
        let active = state("SERVICE_ACCOUNT_STATE_ACTIVE");
        admin.caller.refused(UPDATE, active.clone(), Code::PermissionDenied, exceeds).await;
        let back = acme.owner().caller.call(UPDATE, active).await;
        assert_eq!(text(&back, "state"), "SERVICE_ACCOUNT_STATE_ACTIVE");
        acme.owner().caller.call(CREATE_KEY, key(account)).await;
    }
    let keys = project.account.call("ServiceAccountService/ListApiKeys", key(&later)).await;
    assert_eq!(keys["api_keys"].as_array().unwrap().len(), 1, "a refused key is there: {keys}");
}

#[tokio::test]
async fn a_suspended_account_is_out_within_a_second_and_back_when_reactivated() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let (robot, key) = robot(&acme).await;
    bind(&acme, json!({"service_account_id": robot}), &role(&acme, &["guildhall.member:read"]).await, json!({})).await;
    let token = cluster.client_credentials(&robot, &text(&key, "secret")).await.unwrap();
    let caller = cluster.bearer(&token);
    let list = json!({"organization_id": acme.id});
    caller.call("MemberService/ListMembers", list.clone()).await;

    let to = |state: &str| {
        json!({"organization_id": acme.id,
        "service_account": {"service_account_id": robot, "state": state}})
    };
    let suspended = acme.owner().caller.call(UPDATE, to("SERVICE_ACCOUNT_STATE_SUSPENDED")).await;
    assert_eq!(text(&suspended, "state"), "SERVICE_ACCOUNT_STATE_SUSPENDED");
    // Its rights are gone from the same moment, whatever its token says.
    let refused = caller.try_call("MemberService/ListMembers", list.clone()).await.unwrap_err();
    assert!(["PERMISSION_MISSING", "CREDENTIAL_REVOKED"].contains(&refused.reason.as_str()), "{refused:?}");
    caller.is_out_within_a_second().await;
    assert_eq!(cluster.shut_out(&robot, &text(&key, "secret")).await.0, 401);

    acme.owner().caller.call(UPDATE, to("SERVICE_ACCOUNT_STATE_ACTIVE")).await;
    // A token tells its time in seconds: one of the second of the suspension stays refused, the next one is good.
    ends_within(Instant::now(), 2 * SECOND, "it is refused", async || {
        let token = cluster.client_credentials(&robot, &text(&key, "secret")).await.unwrap();
        cluster.bearer(&token).insist("MemberService/ListMembers", list.clone()).await.err()
    })
    .await;
}

#[tokio::test]
async fn a_deleted_account_leaves_nothing_behind_and_its_tokens_end_within_a_second() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let (robot, key) = robot(&acme).await;
    bind(&acme, json!({"service_account_id": robot}), &role(&acme, &["vault:open"]).await, json!({})).await;
    let token = cluster.client_credentials(&robot, &text(&key, "secret")).await.unwrap();
    let about = json!({"organization_id": acme.id, "service_account_id": robot});
    let read = acme.owner().caller.call("ServiceAccountService/GetServiceAccount", about.clone()).await;
    let stale = json!({"organization_id": acme.id, "service_account_id": robot, "etag": "ffff"});
    acme.owner().caller.refused(DELETE, stale, Code::Aborted, "ETAG_MISMATCH").await;

    let delete = json!({"organization_id": acme.id, "service_account_id": robot, "etag": text(&read, "etag"),
        "request_id": unique("delete")});
    acme.owner().caller.call(DELETE, delete.clone()).await;
    cluster.bearer(&token).is_out_within_a_second().await;
    acme.owner().caller.call(DELETE, delete).await;
    acme.owner().caller.call(DELETE, about.clone()).await;
    assert_eq!(cluster.shut_out(&robot, &text(&key, "secret")).await.0, 401);
    for method in ["GetServiceAccount", "ListApiKeys", "CreateApiKey"] {
        let method = format!("ServiceAccountService/{method}");
        acme.owner().caller.refused(&method, about.clone(), Code::NotFound, "NOT_FOUND").await;
    }
    let bindings = json!({"organization_id": acme.id, "page_size": 500});
    let bindings = acme.owner().caller.call("BindingService/ListBindings", bindings).await;
    assert!(!bindings.to_string().contains(&robot), "{bindings}");
}

/// What a crash between telling authz-service and writing the row leaves: authz-service denies, the row stands. Its feed mends it.
#[tokio::test]
async fn what_authz_service_alone_knows_of_an_account_is_finished_from_its_feed() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let (first, second) = (robot(&acme).await.0, robot(&acme).await.0);
    let member_service = cluster.workload("member-service", "authz-service");
    let about = |account: &str| {
        json!({"organization_id": acme.id, "project_id": project.id,
        "subject": {"service_account_id": account}, "member_revision": 1000})
    };
    member_service.call("SubjectService/RemoveSubject", about(&first)).await;
    let mut suspend = about(&second);
    suspend["status"] = json!("SUBJECT_STATUS_SUSPENDED");
    member_service.call("SubjectService/SetSubjectState", suspend).await;

    let begun = Instant::now();
    let read = |account: String| {
        let get = json!({"organization_id": acme.id, "service_account_id": account});
        acme.owner().caller.try_call("ServiceAccountService/GetServiceAccount", get)
    };
    loop {
        let gone = read(first.clone()).await.is_err();
        let suspended = text(&read(second.clone()).await.unwrap(), "state") == "SERVICE_ACCOUNT_STATE_SUSPENDED";
        if gone && suspended {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "gone: {gone}, suspended: {suspended}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn an_update_sets_what_its_mask_names_and_no_other_tenants_account() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    let account = account(&acme, "robot").await;
    let (id, etag) = (id(&account), text(&account, "etag"));
    let owner = &acme.owner().caller;
    let update = |fields: Value, mask: &str| {
        let mut account = json!({"service_account_id": id});
        account.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({"organization_id": acme.id, "service_account": account, "update_mask": mask})
    };
    let fields = json!({"display_name": "R2", "state": "SERVICE_ACCOUNT_STATE_SUSPENDED", "etag": etag});
    let updated = owner.call(UPDATE, update(fields.clone(), "displayName")).await;
    assert_eq!(
        (text(&updated, "display_name").as_str(), &updated["state"]),
        ("R2", &json!("SERVICE_ACCOUNT_STATE_ACTIVE"))
    );
    owner.refused(UPDATE, update(fields, "displayName"), Code::Aborted, "ETAG_MISMATCH").await;
    let bad = [
        update(json!({}), "organizationId"),
        update(json!({}), "displayName"),
        update(json!({}), "state"),
        update(json!({"display_name": "a\u{202e}b"}), "displayName"),
    ];
    for bad in bad {
        owner.refused(UPDATE, bad, Code::InvalidArgument, "INVALID_FIELDS").await;
    }
    // Another organization's, and the wrong kind of id.
    let foreign =
        json!({"organization_id": globex.id, "service_account": {"service_account_id": id, "display_name": "x"}});
    globex.owner().caller.refused(UPDATE, foreign, Code::NotFound, "NOT_FOUND").await;
    let foreign = json!({"organization_id": globex.id, "service_account_id": id});
    globex.owner().caller.call(DELETE, foreign).await;
    let wrong = json!({"organization_id": acme.id, "service_account_id": acme.owner().id});
    owner.refused(DELETE, wrong, Code::InvalidArgument, "INVALID_FIELDS").await;
    let get = json!({"organization_id": acme.id, "service_account_id": id});
    assert_eq!(text(&owner.call("ServiceAccountService/GetServiceAccount", get).await, "display_name"), "R2");
}

#[tokio::test]
async fn as_many_accounts_are_made_as_the_limit_allows() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let limit = json!({"organization": {"organization_id": acme.id, "limits": {"max_service_accounts": {"value": 5}}},
        "organization_id": acme.id, "update_mask": "limits.maxServiceAccounts"});
    project.account.call("OrganizationService/UpdateOrganization", limit).await;
    let made = join_all((0..30).map(|n| {
        let create = json!({"organization_id": acme.id, "service_account": {"display_name": format!("robot {n}")}});
        project.account.insist("ServiceAccountService/CreateServiceAccount", create)
    }))
    .await;
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 5);
    for refused in made.into_iter().filter_map(Result::err) {
        assert_eq!((refused.code, refused.reason.as_str()), (Code::ResourceExhausted, "LIMIT_REACHED"), "{refused:?}");
    }
}

#[tokio::test]
async fn keys_are_changed_without_a_gap_and_an_expired_one_opens_nothing() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let (robot, old) = robot(&acme).await;
    let about = json!({"organization_id": acme.id, "service_account_id": robot});
    let new = acme.owner().caller.call(CREATE_KEY, about.clone()).await;
    for key in [&old, &new] {
        cluster.client_credentials(&robot, &text(key, "secret")).await.unwrap();
    }
    let mut revoke = about.clone();
    revoke["api_key_id"] = old["api_key_id"].clone();
    acme.owner().caller.call("ServiceAccountService/RevokeApiKey", revoke).await;
    assert_eq!(cluster.shut_out(&robot, &text(&old, "secret")).await.0, 401);
    cluster.client_credentials(&robot, &text(&new, "secret")).await.unwrap();
    let keys = acme.owner().caller.call("ServiceAccountService/ListApiKeys", about.clone()).await;
    assert!(keys["api_keys"].as_array().unwrap().iter().all(|key| !key["last_used_time"].is_null()), "{keys}");
    assert!(!keys.to_string().contains(&text(&new, "secret")));

    let mut soon = about.clone();
    soon["api_key"] = json!({"expire_time": "2020-01-01T00:00:00Z"});
    acme.owner().caller.refused(CREATE_KEY, soon, Code::InvalidArgument, "INVALID_FIELDS").await;
    // One that has not been used yet: of one that has, the gateway knows the end.
    let unused = acme.owner().caller.call(CREATE_KEY, about.clone()).await;
    sqlx::query(
        "update member.api_key set expire_time = now() where service_account_id = $1::uuid and revoke_time is null",
    )
    .bind(uuid_of(&robot))
    .execute(&mut superuser(cluster).await)
    .await
    .unwrap();
    assert!(cluster.client_credentials(&robot, &text(&unused, "secret")).await.is_err());
}

/// The uuid behind an id, as the database has it.
fn uuid_of(id: &str) -> String {
    id.parse::<tenancy::ServiceAccountId>().unwrap().uuid().to_string()
}
