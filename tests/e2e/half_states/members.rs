use std::{collections::BTreeSet, time::Duration};

use serde_json::json;
use testkit::{
    Cluster,
    caller::{Organization, text, unique},
};
use tokio::time::sleep;

use super::{accounts::robot, denied, die, eventually, insist, insist_or_missing};
use crate::tenant_walls::superuser;

async fn roles_of(organization: &Organization<'_>, email: &str) -> Option<Vec<String>> {
    let lookup = json!({"organization_id": organization.id, "email_address": email});
    let found = insist_or_missing(&organization.project.account, "MemberService/LookupMember", &lookup).await?;
    Some(found["roles"].as_array().unwrap().iter().map(|role| text(role, "key")).collect())
}

/// Who holds anything in the organization, as authz-service says.
async fn bound(organization: &Organization<'_>) -> BTreeSet<String> {
    let request = json!({"organization_id": organization.id, "page_size": 500});
    let listed = insist(&organization.project.account, "BindingService/ListBindings", &request).await;
    listed["bindings"].as_array().unwrap().iter().map(|binding| text(binding, "subject.member_id")).collect()
}

async fn members(organization: &Organization<'_>) -> BTreeSet<String> {
    let request = json!({"organization_id": organization.id, "page_size": 500});
    let listed = insist(&organization.project.account, "MemberService/ListMembers", &request).await;
    listed["members"].as_array().unwrap().iter().map(|member| text(member, "member_id")).collect()
}

#[tokio::test]
async fn whoever_is_added_is_a_member_with_all_their_roles_or_nobody() {
    let cluster = Cluster::start().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let account = &project.account;

    // Asked for again, one member comes of it.
    for place in [
        "add-member/identity-made",
        "bind-roles/announced",
        "give-roles/committed",
        "bind-roles/bound",
        "add-member/committed",
    ] {
        let email = unique("ada") + "@acme.test";
        let request = json!({"organization_id": acme.id, "member": {"email_address": email}, "roles": ["admin"], "request_id": unique("r")});
        die(&cluster, place, account, "MemberService/CreateMember", &request).await;
        let before = roles_of(&acme, &email).await;
        let here = place == "add-member/committed";
        assert_eq!(before, here.then(|| vec!["admin".to_owned()]), "after {place}: wholly there or not at all");
        let made = insist(account, "MemberService/CreateMember", &request).await;
        assert_eq!(insist(account, "MemberService/CreateMember", &request).await, made);
        assert_eq!(roles_of(&acme, &email).await, Some(vec!["admin".to_owned()]), "after {place}");
    }
    for place in [
        "add-members/identities-made",
        "add-members/announced",
        "give-roles-to-many/committed",
        "add-members/roles-bound",
        "add-members/committed",
    ] {
        let emails: Vec<String> = (0..3).map(|_| unique("bob") + "@acme.test").collect();
        let entries: Vec<_> =
            emails.iter().map(|e| json!({"member": {"email_address": e}, "roles": ["member"]})).collect();
        let request = json!({"organization_id": acme.id, "members": entries, "request_id": unique("r")});
        let count = members(&acme).await.len();
        die(&cluster, place, account, "MemberService/BatchCreateMembers", &request).await;
        let here = place == "add-members/committed";
        assert_eq!(members(&acme).await.len(), if here { count + 3 } else { count }, "after {place}: all or none");
        insist(account, "MemberService/BatchCreateMembers", &request).await;
        assert_eq!(members(&acme).await.len(), count + 3);
        for email in &emails {
            assert_eq!(roles_of(&acme, email).await, Some(vec!["member".to_owned()]), "after {place}");
        }
    }
    for place in ["accept-invitation/identity-made", "bind-roles/bound", "accept-invitation/committed"] {
        let email = unique("grace") + "@acme.test";
        let token = acme.invite(&email, &["member"]).await;
        let accept = json!({"token": token, "request_id": unique("r")});
        die(&cluster, place, &project.anyone(), "InvitationService/AcceptInvitation", &accept).await;
        let here = place == "accept-invitation/committed";
        assert_eq!(roles_of(&acme, &email).await, here.then(|| vec!["member".to_owned()]), "after {place}");
        insist(&project.anyone(), "InvitationService/AcceptInvitation", &accept).await;
        assert_eq!(roles_of(&acme, &email).await, Some(vec!["member".to_owned()]), "after {place}");
    }
    // Not asked for again, nothing is left: neither of those who never came to be nor of the first tries of those above.
    let email = unique("nobody") + "@acme.test";
    let request = json!({"organization_id": acme.id, "member": {"email_address": email}, "roles": ["owner"]});
    die(&cluster, "bind-roles/bound", account, "MemberService/CreateMember", &request).await;
    assert_eq!(roles_of(&acme, &email).await, None);
    let members = members(&acme).await;
    assert!(bound(&acme).await.len() > members.len(), "the dead have left bindings");
    sqlx::query("update member.prospect set create_time = create_time - interval '1 hour'")
        .execute(&mut superuser(&cluster).await)
        .await
        .unwrap();
    eventually("the sweep has taken back what nobody holds", || async {
        (bound(&acme).await == members).then_some(())
    })
    .await;
}

#[tokio::test]
async fn whoever_is_removed_or_suspended_half_way_is_soon_wholly_so() {
    let cluster = Cluster::start().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let account = &project.account;
    let about = |id: &str| json!({"organization_id": acme.id, "member_id": id});
    let subject = |id: &str| json!({"member_id": id});
    for place in ["drop-subject/committed", "remove-member/rights-taken", "remove-member/committed"] {
        let member = acme.join("ada", &["admin"]).await;
        die(&cluster, place, account, "MemberService/RemoveMember", &about(&member.id)).await;
        assert!(denied(&acme, &subject(&member.id)).await, "the rights go first");
        eventually(&format!("nothing is left of them after {place}"), || async {
            let gone = insist_or_missing(account, "MemberService/GetMember", &about(&member.id)).await.is_none();
            gone.then_some(())
        })
        .await;
        let refused = acme.sign_in(&member.email, &member.password).await.unwrap_err();
        assert_eq!(refused.reason, "SIGN_IN_FAILED", "after {place}");
        let refresh = json!({"refresh_token": member.tokens.refresh});
        let refused =
            project.anyone().try_call("AuthenticationService/RefreshSession", refresh).await.expect_err(place);
        assert_eq!(refused.reason, "REFRESH_TOKEN_REFUSED", "after {place}");
        assert!(!bound(&acme).await.contains(&member.id), "after {place}");
        insist(account, "MemberService/RemoveMember", &about(&member.id)).await;
    }
    for place in ["note-subject/committed", "suspend-member/told", "suspend-member/committed"] {
        let member = acme.join("bob", &["admin"]).await;
        die(&cluster, place, account, "MemberService/SuspendMember", &about(&member.id)).await;
        assert!(denied(&acme, &subject(&member.id)).await, "the rights go first");
        eventually(&format!("they are suspended here too after {place}"), || async {
            let found = insist(account, "MemberService/GetMember", &about(&member.id)).await;
            (found["state"] == "MEMBER_STATE_SUSPENDED").then_some(())
        })
        .await;
        assert_eq!(acme.sign_in(&member.email, &member.password).await.unwrap_err().reason, "SIGN_IN_FAILED");
        // Back in, the rights come last.
        die(&cluster, "reactivate-member/committed", account, "MemberService/ReactivateMember", &about(&member.id))
            .await;
        eventually("authz-service has read that they are back", || async {
            (!denied(&acme, &subject(&member.id)).await).then_some(())
        })
        .await;
        acme.sign_in(&member.email, &member.password).await.unwrap();
    }
    // Of an invitation: the organization is a team already, or the invitation is there with its mail; asked for again, there is one.
    for place in ["invite/promoted", "invite/committed"] {
        let personal =
            json!({"organization": {"display_name": "P", "slug": unique("p"), "kind": "ORGANIZATION_KIND_PERSONAL"}});
        let id = text(&insist(account, "OrganizationService/CreateOrganization", &personal).await, "organization_id");
        let email = unique("grace") + "@acme.test";
        let invite = json!({"organization_id": id, "invitation": {"email_address": email}, "roles": ["member"], "request_id": unique("r")});
        die(&cluster, place, account, "InvitationService/CreateInvitation", &invite).await;
        let made = insist(account, "InvitationService/CreateInvitation", &invite).await;
        let listed = insist(account, "InvitationService/ListInvitations", &json!({"organization_id": id})).await;
        assert_eq!(listed["invitations"].as_array().unwrap().len(), 1, "after {place}");
        assert_eq!(text(&listed, "invitations.0.invitation_id"), text(&made, "invitation_id"));
        let organization =
            insist(account, "OrganizationService/GetOrganization", &json!({"organization_id": id})).await;
        assert_eq!(organization["kind"], "ORGANIZATION_KIND_TEAM", "after {place}");
        let token = cluster.mailbox(&email).await[0].token();
        project.anyone().call("InvitationService/AcceptInvitation", json!({"token": token})).await;
    }
}

#[tokio::test]
async fn whoever_is_let_in_again_stays_in_though_a_suspension_from_before_stopped_half_way() {
    let cluster = Cluster::start().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let account = &project.account;
    for place in ["note-subject/committed", "suspend-member/told", "note-subject/committed", "suspend-member/told"] {
        let member = acme.join("bob", &["admin"]).await;
        let about = json!({"organization_id": acme.id, "member_id": member.id});
        die(&cluster, place, account, "MemberService/SuspendMember", &about).await;
        insist(account, "MemberService/ReactivateMember", &about).await;
        for _ in 0..20 {
            assert!(!denied(&acme, &json!({"member_id": member.id})).await, "after {place}");
            let found = insist(account, "MemberService/GetMember", &about).await;
            assert_eq!(found["state"], "MEMBER_STATE_ACTIVE", "after {place}");
            sleep(Duration::from_millis(100)).await;
        }
    }
    for place in ["note-subject/committed", "suspend-account/told"] {
        let (id, _, subject) = robot(&acme).await;
        let state = |state: &str| {
            json!({"organization_id": acme.id, "update_mask": "state",
            "service_account": {"service_account_id": id, "state": format!("SERVICE_ACCOUNT_STATE_{state}")}})
        };
        die(&cluster, place, account, "ServiceAccountService/UpdateServiceAccount", &state("SUSPENDED")).await;
        insist(account, "ServiceAccountService/UpdateServiceAccount", &state("ACTIVE")).await;
        for _ in 0..20 {
            assert!(!denied(&acme, &subject).await, "after {place}");
            let about = json!({"organization_id": acme.id, "service_account_id": id});
            let found = insist(account, "ServiceAccountService/GetServiceAccount", &about).await;
            assert_eq!(found["state"], "SERVICE_ACCOUNT_STATE_ACTIVE", "after {place}");
            sleep(Duration::from_millis(100)).await;
        }
    }
}
