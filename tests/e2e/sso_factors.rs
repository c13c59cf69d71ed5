//! Second factors of those who come by an organization's provider: enrolled where the person is the organization's alone, and nowhere else.

use serde_json::{Value, json};
use testkit::caller::{Organization, text};
use tonic::Code;

use crate::{
    entering::{asked, prove, settings},
    identity_provider::IdentityProvider,
    isolated_pools::platform,
    joining::{member, with_domain},
    mfa::{App, COMPLETE_MFA, complete, enroll},
    sso::{allow, at, cluster, connect, project, sign_in},
};

const ENROLL: &str = "CredentialService/EnrollTotp";
const CONFIRM: &str = "CredentialService/ConfirmTotp";

async fn add(organization: &Organization<'_>, email: &str) -> Value {
    let create = json!({"organization_id": organization.id, "member": {"email_address": email}, "roles": ["member"]});
    organization.project.account.call("MemberService/CreateMember", create).await
}

async fn ask_everybody(organization: &Organization<'_>) {
    settings(organization, json!({"mfa_policy": "MFA_POLICY_REQUIRED_FOR_ALL"})).await;
}

#[tokio::test]
async fn a_tenants_provider_enrols_no_factor_of_a_person_whom_others_know() {
    let Some(idp) = IdentityProvider::start() else { return };
    let (cluster, server) = cluster().await;
    let project = project(cluster).await;
    let (evil, own, _) = with_domain(&project, server, "evil").await;
    let acme = project.organization("acme").await;
    connect(&evil, &idp, "globex", json!({})).await;
    let pat = format!("pat@{own}");
    let (there, here) = (add(&evil, &pat).await, add(&acme, &pat).await);
    assert_eq!(text(&there, "identity_id"), text(&here, "identity_id"));
    idp.account("pat", json!({"email": pat, "email_verified": true})).await;

    // Signed in by it, and by nothing else.
    let signed_in = sign_in(&project, &idp, at(&evil), "pat").await.unwrap();
    let session = cluster.bearer(&text(&signed_in, "access_token"));
    session.refused(ENROLL, json!({}), Code::FailedPrecondition, "METHOD_NOT_ALLOWED").await;
    session.refused(CONFIRM, json!({"code": "123456"}), Code::FailedPrecondition, "METHOD_NOT_ALLOWED").await;

    // On the way in: what Evil asks for cannot be given on the word of its provider.
    ask_everybody(&evil).await;
    let refused = sign_in(&project, &idp, at(&evil), "pat").await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "MFA_REQUIRED"), "{refused:?}");
    let identity = json!({"identity_id": there["identity_id"]});
    let person = project.account.call("IdentityService/GetIdentity", identity).await;
    assert!(person["mfa_methods"].as_array().is_none_or(Vec::is_empty), "{person}");

    // Whoever has proven the address enrols one, and by the provider it is asked for from then on.
    let proven = prove(&project, &pat, json!({"organization_slug": acme.slug})).await.unwrap();
    let (mut app, _) = enroll(&cluster.bearer(&text(&proven, "access_token"))).await;
    let required = sign_in(&project, &idp, at(&evil), "pat").await.unwrap();
    asked(&required);
    assert!(required["mfa_required"]["totp_enrollment"].is_null(), "{required}");
    let both = project.anyone().call(COMPLETE_MFA, complete(&required, &app.code().await)).await;
    assert_eq!(text(&both, "member_session.member_id"), text(&there, "member_id"));
    // A code proves no person: another app takes more.
    let session = cluster.bearer(&text(&both, "access_token"));
    session.refused(ENROLL, json!({}), Code::FailedPrecondition, "METHOD_NOT_ALLOWED").await;
}

#[tokio::test]
async fn in_a_pool_of_its_own_an_organization_enrols_whom_its_provider_brings() {
    let Some(idp) = IdentityProvider::start() else { return };
    let (cluster, server) = cluster().await;
    let project = platform(cluster).await;
    allow(cluster, &project.id).await;
    let (acme, domain, _) = with_domain(&project, server, "acme").await;
    connect(&acme, &idp, "acme", json!({})).await;
    settings(&acme, json!({"sso_jit_provisioning": "SSO_JIT_PROVISIONING_POLICY_ALL_ALLOWED"})).await;
    ask_everybody(&acme).await;

    // A member, somebody new under the organization's domain, and somebody new whose address nobody vouches for.
    let known = format!("ada@{domain}");
    add(&acme, &known).await;
    let bob = format!("bob@{domain}");
    for (login, email, verified) in
        [("ada", known.as_str(), true), ("bob", &bob, true), ("eve", "eve@else.test", false)]
    {
        idp.account(login, json!({"email": email, "email_verified": verified})).await;
        let required = sign_in(&project, &idp, at(&acme), login).await.unwrap();
        asked(&required);
        let mut app = App::of(&required);
        let signed = project.anyone().try_call(COMPLETE_MFA, complete(&required, &app.code().await)).await;
        let signed = signed.unwrap_or_else(|refused| panic!("{login}: {refused:?}"));
        let made = member(&acme, email).await.unwrap_or_else(|| panic!("{login} is no member"));
        assert_eq!(text(&signed, "member_session.member_id"), text(&made, "member_id"), "{login}");
        let again = sign_in(&project, &idp, at(&acme), login).await.unwrap();
        assert_eq!(again["mfa_required"]["enrolled_methods"], json!(["MFA_METHOD_TOTP"]), "{again}");
    }

    // Whoever gets the address while a code is on its way is not whom the provider brought.
    let taken = "mallory@else.test";
    idp.account("mallory", json!({"email": taken, "email_verified": true})).await;
    let required = sign_in(&project, &idp, at(&acme), "mallory").await.unwrap();
    let mut app = App::of(&required);
    let theirs = add(&acme, taken).await;
    let request = complete(&required, &app.code().await);
    project.anyone().refused(COMPLETE_MFA, request, Code::Unauthenticated, "SIGN_IN_FAILED").await;
    let identity = json!({"identity_id": theirs["identity_id"]});
    let person = project.account.call("IdentityService/GetIdentity", identity).await;
    assert!(person["mfa_methods"].as_array().is_none_or(Vec::is_empty), "{person}");
}
