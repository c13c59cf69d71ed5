//! Whom an organization's provider may stand for: only an address that it calls verified, under a domain that is the organization's.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::caller::{text, unique};

use crate::{
    entering::settings,
    identity_provider::IdentityProvider,
    joining::member,
    sso::{COMPLETE, at, begin, completion, ready, sign_in, why},
};

const SETTLED: Duration = Duration::from_secs(15);

#[tokio::test]
async fn an_invitation_is_for_whom_the_provider_vouches_for_now() {
    let Some(idp) = IdentityProvider::start() else { return };
    let (project, acme, domain, _) = ready(&idp, "acme").await;
    let not_alone = "PROVISIONING_NOT_ALLOWED";

    // Invited is the address: under nobody's domain, and under Acme's without the provider's word.
    let (sam, kim) = (unique("sam") + "@elsewhere.test", format!("kim@{domain}"));
    for (login, email, verified) in [("sam", &sam, true), ("kim", &kim, false)] {
        acme.invite(email, &["admin"]).await;
        idp.account(login, json!({"email": email, "email_verified": verified})).await;
        assert_eq!(why(sign_in(&project, &idp, at(&acme), login).await), not_alone, "{login}");
        assert!(member(&acme, email).await.is_none(), "{login}");
    }
    let domains = json!({"sso_jit_provisioning": "SSO_JIT_PROVISIONING_POLICY_RESTRICTED"});
    settings(&acme, domains).await;
    assert_eq!(why(sign_in(&project, &idp, at(&acme), "kim").await), "EMAIL_NOT_VERIFIED");
    settings(&acme, json!({"sso_jit_provisioning": "SSO_JIT_PROVISIONING_POLICY_NOT_ALLOWED"})).await;

    // Somebody known by their account is invited back by an address that the account does not have any more.
    let ada = format!("ada@{domain}");
    let before = member(&acme, &ada).await.unwrap();
    let gone = json!({"organization_id": acme.id, "member_id": before["member_id"]});
    acme.owner().caller.call("MemberService/RemoveMember", gone).await;
    acme.invite(&ada, &["admin"]).await;
    idp.account("ada", json!({"email": format!("other@{domain}"), "email_verified": true})).await;
    assert_eq!(why(sign_in(&project, &idp, at(&acme), "ada").await), not_alone);
    idp.account("ada", json!({"email": ada, "email_verified": true})).await;
    let back = sign_in(&project, &idp, at(&acme), "ada").await.unwrap();
    assert_eq!(back["member_session"]["roles"], json!(["admin"]));
    let now = member(&acme, &ada).await.unwrap();
    assert_eq!(text(&now, "identity_id"), text(&before, "identity_id"));
}

#[tokio::test]
async fn what_was_begun_at_one_provider_does_not_end_at_another() {
    let (Some(idp), Some(other)) = (IdentityProvider::start(), IdentityProvider::start()) else { return };
    let (project, acme, domain, connection) = ready(&idp, "acme").await;
    let begun = begin(&project, at(&acme)).await;
    let elsewhere = json!({"organization_id": acme.id, "connection_id": connection["connection_id"],
        "connection": {"issuer": other.issuer, "client_secret": "the secret of acme"}, "update_mask": "issuer,clientSecret"});
    acme.owner().caller.call("ConnectionService/UpdateConnection", elsewhere).await;
    // Another person with the same name there, who takes the sign-in over.
    other.account("ada", json!({"email": format!("eve@{domain}"), "email_verified": true})).await;
    let bent = begun.uri.replacen(&idp.issuer, &other.issuer, 1);
    let mut back = other.sign_in(&bent, "ada").await;
    back.remove("iss");
    let outcome = project.anyone().try_call(COMPLETE, completion(&begun, &back)).await;
    assert!(outcome.is_err(), "{outcome:?}");
    // Begun there, it is somebody whom nobody knows. What begins within moments of the change may have to begin again.
    let changed = Instant::now();
    let refused = loop {
        match sign_in(&project, &other, at(&acme), "ada").await {
            Err(refused) if refused.reason == "SIGN_IN_FAILED" && changed.elapsed() < SETTLED => {}
            outcome => break outcome,
        }
    };
    assert_eq!(why(refused), "PROVISIONING_NOT_ALLOWED");
}
