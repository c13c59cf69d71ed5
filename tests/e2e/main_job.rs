//! The ten steps of a newcomer, in a project of their own.

use std::time::Instant;

use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{text, unique},
};
use tonic::Code;

fn kinds(events: &Value) -> Vec<String> {
    events["events"].as_array().unwrap().iter().map(|event| text(event, "kind")).collect()
}

#[tokio::test]
async fn the_main_job_from_a_project_token_to_a_verified_record() {
    let cluster = Cluster::shared().await;
    // 1. A project token.
    let project = cluster.project().await;
    let (ada, grace) = (unique("ada") + "@acme.test", unique("grace") + "@acme.test");

    // 2. An organization.
    let slug = unique("acme");
    let acme = project
        .account
        .call("OrganizationService/CreateOrganization", json!({"organization": {"display_name": "Acme", "slug": slug}}))
        .await;
    let acme = text(&acme, "organization_id");

    // 3. Its owner, and her password.
    let member =
        json!({"organization_id": acme, "member": {"email_address": ada, "display_name": "Ada"}, "roles": ["owner"]});
    let member = project.account.call("MemberService/CreateMember", member).await;
    assert_eq!(text(&member, "roles.0.key"), "owner");
    let ada_id = text(&member, "member_id");
    let password = "correct horse battery staple";
    let set = json!({"organization_id": acme, "member_id": ada_id, "password": password});
    project.account.call("CredentialService/SetPassword", set).await;

    // 4. She signs in.
    let sign_in = json!({"email_address": ada, "password": password, "organization_slug": slug});
    let signed_in = project.anyone().call("AuthenticationService/SignInWithPassword", sign_in).await;
    assert_eq!(text(&signed_in, "member_session.member_id"), ada_id);
    let as_ada = cluster.bearer(&text(&signed_in, "access_token"));

    // 5. She invites Grace, who gets a mail.
    let invitation = json!({"organization_id": acme, "invitation": {"email_address": grace}, "roles": ["member"]});
    let invitation = as_ada.call("InvitationService/CreateInvitation", invitation).await;
    assert_eq!(invitation["token"], "", "the secret leaves by mail only");
    let token = cluster.mailbox(&grace).await[0].token();

    // 6. Grace accepts and signs in by a mailed code.
    let accepted = project
        .anyone()
        .call("InvitationService/AcceptInvitation", json!({"token": token, "display_name": "Grace"}))
        .await;
    let grace_id = text(&accepted, "member.member_id");
    let start = json!({"email_address": grace, "organization_slug": slug});
    let challenge = project.anyone().call("AuthenticationService/StartEmailSignIn", start).await;
    let code = cluster.mails(&grace, 2).await[1].code();
    let complete = json!({"challenge_id": text(&challenge, "challenge_id"), "code": code});
    let signed_in = project.anyone().call("AuthenticationService/CompleteEmailSignIn", complete).await;
    let (access, refresh) = (text(&signed_in, "access_token"), text(&signed_in, "refresh_token"));
    let as_grace = cluster.bearer(&access);
    let me = as_grace.call("AuthenticationService/WhoAmI", json!({})).await;
    assert_eq!((text(&me, "member_id"), text(&me, "organization_id")), (grace_id.clone(), acme.clone()));

    // 7. The product's permissions, a role of them, and Grace may edit document 42.
    let catalog = json!({"catalog": {"resource_types": [{"name": "document", "verbs": ["read", "write"]}]}});
    project.account.call("CatalogService/UpdateCatalog", catalog).await;
    let role = json!({"organization_id": acme, "role": {"key": "editor", "display_name": "Editor", "permissions": ["document:*"]}});
    let role = text(&as_ada.call("RoleService/CreateRole", role).await, "role_id");
    let question = |document: &str, consistency: Value| {
        json!({"organization_id": acme, "subject": {"member_id": grace_id}, "permission": "document:write",
            "resource": {"type": "document", "id": document}, "consistency": consistency})
    };
    let now = || json!({"fully_consistent": true});
    let before = project.account.call("AuthorizationService/Check", question("42", now())).await;
    assert_eq!((text(&before, "decision"), before["allowed"].as_bool()), ("DECISION_DENIED".into(), Some(false)));
    let binding = json!({"organization_id": acme,
        "binding": {"subject": {"member_id": grace_id}, "role_id": role, "resource": {"type": "document", "id": "42"}}});
    let binding = as_ada.call("BindingService/CreateBinding", binding).await;
    let revision = text(&binding, "revision");

    // 8. May she? By everybody who may ask, and why.
    let fresh = json!({"at_least_as_fresh": revision});
    for caller in [&project.account, &as_ada, &as_grace] {
        let allowed = caller.call("AuthorizationService/Check", question("42", fresh.clone())).await;
        assert_eq!((text(&allowed, "decision"), allowed["allowed"].as_bool()), ("DECISION_ALLOWED".into(), Some(true)));
    }
    let other = project.account.call("AuthorizationService/Check", question("43", now())).await;
    assert_eq!(text(&other, "decision"), "DECISION_DENIED");
    let why = project.account.call("AuthorizationService/Explain", question("42", now())).await.to_string();
    assert!(why.contains(&text(&binding, "binding_id")) && why.contains("editor"), "{why}");

    // 9. Ada removes Grace: no refresh at once, no token within a second, no permission.
    as_ada.call("MemberService/RemoveMember", json!({"organization_id": acme, "member_id": grace_id})).await;
    let removed = Instant::now();
    project
        .anyone()
        .refused(
            "AuthenticationService/RefreshSession",
            json!({"refresh_token": refresh}),
            Code::Unauthenticated,
            "REFRESH_TOKEN_REFUSED",
        )
        .await;
    let gone = project.account.call("AuthorizationService/Check", question("42", now())).await;
    assert_eq!(text(&gone, "decision"), "DECISION_DENIED");
    as_grace.is_out_within_a_second_of(removed).await;
    as_grace.refused("AuthenticationService/WhoAmI", json!({}), Code::Unauthenticated, "CREDENTIAL_REVOKED").await;

    // 10. The record shows it all, and holds.
    let events = as_ada.call("EventService/ListEvents", json!({"organization_id": acme, "page_size": 500})).await;
    let seen = kinds(&events);
    for kind in [
        "organization.created",
        "member.created",
        "invitation.created",
        "invitation.accepted",
        "role.created",
        "binding.created",
        "member.removed",
    ] {
        assert!(seen.iter().any(|k| k == kind), "no {kind} in {seen:?}");
    }
    let removal = events["events"].as_array().unwrap().iter().find(|e| e["kind"] == "member.removed").unwrap();
    assert_eq!(text(removal, "actor.member_id"), ada_id);
    let chain = as_ada.call("EventService/VerifyChain", json!({"organization_id": acme})).await;
    assert_eq!(chain["valid"], true, "{chain}");
    assert_eq!(chain["chains"].as_array().unwrap().len(), 3);
}
