//! Many changes at once: all of them or none, in one revision, and never more than the caller could do one after another.

use std::str::FromStr;

use serde_json::{Value, json};
use tenancy::{BindingId, GroupId, RoleId};
use testkit::{
    Cluster,
    caller::{Caller, Organization, text, unique},
    dynamic::Refused,
};
use tonic::Code;

pub const APPLY: &str = "BindingService/ApplyChanges";
pub const OWNER: &str = "role_0000000000e0080037enp68001";

/// Folders in folders, documents in folders.
pub async fn product(organization: &Organization<'_>) {
    let catalog = json!({"catalog": {"resource_types": [
        {"name": "folder", "parent_types": ["folder"], "verbs": ["read", "write"]},
        {"name": "document", "parent_types": ["folder"], "verbs": ["read", "write"]}]}});
    organization.project.account.call("CatalogService/UpdateCatalog", catalog).await;
}

pub fn batch(organization: &Organization<'_>, changes: &[Value]) -> Value {
    json!({"organization_id": organization.id, "changes": changes})
}

pub async fn apply(organization: &Organization<'_>, changes: &[Value]) -> Value {
    organization.project.account.call(APPLY, batch(organization, changes)).await
}

pub async fn refused(caller: &Caller, organization: &Organization<'_>, changes: &[Value]) -> Refused {
    let outcome = caller.try_call(APPLY, batch(organization, changes)).await;
    outcome.expect_err("the batch was applied")
}

pub fn role(id: &RoleId, permissions: &[&str]) -> Value {
    json!({"create_role": {"role_id": id.to_string(), "key": unique("role"), "display_name": "x",
        "permissions": permissions}})
}

pub fn group(id: &GroupId) -> Value {
    json!({"create_group": {"group_id": id.to_string(), "display_name": "x"}})
}

pub fn bind(subject: &Value, role: &str) -> Value {
    json!({"create_binding": {"subject": subject, "role_id": role}})
}

pub fn deny(subject: &Value, role: &str) -> Value {
    json!({"create_binding": {"subject": subject, "role_id": role, "effect": "BINDING_EFFECT_DENY"}})
}

pub fn at(mut change: Value, kind: &str, id: &str) -> Value {
    change["create_binding"]["resource"] = place(kind, id);
    change
}

pub fn place(kind: &str, id: &str) -> Value {
    json!({"type": kind, "id": id})
}

pub fn register(resource: Value, parent: Option<Value>) -> Value {
    let mut registration = json!({"resource": resource});
    if let Some(parent) = parent {
        registration["parent"] = parent;
    }
    json!({"register_resource": registration})
}

pub fn join(group: &GroupId, subject: &Value) -> Value {
    json!({"add_group_member": {"group_id": group.to_string(), "subject": subject}})
}

pub async fn may(organization: &Organization<'_>, member: &str, permission: &str, at: Option<Value>) -> bool {
    let mut request = json!({"organization_id": organization.id, "subject": {"member_id": member},
        "permission": permission, "consistency": {"fully_consistent": true}});
    if let Some(at) = at {
        request["resource"] = at;
    }
    let answer = organization.project.account.call("AuthorizationService/Check", request).await;
    answer["allowed"].as_bool().unwrap()
}

/// Where the organization stands: a token that every change moves.
pub async fn revision(organization: &Organization<'_>) -> String {
    let request = json!({"organization_id": organization.id, "subject": {"member_id": organization.owner().id},
        "permission": "guildhall.member:read", "consistency": {"fully_consistent": true}});
    text(&organization.project.account.call("AuthorizationService/Check", request).await, "revision")
}

/// Everything that the member may do at a place.
pub async fn held(organization: &Organization<'_>, member: &str, at: Option<Value>) -> Value {
    let mut request = json!({"organization_id": organization.id, "subject": {"member_id": member},
        "consistency": {"fully_consistent": true}});
    if let Some(at) = at {
        request["resource"] = at;
    }
    organization.project.account.call("AuthorizationService/ListPermissions", request).await["permissions"].clone()
}

#[tokio::test]
async fn a_thousand_changes_are_one_revision_or_none() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    product(&acme).await;
    let (editor, staff) = (RoleId::new(), GroupId::new());
    let mut changes = vec![role(&editor, &["document:write"]), group(&staff)];
    let staff = json!({"group_id": staff.to_string()});
    changes.extend((2..1000).map(|n| at(bind(&staff, &editor.to_string()), "document", &n.to_string())));
    let before = revision(&acme).await;

    let mut faulty = changes.clone();
    faulty[700] = at(bind(&staff, &RoleId::new().to_string()), "document", "700");
    faulty[900] = at(bind(&json!({"group_id": GroupId::new().to_string()}), "nobody"), "castle", "900");
    let fault = refused(&project.account, &acme, &faulty).await;
    assert_eq!((fault.code, fault.reason.as_str()), (Code::NotFound, "NOT_FOUND"), "{fault:?}");
    assert_eq!(
        fault.fields,
        [
            "changes[700].create_binding.role_id",
            "changes[900].create_binding.role_id",
            "changes[900].create_binding.subject",
            "changes[900].create_binding.resource.type",
        ]
    );
    assert_eq!(revision(&acme).await, before, "nothing was changed");

    let applied = apply(&acme, &changes).await;
    let created: Vec<String> =
        applied["created_ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
    assert_eq!(created.len(), 1000);
    assert_eq!(created[0], editor.to_string());
    assert!(created[2..].iter().all(|id| BindingId::from_str(id).is_ok()));
    let member = json!({"organization_id": acme.id, "group_id": text(&staff, "group_id"),
        "subjects": [{"member_id": acme.owner().id}]});
    project.account.call("GroupService/AddGroupMembers", member).await;
    assert!(may(&acme, &acme.owner().id, "document:write", Some(place("document", "999"))).await);

    // One revision, in which each change is told, and one chain.
    let cluster = Cluster::shared().await;
    let service = cluster.bearer_at(cluster.door("authz-service"), Some(&acme.owner().tokens.access));
    let events = json!({"organization_id": acme.id, "page_size": 500, "kinds": ["binding.created"]});
    let events = service.call("EventService/ListEvents", events).await;
    let revisions: Vec<&Value> = events["events"].as_array().unwrap().iter().map(|event| &event["revision"]).collect();
    assert!(revisions.len() > 100 && revisions.iter().all(|revision| *revision == revisions[0]), "{revisions:?}");
    let chain = service.call("EventService/VerifyChain", json!({"organization_id": acme.id})).await;
    assert_eq!(chain["valid"], true, "{chain}");
    // All are gone as one, too: in the other order, or the role would be in use.
    let mut gone: Vec<Value> = created[2..].iter().map(|id| json!({"delete_binding_id": id})).collect();
    gone.push(json!({"delete_role_id": created[0]}));
    gone.push(json!({"delete_group_id": created[1]}));
    let early: Vec<Value> = gone.iter().rev().cloned().collect();
    let fault = refused(&project.account, &acme, &early[1..]).await;
    assert_eq!((fault.reason.as_str(), fault.fields[0].as_str()), ("ROLE_IN_USE", "changes[0].delete_role_id"));
    let gone = apply(&acme, &gone).await;
    assert!(gone["created_ids"].as_array().unwrap().iter().all(|id| id == ""));
}

#[tokio::test]
async fn later_changes_use_what_earlier_ones_made() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    product(&acme).await;
    let grace = acme.join("grace", &[]).await;
    let (inner, outer) = (GroupId::new(), GroupId::new());
    let key = unique("editor");
    let changes = [
        json!({"create_role": {"key": key, "display_name": "Editor", "permissions": ["document:write"]}}),
        group(&inner),
        group(&outer),
        join(&inner, &json!({"member_id": grace.id})),
        join(&outer, &json!({"group_id": inner.to_string()})),
        register(place("folder", "plans"), None),
        register(place("document", "42"), Some(place("folder", "plans"))),
        at(bind(&json!({"group_id": outer.to_string()}), &key), "folder", "plans"),
    ];
    let applied = apply(&acme, &changes).await;
    let check = json!({"organization_id": acme.id, "subject": {"member_id": grace.id}, "permission": "document:write",
        "resource": place("document", "42"), "consistency": {"at_least_as_fresh": text(&applied, "revision")}});
    assert_eq!(project.account.call("AuthorizationService/Check", check).await["allowed"], true);
    // Nor can what was made be made to contain itself, or be left by what it is needed by, in one batch or in two.
    let circle = [join(&inner, &json!({"group_id": outer.to_string()}))];
    assert_eq!(refused(&project.account, &acme, &circle).await.reason, "CYCLE");
    let (one, two) = (GroupId::new(), GroupId::new());
    let circle = [
        group(&one),
        group(&two),
        join(&one, &json!({"group_id": two.to_string()})),
        join(&two, &json!({"group_id": one.to_string()})),
    ];
    let fault = refused(&project.account, &acme, &circle).await;
    assert_eq!(fault.fields, ["changes[3].add_group_member.subject"], "{fault:?}");
    // An id is given once.
    let fault = refused(&project.account, &acme, &[group(&inner), group(&one), group(&one)]).await;
    assert_eq!((fault.code, fault.reason.as_str()), (Code::AlreadyExists, "ID_TAKEN"));
    assert_eq!(fault.fields, ["changes[0].create_group.group_id", "changes[2].create_group.group_id"]);
}

#[tokio::test]
async fn a_batch_finds_what_it_expects_or_changes_nothing() {
    let project = Cluster::shared().await.project().await;
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    product(&acme).await;
    let me = json!({"member_id": acme.owner().id});
    let seen = revision(&acme).await;
    let staff = GroupId::new();
    let with = |more: Value| {
        let mut request = batch(&acme, &[group(&GroupId::new())]);
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    project.account.call(APPLY, with(json!({"expected_revision": seen}))).await;
    let (aborted, unmet) = (Code::Aborted, "PRECONDITION_NOT_MET");
    let fault = project.account.refused(APPLY, with(json!({"expected_revision": seen})), aborted, unmet).await;
    assert_eq!(fault.fields, ["expected_revision"]);
    let foreign = with(json!({"expected_revision": revision(&globex).await}));
    project.account.refused(APPLY, foreign, Code::InvalidArgument, "INVALID_REVISION_TOKEN").await;

    apply(&acme, &[group(&staff), join(&staff, &me), register(place("folder", "plans"), None)]).await;
    let before = revision(&acme).await;
    let staff = staff.to_string();
    let owner = json!({"subject": me, "role_id": "owner"});
    let folder = json!({"resource": place("folder", "plans")});
    let holding = [
        json!({"binding_exists": owner}),
        json!({"binding_absent": {"subject": me, "role_id": OWNER, "effect": "BINDING_EFFECT_DENY"}}),
        json!({"binding_absent": {"subject": me, "role_id": "owner", "resource": place("folder", "plans")}}),
        json!({"membership_exists": {"group_id": staff, "subject": me}}),
        json!({"membership_absent": {"group_id": staff, "subject": {"member_id": globex.owner().id}}}),
        json!({"resource_exists": folder}),
        json!({"resource_absent": place("folder", "other")}),
    ];
    let failing = [
        json!({"binding_absent": owner}),
        json!({"binding_exists": {"subject": {"member_id": globex.owner().id}, "role_id": "owner"}}),
        json!({"binding_exists": {"subject": me, "role_id": "no-such-role"}}),
        json!({"membership_absent": {"group_id": staff, "subject": me}}),
        json!({"membership_exists": {"group_id": GroupId::new().to_string(), "subject": me}}),
        json!({"resource_absent": place("folder", "plans")}),
        json!({"resource_exists": {"resource": place("folder", "plans"), "parent": place("folder", "other")}}),
    ];
    let both: Vec<Value> = holding.iter().chain(&failing).cloned().collect();
    let fault = project.account.refused(APPLY, with(json!({"preconditions": both})), aborted, unmet).await;
    let named: Vec<String> = (7..14).map(|at| format!("preconditions[{at}]")).collect();
    assert_eq!(fault.fields, named);
    assert_eq!(revision(&acme).await, before);
    project.account.call(APPLY, with(json!({"preconditions": holding}))).await;
}

#[tokio::test]
async fn a_repeated_batch_is_answered_and_not_applied_again() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let request = |name: &str| {
        json!({"organization_id": acme.id, "request_id": "once",
            "changes": [{"create_group": {"display_name": name}}, {"create_group": {"display_name": "other"}}]})
    };
    let first = project.account.call(APPLY, request("staff")).await;
    assert_eq!(project.account.call(APPLY, request("staff")).await, first);
    let reused = "REQUEST_ID_REUSED";
    project.account.refused(APPLY, request("crew"), Code::InvalidArgument, reused).await;
    let groups = project.account.call("GroupService/ListGroups", json!({"organization_id": acme.id})).await;
    assert_eq!(groups["groups"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_malformed_is_named_and_batches_are_bounded() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let changes = [
        json!({"create_binding": {"role_id": "Not A Role"}}),
        json!({}),
        json!({"create_group": {"group_id": "role_x", "display_name": ""}}),
        json!({"move_resource": {"resource": {"type": "folder", "id": ""}}}),
        json!({"delete_binding_id": "binding"}),
    ];
    let mut request = batch(&acme, &changes);
    request["preconditions"] = json!([{}]);
    let fault = project.account.refused(APPLY, request, Code::InvalidArgument, "INVALID_FIELDS").await;
    assert_eq!(
        fault.fields,
        [
            "changes[0].create_binding.subject",
            "changes[0].create_binding.role_id",
            "changes[1]",
            "changes[2].create_group.group_id",
            "changes[2].create_group.display_name",
            "changes[3].move_resource.resource.id",
            "changes[4].delete_binding_id",
            "preconditions[0]",
        ]
    );
    for count in [0, 1001] {
        let changes: Vec<Value> = (0..count).map(|_| json!({"create_group": {"display_name": "x"}})).collect();
        let fault = refused(&project.account, &acme, &changes).await;
        assert_eq!(
            (fault.reason.as_str(), fault.fields.as_slice()),
            ("INVALID_FIELDS", ["changes".to_owned()].as_slice())
        );
    }
    // However many are wrong, the answer arrives.
    let lost: Vec<Value> = (0..1000).map(|_| json!({"delete_group_id": GroupId::new().to_string()})).collect();
    let fault = refused(&project.account, &acme, &lost).await;
    assert_eq!((fault.code, fault.reason.as_str()), (Code::NotFound, "NOT_FOUND"));
    assert!(fault.fields.len() > 50 && fault.fields.last().unwrap() == "changes", "{}", fault.fields.len());
}

#[tokio::test]
async fn nothing_of_another_organization_can_be_named() {
    let project = Cluster::shared().await.project().await;
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    product(&acme).await;
    let (editor, staff) = (RoleId::new(), GroupId::new());
    let them = json!({"member_id": globex.owner().id});
    let made =
        apply(&globex, &[role(&editor, &["document:read"]), group(&staff), bind(&them, &editor.to_string())]).await;
    let (editor, binding) = (editor.to_string(), text(&made, "created_ids.2"));
    apply(&globex, &[register(place("folder", "plans"), None)]).await;
    let me = json!({"member_id": acme.owner().id});
    let own = GroupId::new();
    let changes = [
        group(&own),
        bind(&me, &editor),
        bind(&them, "member"),
        bind(&json!({"group_id": staff.to_string()}), "member"),
        json!({"delete_binding_id": binding}),
        json!({"create_role": {"key": unique("role"), "display_name": "x", "included_role_ids": [editor]}}),
        json!({"replace_role": {"role_id": editor, "display_name": "x"}}),
        json!({"delete_role_id": editor}),
        json!({"delete_group_id": staff.to_string()}),
        join(&staff, &me),
        join(&own, &them),
        join(&own, &json!({"group_id": staff.to_string()})),
        json!({"remove_group_member": {"group_id": staff.to_string(), "subject": them}}),
        json!({"move_resource": {"resource": place("folder", "plans")}}),
    ];
    let before = (revision(&acme).await, revision(&globex).await);
    for caller in [&project.account, &acme.owner().caller] {
        let fault = refused(caller, &acme, &changes).await;
        assert_eq!((fault.code, fault.reason.as_str()), (Code::NotFound, "NOT_FOUND"), "{fault:?}");
        assert_eq!(
            fault.fields,
            [
                "changes[1].create_binding.role_id",
                "changes[2].create_binding.subject",
                "changes[3].create_binding.subject",
                "changes[4].delete_binding_id",
                "changes[5].create_role.included_role_ids",
                "changes[6].replace_role.role_id",
                "changes[7].delete_role_id",
                "changes[8].delete_group_id",
                "changes[9].add_group_member.group_id",
                "changes[10].add_group_member.subject",
                "changes[11].add_group_member.subject",
                "changes[12].remove_group_member.group_id",
                "changes[13].move_resource.resource",
            ]
        );
    }
    // To remove what is not there is no fault, and takes nothing from the other.
    apply(&acme, &[json!({"remove_resource": place("folder", "plans")})]).await;
    assert_eq!((revision(&acme).await, revision(&globex).await), before);
    // An id that is another's alone is free here, and says nothing of theirs.
    apply(&acme, &[group(&staff)]).await;
    for stranger in [&globex.owner().caller, &project.organization("third").await.owner().caller] {
        stranger.refused(APPLY, batch(&acme, &[group(&own)]), Code::NotFound, "NOT_FOUND").await;
    }
}

#[tokio::test]
async fn each_change_needs_the_permission_of_its_method() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let clerk = RoleId::new();
    apply(&acme, &[role(&clerk, &["guildhall.binding:apply", "guildhall.group:create", "guildhall.group:update"])])
        .await;
    let grace = acme.join("grace", &[]).await;
    apply(&acme, &[bind(&json!({"member_id": grace.id}), &clerk.to_string())]).await;
    let staff = GroupId::new();
    let me = json!({"member_id": grace.id});
    grace.caller.call(APPLY, batch(&acme, &[group(&staff), join(&staff, &me)])).await;
    let changes = [
        json!({"delete_group_id": staff.to_string()}),
        bind(&me, "member"),
        json!({"delete_binding_id": BindingId::new().to_string()}),
        role(&RoleId::new(), &[]),
        json!({"replace_role": {"role_id": clerk.to_string(), "display_name": "x"}}),
        json!({"delete_role_id": clerk.to_string()}),
        register(place("folder", "x"), None),
        json!({"move_resource": {"resource": place("folder", "x")}}),
        json!({"remove_resource": place("folder", "x")}),
    ];
    for change in changes {
        let request = batch(&acme, &[group(&GroupId::new()), change]);
        grace.caller.refused(APPLY, request, Code::PermissionDenied, "PERMISSION_MISSING").await;
    }
}
