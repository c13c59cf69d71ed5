//! How it is used where organizations let people in by themselves: by invitation, by the domain of their address, by the ways of signing
//! in that each of them approves.

use serde_json::{Value, json};
use testkit::caller::{text, unique};
use tonic::Code;

use crate::{
    domains::cluster,
    entering::{SELECT, SIGN_IN, SIGN_UP, START, asked, choices, intermediate, prove, select, settings, somebody},
    joining::{member, roles, with_domain},
};

#[tokio::test]
async fn organizations_that_decide_who_comes_in_and_how() {
    let (cluster, server) = cluster().await;
    let project = cluster.project().await;
    let account = &project.account;

    // An organization is found by its id and by its slug, which it may change.
    let (acme, domain, _) = with_domain(&project, server, "acme").await;
    let slug = unique("acme-corp");
    let renamed = json!({"organization_id": acme.id, "organization": {"slug": slug}, "update_mask": "slug"});
    account.call("OrganizationService/UpdateOrganization", renamed).await;
    let found = account.call("OrganizationService/LookupOrganization", json!({"slug": slug})).await;
    assert_eq!(text(&found, "organization_id"), acme.id);
    let owner = acme.owner();
    for organization in [json!({"organization_id": acme.id}), json!({"organization_slug": slug})] {
        let mut request = json!({"email_address": owner.email, "password": owner.password});
        request.as_object_mut().unwrap().extend(organization.as_object().unwrap().clone());
        project.anyone().call(SIGN_IN, request).await;
    }

    // Ada proves that she is ada@acme, and the organization lets her in with the roles that it gives to such.
    let of_policy = json!({"jit_role_ids": ["member"], "domain_role_ids": {domain.clone(): {"role_ids": ["admin"]}}});
    settings(&acme, of_policy).await;
    let ada = format!("ada@{domain}");
    let signed_in = prove(&project, &ada, json!({"organization_slug": slug})).await.unwrap();
    let in_acme = member(&acme, &ada).await.unwrap();
    assert_eq!(text(&signed_in, "member_session.member_id"), text(&in_acme, "member_id"));
    let expected = [("admin", "EMAIL_DOMAIN"), ("member", "JIT")];
    assert_eq!(roles(&in_acme), expected.map(|(key, from)| (key.to_owned(), vec![from.to_owned()])));
    // Not so her supplier, whose domain is another: they are invited.
    let supplier = unique("sam") + "@supplier.test";
    project.anyone().call(START, json!({"email_address": supplier, "organization_slug": slug})).await;
    let invite = json!({"organization_id": acme.id, "invitation": {"email_address": supplier}, "roles": ["member"]});
    owner.caller.call("InvitationService/CreateInvitation", invite).await;
    assert_eq!(cluster.mailbox(&supplier).await.len(), 1, "the invitation, and no code before it");
    let joined = prove(&project, &supplier, json!({"organization_slug": slug})).await.unwrap();
    let sam = member(&acme, &supplier).await.unwrap();
    assert_eq!(text(&joined, "member_session.member_id"), text(&sam, "member_id"));
    assert_eq!(roles(&sam), [("member".to_owned(), vec!["INVITATION".to_owned()])]);
    // Restricted to their own domain, no other is invited either.
    settings(&acme, json!({"email_invites": "EMAIL_INVITES_POLICY_RESTRICTED"})).await;
    let other = json!({"organization_id": acme.id, "invitation": {"email_address": unique("x") + "@supplier.test"}, "roles": ["member"]});
    owner
        .caller
        .refused("InvitationService/CreateInvitation", other, Code::FailedPrecondition, "INVITATION_NOT_ALLOWED")
        .await;

    // A member is one by id everywhere, by address in the organization; the same address in two is one person with two members.
    let globex = project.organization("globex").await;
    let second =
        json!({"organization_id": globex.id, "member": {"email_address": ada.to_uppercase()}, "roles": ["member"]});
    let in_globex = account.call("MemberService/CreateMember", second.clone()).await;
    account.refused("MemberService/CreateMember", second, Code::AlreadyExists, "MEMBER_EMAIL_TAKEN").await;
    assert_eq!(in_globex["identity_id"], in_acme["identity_id"]);
    assert_ne!(in_globex["member_id"], in_acme["member_id"]);
    let wrong = json!({"organization_id": acme.id, "member_id": in_globex["member_id"]});
    account.refused("MemberService/GetMember", wrong, Code::NotFound, "NOT_FOUND").await;
    let memberships = json!({"identity_id": in_acme["identity_id"]});
    let memberships = account.call("IdentityService/ListMemberships", memberships).await;
    assert_eq!(memberships["memberships"].as_array().or(memberships["members"].as_array()).unwrap().len(), 2);
    let token = intermediate(&prove(&project, &ada, json!({})).await.unwrap());
    let access = |organization: &str| ("ORGANIZATION_ACCESS_MEMBER".to_owned(), organization.to_owned());
    assert_eq!(choices(&project, &token, 50).await, [access(&acme.id), access(&globex.id)]);

    // Each approves its own ways of signing in, and may ask for a second factor, which is never skipped.
    let by_password = json!({"auth_methods": "AUTH_METHODS_POLICY_RESTRICTED", "allowed_auth_methods": ["AUTH_METHOD_PASSWORD", "AUTH_METHOD_SSO"]});
    settings(&globex, by_password).await;
    let refused =
        project.anyone().refused(SELECT, select(&globex, &token), Code::FailedPrecondition, "METHOD_NOT_ALLOWED").await;
    assert_eq!(refused.said("allowed_auth_methods"), "PASSWORD, SSO");
    settings(
        &globex,
        json!({"auth_methods": "AUTH_METHODS_POLICY_ALL_ALLOWED", "mfa_policy": "MFA_POLICY_REQUIRED_FOR_ALL"}),
    )
    .await;
    asked(&project.anyone().call(SELECT, select(&globex, &token)).await);
    let entered = project.anyone().call(SELECT, select(&acme, &token)).await;
    let as_ada = cluster.bearer(&text(&entered, "access_token"));

    // Metadata at two levels of trust: she writes what nothing is decided by, the product the other.
    let write = |field: &str| {
        let data: Value = json!({"theme": "dark"});
        json!({"organization_id": acme.id, "member": {"member_id": in_acme["member_id"], field: data}, "update_mask": field})
    };
    as_ada.call("MemberService/UpdateMember", write("untrustedMetadata")).await;
    as_ada
        .refused("MemberService/UpdateMember", write("trustedMetadata"), Code::PermissionDenied, "WRONG_AUDIENCE")
        .await;
    let both = account.call("MemberService/UpdateMember", write("trustedMetadata")).await;
    assert_eq!(
        (&both["trusted_metadata"], &both["untrusted_metadata"]),
        (&json!({"theme": "dark"}), &json!({"theme": "dark"}))
    );
    let of_organization = |field: &str| json!({"organization_id": acme.id, "organization": {field: {"tier": "gold"}}, "update_mask": field});
    owner
        .caller
        .refused(
            "OrganizationService/UpdateOrganization",
            of_organization("trustedMetadata"),
            Code::PermissionDenied,
            "WRONG_AUDIENCE",
        )
        .await;
    owner.caller.call("OrganizationService/UpdateOrganization", of_organization("untrustedMetadata")).await;

    // The hybrid: alone she needs no organization that anybody sees. It becomes a team when she invites somebody.
    let eve = unique("eve") + "@people.test";
    let token = somebody(&project, &eve).await;
    let personal = json!({"intermediate_session_token": token, "display_name": "Eve", "organization": {"kind": "ORGANIZATION_KIND_PERSONAL"}});
    let signed_up = project.anyone().call(SIGN_UP, personal).await;
    let id = text(&signed_up, "member_session.organization_id");
    let as_eve = cluster.bearer(&text(&signed_up, "access_token"));
    let kind = || async {
        text(&as_eve.call("OrganizationService/GetOrganization", json!({"organization_id": id})).await, "kind")
    };
    assert_eq!(kind().await, "ORGANIZATION_KIND_PERSONAL");
    let invite = json!({"organization_id": id, "invitation": {"email_address": supplier}, "roles": ["member"]});
    as_eve.call("InvitationService/CreateInvitation", invite).await;
    assert_eq!(kind().await, "ORGANIZATION_KIND_TEAM");
    cluster.mails(&supplier, 3).await;
    let token = intermediate(&prove(&project, &supplier, json!({})).await.unwrap());
    let choice = choices(&project, &token, 50).await;
    assert_eq!(choice, [access(&acme.id), ("ORGANIZATION_ACCESS_INVITED".to_owned(), id.clone())]);
    project.anyone().call(SELECT, json!({"organization_id": id, "intermediate_session_token": token})).await;
}
