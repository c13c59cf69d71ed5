//! Invitations: accepted once, by whoever holds the secret, for as long as the inviter could still grant them.

use futures::future::join_all;
use serde_json::json;
use testkit::{
    Cluster,
    caller::{text, unique},
};
use tonic::Code;

const ACCEPT: &str = "InvitationService/AcceptInvitation";

#[tokio::test]
async fn an_invitation_is_accepted_once_by_fifty_callers() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let email = unique("grace") + "@acme.test";
    let token = acme.invite(&email, &["member"]).await;
    let anyone = project.anyone();
    let outcomes = join_all((0..50).map(|_| anyone.insist(ACCEPT, json!({"token": token})))).await;
    let accepted: Vec<_> = outcomes.iter().filter_map(|o| o.as_ref().ok()).collect();
    assert_eq!(accepted.len(), 1, "{:?}", outcomes.iter().filter_map(|o| o.as_ref().err()).collect::<Vec<_>>());
    for refused in outcomes.iter().filter_map(|o| o.as_ref().err()) {
        assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "INVITATION_NOT_PENDING"));
    }
    // The forty-nine left nothing behind.
    let bindings = project
        .account
        .call("BindingService/ListBindings", json!({"organization_id": acme.id, "page_size": 500}))
        .await;
    let members = project.account.call("MemberService/ListMembers", json!({"organization_id": acme.id})).await;
    assert_eq!(members["members"].as_array().unwrap().len(), 2);
    assert_eq!(bindings["bindings"].as_array().unwrap().len(), 2, "{bindings}");
    assert_eq!(text(accepted[0], "member.roles.0.key"), "member");
}

#[tokio::test]
async fn an_edited_secret_opens_nothing() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let token = acme.invite(&(unique("grace") + "@acme.test"), &["member"]).await;
    let middle = token.len() / 2;
    let other = if &token[middle..=middle] == "A" { "B" } else { "A" };
    let bent = format!("{}{other}{}", &token[..middle], &token[middle + 1..]);
    for wrong in [bent.as_str(), &token[..token.len() - 1], &format!("{token}A"), "", "x"] {
        let refused = project.anyone().try_call(ACCEPT, json!({"token": wrong})).await.unwrap_err();
        assert!(["INVITATION_UNKNOWN", "INVALID_FIELDS"].contains(&refused.reason.as_str()), "{wrong}: {refused:?}");
    }
    project.anyone().call(ACCEPT, json!({"token": token})).await;
}

#[tokio::test]
async fn a_revoked_invitation_is_over() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let email = unique("grace") + "@acme.test";
    let token = acme.invite(&email, &["member"]).await;
    let listed =
        acme.owner().caller.call("InvitationService/ListInvitations", json!({"organization_id": acme.id})).await;
    let id = text(&listed, "invitations.0.invitation_id");
    let revoke = json!({"organization_id": acme.id, "invitation_id": id});
    acme.owner().caller.call("InvitationService/RevokeInvitation", revoke).await;
    project.anyone().refused(ACCEPT, json!({"token": token}), Code::FailedPrecondition, "INVITATION_NOT_PENDING").await;
}

#[tokio::test]
async fn a_demoted_or_removed_inviter_can_no_longer_let_anybody_in() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let admin = acme.join("admin", &["admin"]).await;
    let email = unique("grace") + "@acme.test";
    let invitation = json!({"organization_id": acme.id, "invitation": {"email_address": email}, "roles": ["admin"]});
    admin.caller.call("InvitationService/CreateInvitation", invitation).await;
    let token = project.cluster.mailbox(&email).await[0].token();
    let remove = json!({"organization_id": acme.id, "member_id": admin.id});
    acme.owner().caller.call("MemberService/RemoveMember", remove).await;
    project.anyone().refused(ACCEPT, json!({"token": token}), Code::FailedPrecondition, "INVITER_LOST_RIGHTS").await;
    let members = project.account.call("MemberService/ListMembers", json!({"organization_id": acme.id})).await;
    assert_eq!(members["members"].as_array().unwrap().len(), 1, "the owner alone");
}
