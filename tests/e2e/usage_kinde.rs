//! Several businesses in one installation, each with customers that are organizations, and people who belong to many of them: as one
//! would use Kinde.

use std::time::Instant;

use serde_json::{Value, json};
use testkit::{
    Cluster,
    bounds::{SECOND, ends_within},
    caller::{Organization, Project, Tokens, text, unique},
};
use tonic::Code;

const INVITE: &str = "InvitationService/CreateInvitation";

/// One more membership of a person.
async fn employ(organization: &Organization<'_>, email: &str, role: &str) -> Value {
    let request = json!({"organization_id": organization.id, "member": {"email_address": email}, "roles": [role]});
    organization.project.account.call("MemberService/CreateMember", request).await
}

async fn password(organization: &Organization<'_>, member: &Value, password: &str) {
    let request = json!({"organization_id": organization.id, "member_id": member["member_id"], "password": password});
    organization.project.account.call("CredentialService/SetPassword", request).await;
}

fn invitation(organization: &Organization<'_>, role: &str) -> Value {
    let email = unique("new") + "@people.test";
    json!({"organization_id": organization.id, "invitation": {"email_address": email}, "roles": [role]})
}

#[tokio::test]
async fn ada_is_in_three_organizations_and_somebody_else_in_each() {
    let cluster = Cluster::shared().await;
    let shop = cluster.project().await;
    let organizations =
        [shop.organization("bakery").await, shop.organization("brewery").await, shop.organization("butcher").await];
    let (email, word) = (unique("ada") + "@people.test", "an engine of analysis");
    let mut memberships = Vec::new();
    for (organization, role) in organizations.iter().zip(["owner", "admin", "member"]) {
        let membership = employ(organization, &email, role).await;
        assert_eq!(text(&membership, "roles.0.key"), role);
        memberships.push(membership);
    }
    let person = text(&memberships[0], "identity_id");
    let listed = shop.account.call("IdentityService/ListMemberships", json!({"identity_id": person})).await;
    let held = |at: usize| (text(&listed["members"][at], "organization_id"), text(&listed["members"][at], "member_id"));
    for (at, membership) in memberships.iter().enumerate() {
        assert_eq!(held(at), (text(membership, "organization_id"), text(membership, "member_id")));
        assert_eq!(text(membership, "identity_id"), person, "one person");
    }

    // One password, and a session for each organization, which opens no other.
    password(&organizations[0], &memberships[0], word).await;
    let mut sessions: Vec<Tokens> = Vec::new();
    for organization in &organizations {
        sessions.push(organization.sign_in(&email, word).await.unwrap());
    }
    for (own, session) in sessions.iter().enumerate() {
        let ada = cluster.bearer(&session.access);
        assert_eq!(
            text(&ada.call("AuthenticationService/WhoAmI", json!({})).await, "organization_id"),
            organizations[own].id
        );
        for (at, organization) in organizations.iter().enumerate() {
            let about = json!({"organization_id": organization.id});
            match ada.try_call("MemberService/ListMembers", about).await {
                Ok(_) => assert_eq!(at, own),
                Err(refused) => assert!(at != own && refused.reason == "NOT_FOUND", "{refused:?}"),
            }
        }
    }
    // What she may do is what she is there.
    let [owner, admin, member] = [0, 1, 2].map(|at: usize| cluster.bearer(&sessions[at].access));
    owner.call(INVITE, invitation(&organizations[0], "owner")).await;
    admin.call(INVITE, invitation(&organizations[1], "admin")).await;
    let above = invitation(&organizations[1], "owner");
    admin.refused(INVITE, above, Code::PermissionDenied, "GRANT_EXCEEDS_GRANTOR").await;
    let any = invitation(&organizations[2], "member");
    member.refused(INVITE, any, Code::PermissionDenied, "PERMISSION_MISSING").await;

    // She leaves one of them, and stays who she is in the others.
    let leave = json!({"organization_id": organizations[2].id, "member_id": memberships[2]["member_id"]});
    organizations[2].owner().caller.call("MemberService/RemoveMember", leave).await;
    assert_eq!(organizations[2].sign_in(&email, word).await.unwrap_err().reason, "SIGN_IN_FAILED");
    organizations[1].sign_in(&email, word).await.unwrap();
    owner.call(INVITE, invitation(&organizations[0], "owner")).await;
}

#[tokio::test]
async fn two_businesses_know_nothing_of_each_other() {
    let cluster = Cluster::shared().await;
    let (shop, clinic) = (cluster.project().await, cluster.project().await);
    let (email, slug) = (unique("ada") + "@people.test", unique("north"));
    // Both have a customer of that name, and Ada in it.
    let customer = async |project: &Project<'static>, word: &str| {
        let organization =
            json!({"organization": {"display_name": "North", "slug": slug, "external_id": "customer-1"}});
        let made = project.account.call("OrganizationService/CreateOrganization", organization).await;
        let organization = json!({"organization_id": made["organization_id"], "member": {"email_address": email},
            "roles": ["owner"]});
        let member = project.account.call("MemberService/CreateMember", organization).await;
        let set =
            json!({"organization_id": made["organization_id"], "member_id": member["member_id"], "password": word});
        project.account.call("CredentialService/SetPassword", set).await;
        (made, member)
    };
    let (ours, theirs) = ("the shop's own word", "the clinic's own word");
    let ((ours_made, ours_member), (_, theirs_member)) = (customer(&shop, ours).await, customer(&clinic, theirs).await);
    assert_ne!(ours_member["identity_id"], theirs_member["identity_id"], "two people, though of one address");
    let sign_in = |project: &Project<'_>, word: &str| {
        let request = json!({"email_address": email, "password": word, "organization_slug": slug});
        let anyone = project.anyone();
        async move { anyone.try_call("AuthenticationService/SignInWithPassword", request).await }
    };
    let here = sign_in(&shop, ours).await.unwrap();
    sign_in(&clinic, theirs).await.unwrap();
    assert_eq!(sign_in(&clinic, ours).await.unwrap_err().reason, "SIGN_IN_FAILED");
    assert_eq!(sign_in(&shop, theirs).await.unwrap_err().reason, "SIGN_IN_FAILED");

    // The same keys lead each business to its own.
    for lookup in [json!({"slug": slug}), json!({"external_id": "customer-1"})] {
        let method = "OrganizationService/LookupOrganization";
        let (one, other) = (shop.account.call(method, lookup.clone()).await, clinic.account.call(method, lookup).await);
        assert_eq!(one["organization_id"], ours_made["organization_id"]);
        assert_ne!(one["organization_id"], other["organization_id"]);
    }
    // What one has is to the other, and to its people, as if it were nowhere.
    let organization = json!({"organization_id": ours_made["organization_id"]});
    let member = json!({"organization_id": ours_made["organization_id"], "member_id": ours_member["member_id"]});
    let person = json!({"identity_id": ours_member["identity_id"]});
    let stranger = text(&sign_in(&clinic, theirs).await.unwrap(), "access_token");
    for (method, request) in [
        ("OrganizationService/GetOrganization", &organization),
        ("OrganizationService/SuspendOrganization", &organization),
        ("MemberService/GetMember", &member),
        ("MemberService/RemoveMember", &member),
        ("EventService/ListEvents", &organization),
        ("IdentityService/GetIdentity", &person),
    ] {
        clinic.account.refused(method, request.clone(), Code::NotFound, "NOT_FOUND").await;
        if !method.starts_with("Identity") && !method.ends_with("SuspendOrganization") {
            cluster.bearer(&stranger).refused(method, request.clone(), Code::NotFound, "NOT_FOUND").await;
        }
    }
    let listed = clinic.account.call("OrganizationService/ListOrganizations", json!({})).await;
    assert!(!listed.to_string().contains(&text(&ours_made, "organization_id")));
    cluster.bearer(&text(&here, "access_token")).call("MemberService/GetMember", member).await;
}

/// Waits until a token is refused at the gateway's door, and says by what.
async fn shut(cluster: &Cluster, token: &str, request: &Value, begun: Instant) {
    let caller = cluster.bearer(token);
    let good = async || {
        let outcome = caller.insist("MemberService/ListMembers", request.clone()).await;
        let is_shut = outcome.as_ref().is_err_and(|refused| refused.reason == "CREDENTIAL_REVOKED");
        (!is_shut).then_some(outcome)
    };
    ends_within(begun, SECOND, "it is not shut out", good).await;
}

#[tokio::test]
async fn a_customer_who_does_not_pay_is_shut_out_within_a_second_and_comes_back_as_it_was() {
    let cluster = Cluster::shared().await;
    let shop = cluster.project().await;
    let (bakery, brewery) = (shop.organization("bakery").await, shop.organization("brewery").await);
    let grace = bakery.join("grace", &["admin"]).await;
    let there = employ(&brewery, &grace.email, "member").await;
    let elsewhere = brewery.sign_in(&grace.email, &grace.password).await.unwrap();
    let invited = bakery.invite(&(unique("linus") + "@people.test"), &["member"]).await;
    let people = [bakery.owner(), &grace];
    let here = json!({"organization_id": bakery.id});
    let check = json!({"organization_id": bakery.id, "subject": {"member_id": grace.id},
        "permission": "guildhall.invitation:create", "consistency": {"fully_consistent": true}});
    let allowed = async || shop.account.call("AuthorizationService/Check", check.clone()).await["allowed"] == true;
    assert!(allowed().await);

    let suspend = json!({"organization_id": bakery.id, "reason": "three invoices unpaid"});
    let suspended = shop.account.call("OrganizationService/SuspendOrganization", suspend).await;
    let begun = Instant::now();
    assert_eq!(text(&suspended, "state"), "ORGANIZATION_STATE_SUSPENDED");
    // Every service knows by itself, and the gateway refuses the tokens.
    for member in people {
        for (service, method) in [
            ("org-service", "OrganizationService/GetOrganization"),
            ("member-service", "MemberService/ListMembers"),
            ("authz-service", "RoleService/ListRoles"),
        ] {
            let caller = cluster.bearer_at(cluster.door(service), Some(&member.tokens.access));
            let refused = caller.insist(method, here.clone()).await.unwrap_err();
            // The organization's state is asked at once; soon its tokens are refused before that.
            assert!(
                ["ORGANIZATION_NOT_ACTIVE", "CREDENTIAL_REVOKED"].contains(&refused.reason.as_str()),
                "{refused:?}"
            );
        }
        shut(cluster, &member.tokens.access, &here, begun).await;
    }
    assert!(!allowed().await);
    let refresh = "AuthenticationService/RefreshSession";
    for member in people {
        let refused = bakery.sign_in(&member.email, &member.password).await.unwrap_err();
        assert_eq!((refused.code, refused.reason.as_str()), (Code::Unauthenticated, "SIGN_IN_FAILED"));
        let token = json!({"refresh_token": member.tokens.refresh});
        shop.anyone().refused(refresh, token, Code::Unauthenticated, "REFRESH_TOKEN_REFUSED").await;
    }
    let accept = json!({"token": invited});
    let method = "InvitationService/AcceptInvitation";
    shop.anyone().refused(method, accept.clone(), Code::FailedPrecondition, "ORGANIZATION_NOT_ACTIVE").await;
    // The business sees its customer; and Grace works on where she is besides.
    let seen = shop.account.call("OrganizationService/GetOrganization", here.clone()).await;
    assert_eq!(text(&seen, "state"), "ORGANIZATION_STATE_SUSPENDED");
    let own = json!({"organization_id": brewery.id, "member_id": there["member_id"]});
    cluster.bearer(&elsewhere.access).call("MemberService/GetMember", own).await;
    brewery.sign_in(&grace.email, &grace.password).await.unwrap();

    // The invoices are paid: everybody is who they were, and signs in anew, for what was open then stays ended.
    shop.account.call("OrganizationService/ReactivateOrganization", here.clone()).await;
    assert!(allowed().await);
    for member in people {
        let tokens = bakery.sign_in(&member.email, &member.password).await.unwrap();
        let (was, is) = (&member.caller, cluster.bearer(&tokens.access));
        ends_within(Instant::now(), 2 * SECOND, "the old token and the new one", async || {
            let before = was.insist("MemberService/ListMembers", here.clone()).await;
            let after = is.insist("MemberService/ListMembers", here.clone()).await;
            let is_right =
                after.is_ok() && before.as_ref().is_err_and(|refused| refused.reason == "CREDENTIAL_REVOKED");
            (!is_right).then_some((before, after))
        })
        .await;
        let token = json!({"refresh_token": member.tokens.refresh});
        shop.anyone().refused(refresh, token, Code::Unauthenticated, "REFRESH_TOKEN_REFUSED").await;
    }
    shop.anyone().call(method, accept).await;
    let events = shop.account.call("EventService/ListEvents", here).await.to_string();
    for told in ["organization.suspended", "three invoices unpaid", "organization.reactivated"] {
        assert!(events.contains(told), "{told} in {events}");
    }
}
