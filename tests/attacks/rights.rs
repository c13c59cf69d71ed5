//! Invitations, roles and owners, taken from two sides at once or with less than they ask for.

use futures::future::join_all;
use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Organization, text, unique},
};
use tonic::Code;

const ACCEPT: &str = "InvitationService/AcceptInvitation";
const ROUNDS: usize = 12;

async fn binding_of(organization: &Organization<'_>, member: &str) -> Value {
    let bindings = json!({"organization_id": organization.id, "subject": {"member_id": member}});
    let bindings = organization.project.account.call("BindingService/ListBindings", bindings).await;
    json!({"organization_id": organization.id, "binding_id": text(&bindings, "bindings.0.binding_id")})
}

async fn members(organization: &Organization<'_>) -> usize {
    let list = json!({"organization_id": organization.id});
    organization.project.account.call("MemberService/ListMembers", list).await["members"].as_array().unwrap().len()
}

/// Whoever invites lends what they hold; when it is gone, nobody can come in by it.
#[tokio::test]
async fn an_inviter_who_lost_what_they_lent_lets_nobody_in() {
    let project = Cluster::shared().await.project().await;
    for what in ["demoted", "suspended", "removed"] {
        let acme = project.organization("acme").await;
        let admin = acme.join("admin", &["admin"]).await;
        let email = unique("grace") + "@acme.test";
        let invitation =
            json!({"organization_id": acme.id, "invitation": {"email_address": email}, "roles": ["admin"]});
        admin.caller.call("InvitationService/CreateInvitation", invitation).await;
        let accept = json!({"token": project.cluster.mailbox(&email).await[0].token()});
        let about = json!({"organization_id": acme.id, "member_id": admin.id});
        match what {
            "demoted" => {
                let binding = binding_of(&acme, &admin.id).await;
                project.account.call("BindingService/DeleteBinding", binding).await;
                let member = json!({"organization_id": acme.id, "binding": {"subject": {"member_id": admin.id}, "role_id": "member"}});
                // A member may invite nobody to more than a member's role.
                let roles = project.account.call("RoleService/ListRoles", json!({"organization_id": acme.id})).await;
                let role = roles["roles"].as_array().unwrap().iter().find(|role| role["key"] == "member").unwrap();
                let mut member = member;
                member["binding"]["role_id"] = role["role_id"].clone();
                project.account.call("BindingService/CreateBinding", member).await
            }
            "suspended" => project.account.call("MemberService/SuspendMember", about.clone()).await,
            _ => project.account.call("MemberService/RemoveMember", about.clone()).await,
        };
        let before = members(&acme).await;
        let anyone = project.anyone();
        let outcomes = join_all((0..10).map(|_| anyone.try_call(ACCEPT, accept.clone()))).await;
        for outcome in outcomes {
            let refused = outcome.expect_err(what);
            assert_eq!(
                (refused.code, refused.reason.as_str()),
                (Code::FailedPrecondition, "INVITER_LOST_RIGHTS"),
                "{what}"
            );
        }
        assert_eq!(members(&acme).await, before, "{what}");
    }
}

/// By each of its characters; and by cutting it, adding to it, and putting parts of two together.
#[tokio::test]
async fn an_edited_secret_opens_nothing_wherever_it_was_edited() {
    let project = Cluster::shared().await.project().await;
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    let token = acme.invite(&(unique("grace") + "@acme.test"), &["member"]).await;
    let other = globex.invite(&(unique("grace") + "@globex.test"), &["member"]).await;
    let mut wrong = Vec::new();
    for at in 0..token.len() {
        let change = |c: char| if c == 'A' { 'B' } else { 'A' };
        wrong.push(token.char_indices().map(|(n, c)| if n == at { change(c) } else { c }).collect::<String>());
        wrong.push(format!("{}{}", &token[..at], &other[at.min(other.len())..]));
    }
    wrong.extend([
        token.to_uppercase(),
        token.to_lowercase(),
        format!(" {token}"),
        format!("{token}="),
        token.repeat(2),
    ]);
    wrong.retain(|text| *text != token && *text != other);
    let anyone = project.anyone();
    for part in wrong.chunks(16) {
        let outcomes = join_all(part.iter().map(|token| anyone.try_call(ACCEPT, json!({"token": token})))).await;
        for (token, outcome) in part.iter().zip(outcomes) {
            let refused = outcome.expect_err(token);
            assert!(
                ["INVITATION_UNKNOWN", "INVALID_FIELDS"].contains(&refused.reason.as_str()),
                "{token}: {refused:?}"
            );
        }
    }
    // Both are as good as they were, once.
    for token in [token, other] {
        anyone.call(ACCEPT, json!({"token": token})).await;
        anyone.refused(ACCEPT, json!({"token": token}), Code::FailedPrecondition, "INVITATION_NOT_PENDING").await;
    }
}

/// Fifty at once, of whom all but one are signed in as somebody else.
#[tokio::test]
async fn of_fifty_accounts_at_once_the_one_that_was_invited_comes_in() {
    let project = Cluster::shared().await.project().await;
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    let (eve, grace) = (globex.join("eve", &["admin"]).await, globex.join("grace", &["member"]).await);
    let token = acme.invite(&grace.email, &["admin"]).await;
    let callers = (0..50).map(|n| if n == 25 { &grace } else { &eve });
    let outcomes = join_all(callers.map(|who| who.caller.try_call(ACCEPT, json!({"token": token})))).await;
    for (n, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Ok(joined) => assert_eq!((n, text(joined, "member.email_address")), (25, grace.email.clone())),
            Err(refused) => {
                let expected = ["INVITATION_FOR_ANOTHER", "INVITATION_NOT_PENDING"];
                assert!(n != 25 && expected.contains(&refused.reason.as_str()), "{n}: {refused:?}");
            }
        }
    }
    assert_eq!(members(&acme).await, 2);
    let again = grace.caller.try_call(ACCEPT, json!({"token": token})).await.unwrap_err();
    assert_eq!(again.reason, "INVITATION_NOT_PENDING", "{again:?}");
}

/// Two changes that make half a circle each, from two sides at once: one of them is refused.
#[tokio::test]
async fn no_circle_is_closed_from_two_sides_at_once() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let account = &project.account;
    let types =
        json!({"catalog": {"resource_types": [{"name": "folder", "verbs": ["read"], "parent_types": ["folder"]}]}});
    account.call("CatalogService/UpdateCatalog", types).await;
    for round in 0..ROUNDS {
        let role = async || {
            let role = json!({"organization_id": acme.id, "role": {"key": unique("r"), "display_name": "x", "permissions": ["guildhall.member:read"]}});
            text(&account.call("RoleService/CreateRole", role).await, "role_id")
        };
        let group = async || {
            let group = json!({"organization_id": acme.id, "group": {"display_name": "x"}});
            text(&account.call("GroupService/CreateGroup", group).await, "group_id")
        };
        let (one, other) = (role().await, role().await);
        let include = |role: &str, included: &str| {
            json!({"organization_id": acme.id, "update_mask": "includedRoleIds",
            "role": {"role_id": role, "included_role_ids": [included]}})
        };
        let (this, that) = (group().await, group().await);
        let join = |group: &str, member: &str| json!({"organization_id": acme.id, "group_id": group, "subjects": [{"group_id": member}]});
        let (up, down) = (unique("f"), unique("f"));
        let folders = json!([{"resource": {"type": "folder", "id": up}}, {"resource": {"type": "folder", "id": down}}]);
        account
            .call("ResourceService/RegisterResources", json!({"organization_id": acme.id, "resources": folders}))
            .await;
        let under = |child: &str, parent: &str| {
            json!({"organization_id": acme.id, "resource": {"type": "folder", "id": child},
            "parent": {"type": "folder", "id": parent}})
        };
        for (method, changes) in [
            ("RoleService/UpdateRole", [include(&one, &other), include(&other, &one)]),
            ("GroupService/AddGroupMembers", [join(&this, &that), join(&that, &this)]),
            ("ResourceService/MoveResource", [under(&up, &down), under(&down, &up)]),
        ] {
            let outcomes = join_all(changes.iter().map(|change| account.try_call(method, change.clone()))).await;
            let done = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
            assert_eq!(done, 1, "{method}, round {round}: {outcomes:?}");
            let refused = outcomes.iter().find_map(|outcome| outcome.as_ref().err()).unwrap();
            assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "CYCLE"), "{method}");
        }
    }
}

/// Two owners who put each other out at once, each with a right that the other takes away.
#[tokio::test]
async fn of_two_owners_who_put_each_other_out_one_stays() {
    let project = Cluster::shared().await.project().await;
    for round in 0..ROUNDS {
        let acme = project.organization("acme").await;
        let (ada, grace) = (acme.owner(), acme.join("grace", &["owner"]).await);
        let out = |who: &str| json!({"organization_id": acme.id, "member_id": who});
        let (first, second) = match round % 3 {
            0 => ("MemberService/RemoveMember", "MemberService/RemoveMember"),
            1 => ("MemberService/SuspendMember", "MemberService/RemoveMember"),
            _ => ("MemberService/SuspendMember", "MemberService/SuspendMember"),
        };
        let outcomes =
            tokio::join!(ada.caller.try_call(first, out(&grace.id)), grace.caller.try_call(second, out(&ada.id)));
        let done = [outcomes.0.is_ok(), outcomes.1.is_ok()].iter().filter(|done| **done).count();
        assert_eq!(done, 1, "round {round}: {outcomes:?}");
        let active = json!({"organization_id": acme.id, "state": "MEMBER_STATE_ACTIVE"});
        let left = project.account.call("MemberService/ListMembers", active).await;
        assert_eq!(left["members"].as_array().unwrap().len(), 1, "round {round}: {left}");
    }
}
