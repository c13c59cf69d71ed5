//! Invitations: accepted once, by whoever holds the secret, for as long as the inviter could still grant them.

use futures::future::join_all;
use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Organization, text, unique},
};
use tonic::Code;

use crate::{
    entering::{SELECT, prove, select, somebody},
    joining::member,
};

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

/// The states of the invitations that an address got, oldest first.
async fn states(organization: &Organization<'_>, email: &str) -> Vec<String> {
    let list = json!({"organization_id": organization.id, "page_size": 500});
    let listed = organization.project.account.call("InvitationService/ListInvitations", list).await;
    let theirs = |invitation: &&Value| invitation["email_address"] == json!(email);
    listed["invitations"]
        .as_array()
        .unwrap()
        .iter()
        .filter(theirs)
        .map(|invitation| text(invitation, "state"))
        .collect()
}

async fn remove(organization: &Organization<'_>, member: &Value) {
    let remove = json!({"organization_id": organization.id, "member_id": member["member_id"]});
    organization.project.account.call("MemberService/RemoveMember", remove).await;
}

#[tokio::test]
async fn whoever_was_invited_and_came_in_by_another_way_stays_out_once_removed() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let added = |email: &str| json!({"member": {"email_address": email}, "roles": ["member"]});
    let [ada, grace] = ["ada", "grace"].map(|name| unique(name) + "@acme.test");
    let links = [acme.invite(&ada, &["admin"]).await, acme.invite(&grace, &["admin"]).await];
    let mut alone = added(&ada);
    alone["organization_id"] = json!(acme.id);
    project.account.call("MemberService/CreateMember", alone).await;
    let batch = json!({"organization_id": acme.id, "members": [added(&grace)]});
    project.account.call("MemberService/BatchCreateMembers", batch).await;

    for (email, link) in [&ada, &grace].into_iter().zip(&links) {
        // They are members with the roles that they were added with, and the offer is withdrawn.
        let there = member(&acme, email).await.unwrap();
        assert_eq!((text(&there, "roles.0.key"), there["roles"].as_array().unwrap().len()), ("member".to_owned(), 1));
        assert_eq!(states(&acme, email).await, ["INVITATION_STATE_REVOKED"]);
        let accept = json!({"token": link});
        project.anyone().refused(ACCEPT, accept.clone(), Code::AlreadyExists, "MEMBER_EMAIL_TAKEN").await;
        remove(&acme, &there).await;
        project.anyone().refused(ACCEPT, accept, Code::FailedPrecondition, "INVITATION_NOT_PENDING").await;
        let enter = select(&acme, &somebody(&project, email).await);
        project.anyone().refused(SELECT, enter, Code::Unauthenticated, "SIGN_IN_FAILED").await;
        assert!(member(&acme, email).await.is_none());
    }
    let events = json!({"organization_id": acme.id, "page_size": 500});
    let events = project.account.call("EventService/ListEvents", events).await;
    let withdrawn = |event: &&Value| event["kind"] == json!("invitation.revoked");
    assert_eq!(events["events"].as_array().unwrap().iter().filter(withdrawn).count(), 2, "{events}");
    let chain = project.account.call("EventService/VerifyChain", json!({"organization_id": acme.id})).await;
    assert_eq!(chain["valid"], true, "{chain}");

    // Invited anew, they are welcome.
    let again = json!({"organization_id": acme.id, "invitation": {"email_address": ada}, "roles": ["member"], "return_token": true});
    let again = project.account.call("InvitationService/CreateInvitation", again).await;
    project.anyone().call(ACCEPT, json!({"token": text(&again, "token")})).await;
    prove(&project, &ada, json!({"organization_slug": acme.slug})).await.unwrap();
}

#[tokio::test]
async fn a_removal_withdraws_what_waits_for_the_members_address() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let ada = acme.join("ada", &["member"]).await;
    // Invited at an address that was not theirs yet.
    let new = unique("countess") + "@acme.test";
    let link = acme.invite(&new, &["admin"]).await;
    let there = member(&acme, &ada.email).await.unwrap();
    let moved = json!({"identity_id": there["identity_id"], "email_address": new});
    project.account.call("IdentityService/UpdateIdentity", json!({"identity": moved})).await;
    assert_eq!(states(&acme, &new).await, ["INVITATION_STATE_PENDING"]);
    remove(&acme, &there).await;
    assert_eq!(states(&acme, &new).await, ["INVITATION_STATE_REVOKED"]);
    project.anyone().refused(ACCEPT, json!({"token": link}), Code::FailedPrecondition, "INVITATION_NOT_PENDING").await;
}
