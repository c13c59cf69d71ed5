//! Many changes at once: all of them or none, in one revision, and never more than the caller could do one after another.

use std::str::FromStr;

use serde_json::{Value, json};
use tenancy::{BindingId, GroupId, MemberId, RoleId};
use testkit::{
    Cluster,
    caller::{Caller, Organization, text, unique},
    dynamic::Refused,
};
use tonic::Code;

const APPLY: &str = "BindingService/ApplyChanges";
const OWNER: &str = "role_0000000000e0080037enp68001";

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

async fn refused(caller: &Caller, organization: &Organization<'_>, changes: &[Value]) -> Refused {
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

async fn may(organization: &Organization<'_>, member: &str, permission: &str, at: Option<Value>) -> bool {
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
async fn held(organization: &Organization<'_>, member: &str, at: Option<Value>) -> Value {
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
    assert_eq!(
        held(&acme, &acme.owner().id, None).await,
        held(&acme, &acme.owner().id, Some(place("document", "9"))).await
    );
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

#[tokio::test]
async fn an_organization_changes_hands_in_any_order_and_keeps_an_owner() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let owner = &acme.owner();
    let heir = acme.join("heir", &["member"]).await;
    let mine = |member: &str| json!({"organization_id": acme.id, "subject": {"member_id": member}, "role_id": OWNER});
    let binding = project.account.call("BindingService/ListBindings", mine(&owner.id)).await;
    let binding = text(&binding, "bindings.0.binding_id");
    let (me, them) = (json!({"member_id": owner.id}), json!({"member_id": heir.id}));
    let leave = json!({"delete_binding_id": binding});
    let (code, last) = (Code::FailedPrecondition, "LAST_OWNER");
    let nobody = json!({"member_id": MemberId::new().to_string()});
    let (group_id, role_id) = (GroupId::new(), RoleId::new());
    // By whatever door; also by one that opens in a hundred years.
    let later = |change: Value| {
        let mut change = change;
        change["create_binding"]["not_before"] = json!("2120-01-01T00:00:00Z");
        change
    };
    let ways = [
        (vec![leave.clone()], vec!["changes[0].delete_binding_id"]),
        (vec![group(&group_id), leave.clone()], vec!["changes[1].delete_binding_id"]),
        (vec![deny(&me, "member")], vec!["changes[0].create_binding"]),
        (vec![later(deny(&me, "member"))], vec!["changes[0].create_binding"]),
        (
            vec![
                group(&group_id),
                later(deny(&json!({"group_id": group_id.to_string()}), "member")),
                join(&group_id, &me),
            ],
            vec!["changes[1].create_binding", "changes[2].add_group_member"],
        ),
        (
            vec![
                role(&role_id, &[]),
                deny(&me, &role_id.to_string()),
                json!({"replace_role": {"role_id": role_id.to_string(), "display_name": "x", "permissions": ["guildhall.event:read"]}}),
            ],
            vec!["changes[1].create_binding", "changes[2].replace_role"],
        ),
        (vec![later(bind(&them, "owner")), leave.clone()], vec!["changes[1].delete_binding_id"]),
    ];
    for (changes, fields) in ways {
        let fault = project.account.refused(APPLY, batch(&acme, &changes), code, last).await;
        assert_eq!(fault.fields, fields, "{changes:?}");
    }
    let fault = refused(&project.account, &acme, &[bind(&nobody, "owner"), leave.clone()]).await;
    assert_eq!(fault.reason, "NOT_FOUND", "nobody leaves for one who is not there");
    // She gives away what she has; once it is gone there is nothing to give. The project may do either first.
    let exceeds = "GRANT_EXCEEDS_GRANTOR";
    let hasty = batch(&acme, &[leave.clone(), bind(&them, "owner")]);
    let fault = owner.caller.refused(APPLY, hasty.clone(), Code::PermissionDenied, exceeds).await;
    assert_eq!(fault.fields, ["changes[1].create_binding"]);
    project.account.call(APPLY, hasty).await;
    assert!(may(&acme, &heir.id, "guildhall.organization:delete", None).await);
    assert!(!may(&acme, &owner.id, "guildhall.organization:delete", None).await);
    let heirs =
        text(&project.account.call("BindingService/ListBindings", mine(&heir.id)).await, "bindings.0.binding_id");
    let back = batch(&acme, &[bind(&me, "owner"), json!({"delete_binding_id": heirs})]);
    heir.caller.call(APPLY, back).await;
    assert!(may(&acme, &owner.id, "guildhall.organization:delete", None).await);
}

/// An admin, and things around her that hold or withhold more than she has.
struct Temptations<'c> {
    acme: Organization<'c>,
    admin: testkit::caller::Member,
    /// `document:*`, which an admin does not hold.
    editor: RoleId,
    /// A role that the admin is bound to.
    helper: RoleId,
    /// A group that owns the organization.
    lords: GroupId,
    /// A group that the admin is in.
    staff: GroupId,
    /// A group that is denied `guildhall.event:read`, with the admin in it.
    muted: GroupId,
    /// What it is denied by.
    hush: RoleId,
    /// The binding that denies.
    muting: String,
}

impl<'c> Temptations<'c> {
    async fn new(acme: Organization<'c>) -> Self {
        product(&acme).await;
        let admin = acme.join("admin", &["admin"]).await;
        let me = json!({"member_id": admin.id});
        let (editor, helper, hush) = (RoleId::new(), RoleId::new(), RoleId::new());
        let (lords, staff, muted) = (GroupId::new(), GroupId::new(), GroupId::new());
        let of = |group: &GroupId| json!({"group_id": group.to_string()});
        let changes = [
            role(&editor, &["document:*"]),
            role(&helper, &["guildhall.member:read"]),
            role(&hush, &["guildhall.event:read"]),
            group(&lords),
            group(&staff),
            group(&muted),
            bind(&of(&lords), "owner"),
            bind(&me, &helper.to_string()),
            join(&staff, &me),
            join(&muted, &me),
            deny(&of(&muted), &hush.to_string()),
            // She edits what lies in her own folder, and nothing in the vault, although the plan in it was hers once.
            register(place("folder", "hers"), None),
            register(place("folder", "vault"), None),
            register(place("document", "secret"), Some(place("folder", "vault"))),
            register(place("document", "plan"), Some(place("folder", "vault"))),
            at(bind(&me, &editor.to_string()), "folder", "hers"),
            at(bind(&me, &editor.to_string()), "document", "plan"),
            at(deny(&me, &editor.to_string()), "folder", "vault"),
        ];
        let made = apply(&acme, &changes).await;
        let muting = text(&made, "created_ids.10");
        Self { acme, admin, editor, helper, lords, staff, muted, hush, muting }
    }

    /// All that she may do, wherever it matters.
    async fn rights(&self) -> Vec<Value> {
        let mut rights = vec![held(&self.acme, &self.admin.id, None).await];
        for (kind, id) in [
            ("folder", "hers"),
            ("folder", "vault"),
            ("document", "secret"),
            ("document", "plan"),
            ("document", "fresh"),
        ] {
            rights.push(held(&self.acme, &self.admin.id, Some(place(kind, id))).await);
        }
        rights
    }
}

#[tokio::test]
async fn an_admin_gains_nothing_by_any_kind_of_change() {
    let project = Cluster::shared().await.project().await;
    let there = Temptations::new(project.organization("acme").await).await;
    let Temptations { acme, admin, editor, helper, lords, staff, muted, hush, muting } = &there;
    let me = json!({"member_id": admin.id});
    let of = |group: &GroupId| json!({"group_id": group.to_string()});
    let (fresh_role, fresh_group) = (RoleId::new(), GroupId::new());
    let (fresh, editor, helper) = (fresh_role.to_string(), editor.to_string(), helper.to_string());
    let replace = |role: &str, permissions: &[&str]| json!({"replace_role": {"role_id": role, "display_name": "x", "permissions": permissions}});
    let mv = |kind: &str, id: &str, to: Option<Value>| {
        let mut registration = json!({"resource": place(kind, id)});
        if let Some(parent) = to {
            registration["parent"] = parent;
        }
        json!({"move_resource": registration})
    };
    // Each with the change that goes too far.
    let attempts: Vec<(&str, usize, Vec<Value>)> = vec![
        ("a binding", 0, vec![bind(&me, "owner")]),
        ("a binding of a group she is in", 0, vec![bind(&of(staff), &editor)]),
        ("a binding of all members", 0, vec![bind(&json!({"all_members": true}), &editor)]),
        ("a binding at one resource", 0, vec![at(bind(&me, &editor), "document", "secret")]),
        (
            "a binding that is yet to begin",
            0,
            vec![{
                let mut change = bind(&me, "owner");
                change["create_binding"]["not_before"] = json!("2120-01-01T00:00:00Z");
                change
            }],
        ),
        ("a role of everything", 0, vec![role(&fresh_role, &["*"]), bind(&me, &fresh)]),
        (
            "a role that includes the owner's",
            0,
            vec![
                json!({"create_role": {"role_id": fresh, "key": unique("role"), "display_name": "x", "included_role_ids": [OWNER]}}),
            ],
        ),
        ("a role she holds, made wider", 0, vec![replace(&helper, &["*"])]),
        (
            "a role she holds, made to include",
            0,
            vec![json!({"replace_role": {"role_id": helper, "display_name": "x", "included_role_ids": [editor]}})],
        ),
        (
            "a role bound while it was empty",
            2,
            vec![role(&fresh_role, &[]), bind(&me, &fresh), replace(&fresh, &["*"])],
        ),
        (
            "a role included while it was empty",
            2,
            vec![
                role(&fresh_role, &[]),
                json!({"replace_role": {"role_id": helper, "display_name": "x", "permissions": ["guildhall.member:read"], "included_role_ids": [fresh]}}),
                replace(&fresh, &["document:write"]),
            ],
        ),
        ("a group that owns", 0, vec![join(lords, &me)]),
        ("her group in a group that owns", 0, vec![join(lords, &of(staff))]),
        (
            "a group that is bound after she joined",
            2,
            vec![group(&fresh_group), join(&fresh_group, &me), bind(&of(&fresh_group), "owner")],
        ),
        (
            "a group that joins after she did",
            2,
            vec![group(&fresh_group), join(&fresh_group, &me), join(lords, &of(&fresh_group))],
        ),
        (
            "leaving a group that is denied",
            0,
            vec![json!({"remove_group_member": {"group_id": muted.to_string(), "subject": me}})],
        ),
        ("deleting a group that is denied", 0, vec![json!({"delete_group_id": muted.to_string()})]),
        ("deleting the deny", 0, vec![json!({"delete_binding_id": muting})]),
        ("making the denied role narrower", 0, vec![replace(&hush.to_string(), &[])]),
        ("moving a secret where she may read", 0, vec![mv("document", "secret", Some(place("folder", "hers")))]),
        ("moving her plan out of the vault", 0, vec![mv("document", "plan", None)]),
        ("moving her plan to where she may", 0, vec![mv("document", "plan", Some(place("folder", "hers")))]),
        ("moving her folder around the vault", 0, vec![mv("folder", "vault", Some(place("folder", "hers")))]),
        (
            "registering what is not there in her folder",
            0,
            vec![register(place("document", "fresh"), Some(place("folder", "hers")))],
        ),
        ("removing what is denied above it", 0, vec![json!({"remove_resource": place("document", "plan")})]),
        (
            "giving up, moving, and taking again",
            1,
            vec![mv("document", "secret", None)]
                .into_iter()
                .chain([mv("document", "secret", Some(place("folder", "hers")))])
                .collect(),
        ),
    ];
    let before = there.rights().await;
    let at_first = revision(acme).await;
    for (attempt, which, changes) in &attempts {
        let fault = admin.caller.try_call(APPLY, batch(acme, changes)).await;
        let fault = fault.expect_err(attempt);
        assert_eq!(
            (fault.code, fault.reason.as_str()),
            (Code::PermissionDenied, "GRANT_EXCEEDS_GRANTOR"),
            "{attempt}: {fault:?}"
        );
        let at_fault = |at: usize| fault.fields.iter().any(|field| field.starts_with(&format!("changes[{at}].")));
        assert!(at_fault(*which) || at_fault(0), "{attempt}: {fault:?}");
    }
    assert_eq!(revision(acme).await, at_first);
    assert_eq!(there.rights().await, before);
    // What she may do she does: her own rights are hers to give, and to take.
    let grace = acme.join("grace", &[]).await;
    let them = json!({"member_id": grace.id});
    admin.caller.call(APPLY, batch(acme, &[at(bind(&them, &editor), "folder", "hers"), bind(&them, "member")])).await;
}

#[tokio::test]
async fn what_is_given_up_in_a_batch_cannot_be_given_in_it() {
    let project = Cluster::shared().await.project().await;
    let there = Temptations::new(project.organization("acme").await).await;
    let Temptations { acme, admin, editor, .. } = &there;
    let editor = editor.to_string();
    let mine =
        json!({"organization_id": acme.id, "subject": {"member_id": admin.id}, "resource": place("folder", "hers")});
    let mine = text(&project.account.call("BindingService/ListBindings", mine).await, "bindings.0.binding_id");
    let friend = acme.join("friend", &["member"]).await;
    // Without a binding at her folder nothing keeps a document out of it; with what she held before, she would then give it.
    let changes = [
        json!({"delete_binding_id": mine}),
        register(place("document", "found"), Some(place("folder", "hers"))),
        at(bind(&json!({"member_id": friend.id}), &editor), "folder", "hers"),
    ];
    let fault =
        admin.caller.refused(APPLY, batch(acme, &changes), Code::PermissionDenied, "GRANT_EXCEEDS_GRANTOR").await;
    assert_eq!(fault.fields, ["changes[2].create_binding"]);
    // In the order in which she may: the gift first.
    let changes =
        [at(bind(&json!({"member_id": friend.id}), &editor), "folder", "hers"), json!({"delete_binding_id": mine})];
    admin.caller.call(APPLY, batch(acme, &changes)).await;
    assert!(may(acme, &friend.id, "document:write", Some(place("folder", "hers"))).await);
}

#[tokio::test]
async fn service_accounts_are_bounded_alike_and_the_project_is_not() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let owner = &acme.owner().caller;
    let made = json!({"organization_id": acme.id, "service_account": {"display_name": "robot"}, "roles": ["admin"]});
    let made = owner.call("ServiceAccountService/CreateServiceAccount", made).await;
    let id = text(&made, "service_account_id");
    let key = json!({"organization_id": acme.id, "service_account_id": id, "api_key": {"display_name": "key"}});
    let key = owner.call("ServiceAccountService/CreateApiKey", key).await;
    let cluster = Cluster::shared().await;
    let (client, secret) = (text(&key, "api_key.api_key_id"), text(&key, "secret"));
    let token = cluster.client_credentials(&client, &secret).await.expect("a token");
    let robot = cluster.bearer(&token);
    let me = json!({"service_account_id": id});
    let staff = GroupId::new();
    robot.call(APPLY, batch(&acme, &[group(&staff), join(&staff, &me)])).await;
    for changes in [
        vec![bind(&me, "owner")],
        vec![bind(&json!({"group_id": staff.to_string()}), "owner")],
        vec![role(&RoleId::new(), &["*"])],
    ] {
        robot.refused(APPLY, batch(&acme, &changes), Code::PermissionDenied, "GRANT_EXCEEDS_GRANTOR").await;
    }
    apply(&acme, &[bind(&me, "owner")]).await;
}

#[tokio::test]
async fn a_resource_moves_with_all_that_lies_in_it() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    product(&acme).await;
    let grace = acme.join("grace", &[]).await;
    let editor = RoleId::new();
    let (a, b, c) = (place("folder", "a"), place("folder", "b"), place("folder", "c"));
    let doc = place("document", "42");
    apply(
        &acme,
        &[
            role(&editor, &["document:write"]),
            register(a.clone(), None),
            register(b.clone(), Some(a.clone())),
            register(c.clone(), None),
            register(doc.clone(), Some(b.clone())),
            at(bind(&json!({"member_id": grace.id}), &editor.to_string()), "folder", "a"),
        ],
    )
    .await;
    let mv = |resource: &Value, parent: Option<&Value>| {
        let mut request = json!({"organization_id": acme.id, "resource": resource});
        if let Some(parent) = parent {
            request["parent"] = parent.clone();
        }
        request
    };
    let call = "ResourceService/MoveResource";
    let account = &project.account;
    assert!(may(&acme, &grace.id, "document:write", Some(doc.clone())).await);
    let moved = account.call(call, mv(&b, Some(&c))).await;
    assert_eq!((text(&moved, "parent.id"), text(&moved, "resource.id")), ("c".to_owned(), "b".to_owned()));
    assert!(!may(&acme, &grace.id, "document:write", Some(doc.clone())).await);
    // To where it is: nothing changes. With an etag of before: refused.
    let before = revision(&acme).await;
    assert_eq!(text(&account.call(call, mv(&b, Some(&c))).await, "etag"), text(&moved, "etag"));
    assert_eq!(revision(&acme).await, before);
    let mut guarded = mv(&b, Some(&a));
    guarded["etag"] = json!("0");
    account.refused(call, guarded.clone(), Code::Aborted, "ETAG_MISMATCH").await;
    guarded["etag"] = moved["etag"].clone();
    guarded["request_id"] = json!("once");
    let back = account.call(call, guarded.clone()).await;
    assert_eq!(account.call(call, guarded).await, back);
    assert!(may(&acme, &grace.id, "document:write", Some(doc.clone())).await);

    let failed = Code::FailedPrecondition;
    account.refused(call, mv(&a, Some(&b)), failed, "CYCLE").await;
    account.refused(call, mv(&a, Some(&a)), failed, "CYCLE").await;
    account.refused(call, mv(&a, Some(&doc)), failed, "UNKNOWN_PERMISSION").await;
    account.refused(call, mv(&place("folder", "nowhere"), Some(&a)), Code::NotFound, "NOT_FOUND").await;
    account.refused(call, mv(&place("folder", ""), None), Code::InvalidArgument, "INVALID_FIELDS").await;
    // A parent that is not registered stands directly under the organization.
    account.call(call, mv(&c, Some(&place("folder", "unheard-of")))).await;
    // 30 levels, and with what lies in `a` 33.
    let chain: Vec<Value> = (1..30)
        .map(|n| register(place("folder", &format!("level-{n}")), Some(place("folder", &format!("level-{}", n - 1)))))
        .collect();
    apply(&acme, &chain).await;
    account.refused(call, mv(&a, Some(&place("folder", "level-29"))), failed, "CYCLE").await;
    account.call(call, mv(&a, Some(&place("folder", "level-28")))).await;
    assert!(may(&acme, &grace.id, "document:write", Some(doc)).await);
}
