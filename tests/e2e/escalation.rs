//! Nobody gains by a batch what they could not gain without it, and the last owner stays.

use serde_json::{Value, json};
use tenancy::{GroupId, MemberId, RoleId};
use testkit::{
    Cluster,
    caller::{Member, Organization, text, unique},
};
use tonic::Code;

use crate::changes::{
    APPLY, OWNER, apply, at, batch, bind, deny, group, held, join, may, place, product, refused, register, revision,
    role,
};

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
    admin: Member,
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
        let admin = acme.again(&admin).await;
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
    let made = json!({"organization_id": acme.id, "service_account": {"display_name": "robot"}});
    let made = owner.call("ServiceAccountService/CreateServiceAccount", made).await;
    let id = text(&made, "service_account_id");
    let key = json!({"organization_id": acme.id, "service_account_id": id});
    let key = owner.call("ServiceAccountService/CreateApiKey", key).await;
    owner.call(APPLY, batch(&acme, &[bind(&json!({"service_account_id": id}), "admin")])).await;
    let cluster = Cluster::shared().await;
    let token = cluster.client_credentials(&id, &text(&key, "secret")).await.expect("a token");
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
