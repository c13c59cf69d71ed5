//! Roles, groups, bindings, resources and the answers that they give.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Organization, text, unique},
};
use tonic::Code;

const CHECK: &str = "AuthorizationService/Check";

async fn product(organization: &Organization<'_>) {
    let catalog = json!({"catalog": {"resource_types": [
        {"name": "folder", "verbs": ["read", "write"]},
        {"name": "document", "parent_types": ["folder"], "verbs": ["read", "write"]}]}});
    organization.project.account.call("CatalogService/UpdateCatalog", catalog).await;
}

async fn role(organization: &Organization<'_>, key: &str, permissions: &[&str]) -> String {
    let role = json!({"organization_id": organization.id,
        "role": {"key": key, "display_name": key, "permissions": permissions}});
    text(&organization.owner().caller.call("RoleService/CreateRole", role).await, "role_id")
}

async fn bind(organization: &Organization<'_>, subject: Value, role: &str, more: Value) -> Value {
    let mut binding = json!({"subject": subject, "role_id": role});
    binding.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let request = json!({"organization_id": organization.id, "binding": binding});
    organization.owner().caller.call("BindingService/CreateBinding", request).await
}

async fn may(organization: &Organization<'_>, member: &str, permission: &str, resource: Option<(&str, &str)>) -> bool {
    let mut request = json!({"organization_id": organization.id, "subject": {"member_id": member},
        "permission": permission, "consistency": {"fully_consistent": true}});
    if let Some((kind, id)) = resource {
        request["resource"] = json!({"type": kind, "id": id});
    }
    let answer = organization.project.account.call(CHECK, request).await;
    answer["allowed"].as_bool().unwrap()
}

#[tokio::test]
async fn a_right_on_a_folder_reaches_the_documents_in_it() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    product(&acme).await;
    let grace = acme.join("grace", &["member"]).await;
    let editor = role(&acme, "editor", &["document:write", "folder:read"]).await;
    let register = json!({"organization_id": acme.id, "resources": [
        {"resource": {"type": "folder", "id": "plans"}},
        {"resource": {"type": "document", "id": "42"}, "parent": {"type": "folder", "id": "plans"}}]});
    project.account.call("ResourceService/RegisterResources", register).await;
    assert!(!may(&acme, &grace.id, "document:write", Some(("document", "42"))).await);
    bind(&acme, json!({"member_id": grace.id}), &editor, json!({"resource": {"type": "folder", "id": "plans"}})).await;
    assert!(may(&acme, &grace.id, "document:write", Some(("document", "42"))).await);
    assert!(!may(&acme, &grace.id, "document:write", Some(("document", "43"))).await);
    assert!(!may(&acme, &grace.id, "document:write", None).await, "a part is not the whole");
}

#[tokio::test]
async fn a_group_gives_its_rights_to_whoever_is_in_it_for_as_long_as_they_are() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    product(&acme).await;
    let grace = acme.join("grace", &["member"]).await;
    let editor = role(&acme, "editor", &["document:*"]).await;
    let owner = &acme.owner().caller;
    let group = |name: &str| json!({"organization_id": acme.id, "group": {"display_name": name}});
    let inner = text(&owner.call("GroupService/CreateGroup", group("inner")).await, "group_id");
    let outer = text(&owner.call("GroupService/CreateGroup", group("outer")).await, "group_id");
    let add =
        |group: &str, subject: Value| json!({"organization_id": acme.id, "group_id": group, "subjects": [subject]});
    owner.call("GroupService/AddGroupMembers", add(&inner, json!({"member_id": grace.id}))).await;
    owner.call("GroupService/AddGroupMembers", add(&outer, json!({"group_id": inner}))).await;
    bind(&acme, json!({"group_id": outer}), &editor, json!({})).await;
    assert!(may(&acme, &grace.id, "document:read", Some(("document", "7"))).await);
    owner
        .refused(
            "GroupService/AddGroupMembers",
            add(&inner, json!({"group_id": outer})),
            Code::FailedPrecondition,
            "CYCLE",
        )
        .await;
    owner.call("GroupService/RemoveGroupMembers", add(&inner, json!({"member_id": grace.id}))).await;
    assert!(!may(&acme, &grace.id, "document:read", Some(("document", "7"))).await);
}

#[tokio::test]
async fn a_deny_wins_and_a_window_opens_and_closes() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    product(&acme).await;
    let grace = acme.join("grace", &["member"]).await;
    let editor = role(&acme, "editor", &["document:*"]).await;
    let me = || json!({"member_id": grace.id});
    bind(&acme, me(), &editor, json!({})).await;
    let deny = json!({"effect": "BINDING_EFFECT_DENY", "resource": {"type": "document", "id": "secret"}});
    bind(&acme, me(), &editor, deny).await;
    assert!(may(&acme, &grace.id, "document:read", Some(("document", "7"))).await);
    assert!(!may(&acme, &grace.id, "document:read", Some(("document", "secret"))).await);

    let ada = acme.join("ada", &["member"]).await;
    let past = json!({"expire_time": "2020-01-01T00:00:00Z"});
    let future = json!({"not_before": "2120-01-01T00:00:00Z"});
    for window in [past, future] {
        let binding = json!({"subject": {"member_id": ada.id}, "role_id": editor});
        let mut binding = binding;
        binding.as_object_mut().unwrap().extend(window.as_object().unwrap().clone());
        // A window that is over already may be refused as pointless; it must not grant.
        let request = json!({"organization_id": acme.id, "binding": binding});
        let _ = acme.owner().caller.try_call("BindingService/CreateBinding", request).await;
    }
    assert!(!may(&acme, &ada.id, "document:read", Some(("document", "7"))).await);
}

#[tokio::test]
async fn all_members_are_those_of_the_organization_and_nobody_else() {
    let cluster = Cluster::shared().await;
    let (project, elsewhere) = (cluster.project().await, cluster.project().await);
    let (acme, sister) = (project.organization("acme").await, project.organization("sister").await);
    let globex = elsewhere.organization("globex").await;
    product(&acme).await;
    let grace = acme.join("grace", &[]).await;
    let reader = role(&acme, "reader", &["document:read"]).await;
    bind(&acme, json!({"all_members": true}), &reader, json!({})).await;
    let deadline = Instant::now() + Duration::from_secs(2);
    while !may(&acme, &grace.id, "document:read", None).await {
        assert!(Instant::now() < deadline, "a member is not among all members");
    }
    for stranger in [&sister.owner().id, &globex.owner().id, "member_01h455vb4pex5vsknk084sn02q"] {
        assert!(!may(&acme, stranger, "document:read", None).await, "{stranger} is no member of {}", acme.slug);
    }
    let late = acme.join("late", &[]).await;
    let deadline = Instant::now() + Duration::from_secs(2);
    while !may(&acme, &late.id, "document:read", None).await {
        assert!(Instant::now() < deadline, "a later member is not among all members");
    }
}

#[tokio::test]
async fn nobody_grants_what_they_do_not_hold() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    product(&acme).await;
    let admin = acme.join("admin", &["admin"]).await;
    let grace = acme.join("grace", &["member"]).await;
    let editor = role(&acme, "editor", &["document:*"]).await;
    let exceeds = "GRANT_EXCEEDS_GRANTOR";
    let binding = |role: &str, subject: &str| json!({"organization_id": acme.id, "binding": {"subject": {"member_id": subject}, "role_id": role}});
    // An admin manages people, not the product's documents: she cannot hand them out, not to herself either.
    for subject in [&grace.id, &admin.id] {
        admin
            .caller
            .refused("BindingService/CreateBinding", binding(&editor, subject), Code::PermissionDenied, exceeds)
            .await;
    }
    for permissions in [json!(["document:read"]), json!(["*"]), json!(["guildhall.organization:delete"])] {
        let role = json!({"organization_id": acme.id,
            "role": {"key": unique("role"), "display_name": "x", "permissions": permissions}});
        admin.caller.refused("RoleService/CreateRole", role, Code::PermissionDenied, exceeds).await;
    }
    // Nor by way of a role that includes it, or of a group that has it.
    let include = json!({"organization_id": acme.id,
        "role": {"key": unique("role"), "display_name": "x", "included_role_ids": [editor]}});
    admin.caller.refused("RoleService/CreateRole", include, Code::PermissionDenied, exceeds).await;
    let group = json!({"organization_id": acme.id, "group": {"display_name": "editors"}});
    let group = text(&acme.owner().caller.call("GroupService/CreateGroup", group).await, "group_id");
    bind(&acme, json!({"group_id": group}), &editor, json!({})).await;
    let join = json!({"organization_id": acme.id, "group_id": group, "subjects": [{"member_id": admin.id}]});
    admin.caller.refused("GroupService/AddGroupMembers", join, Code::PermissionDenied, exceeds).await;
    assert!(!may(&acme, &admin.id, "document:read", Some(("document", "1"))).await);
}

#[tokio::test]
async fn bad_input_names_every_fault_and_changes_nothing() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let catalog = json!({"catalog": {"resource_types": [
        {"name": "guildhall.member", "verbs": ["read"]}, {"name": "Document", "verbs": ["READ", "read read"]}]}});
    let refused =
        project.account.refused("CatalogService/UpdateCatalog", catalog, Code::InvalidArgument, "INVALID_FIELDS").await;
    assert!(refused.fields.len() >= 3, "{refused:?}");
    product(&acme).await;
    let owner = &acme.owner().caller;
    let unknown = json!({"organization_id": acme.id,
        "role": {"key": "x", "display_name": "x", "permissions": ["document:fly"]}});
    owner.refused("RoleService/CreateRole", unknown, Code::FailedPrecondition, "UNKNOWN_PERMISSION").await;
    let roles = project.account.call("RoleService/ListRoles", json!({"organization_id": acme.id})).await;
    assert!(roles["roles"].as_array().unwrap().iter().all(|r| r["key"] != "x"));
    let nowhere = json!({"organization_id": acme.id,
        "binding": {"subject": {"member_id": acme.owner().id}, "role_id": "role_01h455vb4pex5vsknk084sn02q"}});
    let refused = owner.try_call("BindingService/CreateBinding", nowhere).await.unwrap_err();
    assert_eq!(refused.code, Code::NotFound, "{refused:?}");
    let conditional = json!({"organization_id": acme.id,
        "binding": {"subject": {"member_id": acme.owner().id}, "role_id": role(&acme, "y", &["document:read"]).await, "condition": "true &&"}});
    let refused =
        owner.refused("BindingService/CreateBinding", conditional, Code::InvalidArgument, "INVALID_FIELDS").await;
    assert_eq!(refused.fields, ["binding.condition"], "a text that is no condition is never stored");
}

#[tokio::test]
async fn a_revision_token_is_of_its_organization_and_of_its_past() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    product(&acme).await;
    let editor = role(&acme, "editor", &["document:*"]).await;
    let binding = bind(&acme, json!({"member_id": acme.owner().id}), &editor, json!({})).await;
    let revision = text(&binding, "revision");
    let check = |organization: &Organization<'_>, token: &str| {
        json!({"organization_id": organization.id, "subject": {"member_id": organization.owner().id},
            "permission": "document:read", "consistency": {"at_least_as_fresh": token}})
    };
    project.account.call(CHECK, check(&acme, &revision)).await;
    let invalid = "INVALID_REVISION_TOKEN";
    project.account.refused(CHECK, check(&globex, &revision), Code::InvalidArgument, invalid).await;
    for bent in [format!("{revision}A"), revision[1..].to_owned(), "x".into()] {
        project.account.refused(CHECK, check(&acme, &bent), Code::InvalidArgument, invalid).await;
    }
}

#[tokio::test]
async fn a_batch_answers_in_order_and_a_role_in_use_is_kept() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    product(&acme).await;
    let grace = acme.join("grace", &["member"]).await;
    let editor = role(&acme, "editor", &["document:*"]).await;
    let binding =
        bind(&acme, json!({"member_id": grace.id}), &editor, json!({"resource": {"type": "document", "id": "2"}}))
            .await;
    let checks: Vec<Value> = (0..5)
        .map(|n| json!({"subject": {"member_id": grace.id}, "permission": "document:read", "resource": {"type": "document", "id": n.to_string()}}))
        .collect();
    let batch = json!({"organization_id": acme.id, "checks": checks, "consistency": {"fully_consistent": true}});
    let answer = project.account.call("AuthorizationService/BatchCheck", batch).await;
    let allowed: Vec<bool> =
        answer["results"].as_array().unwrap().iter().map(|r| r["allowed"].as_bool().unwrap()).collect();
    assert_eq!(allowed, [false, false, true, false, false]);

    let owner = &acme.owner().caller;
    let delete = json!({"organization_id": acme.id, "role_id": editor});
    owner.refused("RoleService/DeleteRole", delete.clone(), Code::FailedPrecondition, "ROLE_IN_USE").await;
    let unbind = json!({"organization_id": acme.id, "binding_id": text(&binding, "binding_id")});
    owner.call("BindingService/DeleteBinding", unbind).await;
    assert!(!may(&acme, &grace.id, "document:read", Some(("document", "2"))).await);
    owner.call("RoleService/DeleteRole", delete).await;
}
