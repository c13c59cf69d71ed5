use serde_json::json;
use testkit::{Cluster, caller::text};

use super::{die, eventually, insist};
use crate::{
    entering::{SIGN_IN, asked, settings},
    mfa::{App, COMPLETE_MFA, complete},
};

#[tokio::test]
async fn another_password_that_is_set_half_way_ends_every_session_all_the_same() {
    let cluster = Cluster::start().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let ada = acme.join("ada", &["member"]).await;
    let set = json!({"organization_id": acme.id, "member_id": ada.id, "password": "another horse altogether"});
    die(&cluster, "set-password/committed", &project.account, "CredentialService/SetPassword", &set).await;
    let refresh = json!({"refresh_token": ada.tokens.refresh});
    eventually("its refresh is refused", || async {
        let refused = project.anyone().try_call("AuthenticationService/RefreshSession", refresh.clone()).await.err();
        refused.filter(|refused| refused.reason == "REFRESH_TOKEN_REFUSED")
    })
    .await;
    let sessions = json!({"organization_id": acme.id, "member_id": ada.id});
    eventually("a sweep has ended it", || async {
        let listed = insist(&project.account, "SessionService/ListSessions", &sessions).await;
        listed["sessions"].as_array().is_none_or(Vec::is_empty).then_some(())
    })
    .await;
    eventually("its access token is refused", || async {
        let about = json!({"organization_id": acme.id});
        let refused = ada.caller.try_call("OrganizationService/GetOrganization", about).await.err();
        refused.filter(|refused| refused.reason == "CREDENTIAL_REVOKED")
    })
    .await;
    eventually("she signs in with it", || async { acme.sign_in(&ada.email, "another horse altogether").await.ok() })
        .await;
}

#[tokio::test]
async fn a_second_factor_that_is_given_half_way_is_given_again() {
    let cluster = Cluster::start().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let ada = acme.join("ada", &["member"]).await;
    settings(&acme, json!({"mfa_policy": "MFA_POLICY_REQUIRED_FOR_ALL"})).await;
    let sign_in = json!({"email_address": ada.email, "password": ada.password, "organization_id": acme.id});
    let anyone = project.anyone();
    let required = insist(&anyone, SIGN_IN, &sign_in).await;
    let mut app = App::of(&required);
    // The app counts from its first right code on, whether or not anybody heard.
    die(&cluster, "second-factor/given", &anyone, COMPLETE_MFA, &complete(&required, &app.code().await)).await;
    let again = insist(&anyone, SIGN_IN, &sign_in).await;
    assert_eq!(again["mfa_required"]["enrolled_methods"], json!(["MFA_METHOD_TOTP"]), "{again}");
    die(&cluster, "complete-mfa/given", &anyone, COMPLETE_MFA, &complete(&again, &app.code().await)).await;
    let again = insist(&anyone, SIGN_IN, &sign_in).await;
    asked(&again);
    let request = complete(&again, &app.code().await);
    let signed = insist(&anyone, COMPLETE_MFA, &request).await;
    // The recovery codes that nobody saw are replaced by who has the app.
    let caller = cluster.bearer(&text(&signed, "access_token"));
    let code = app.code().await;
    let codes = insist(&caller, "CredentialService/RegenerateRecoveryCodes", &json!({"code": code})).await;
    assert_eq!(codes["recovery_codes"].as_array().unwrap().len(), 10);
}
