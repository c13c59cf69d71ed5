use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Organization, Refused, text, unique},
};
use tonic::Code;

use super::{denied, die, eventually, insist, insist_or_missing};

/// A service account that is an admin, and the token it has fetched.
pub async fn robot(acme: &Organization<'_>) -> (String, String, Value) {
    let account = &acme.project.account;
    let request =
        json!({"organization_id": acme.id, "service_account": {"display_name": "robot"}, "request_id": unique("r")});
    let made = insist(account, "ServiceAccountService/CreateServiceAccount", &request).await;
    let id = text(&made, "service_account_id");
    let subject = json!({"service_account_id": id});
    let bind = json!({"organization_id": acme.id, "binding": {"subject": subject, "role_id": "admin"}, "request_id": unique("r")});
    insist(account, "BindingService/CreateBinding", &bind).await;
    let request = json!({"organization_id": acme.id, "service_account_id": id, "api_key": {"display_name": "key"}, "request_id": unique("r")});
    let key = text(&insist(account, "ServiceAccountService/CreateApiKey", &request).await, "secret");
    (id, key, subject)
}

#[tokio::test]
async fn a_service_account_that_is_suspended_or_deleted_half_way_is_soon_wholly_so() {
    let cluster = Cluster::start().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let account = &project.account;
    for place in ["note-subject/committed", "suspend-account/told", "suspend-account/committed"] {
        let (id, key, subject) = robot(&acme).await;
        let state = |state: &str| {
            json!({"organization_id": acme.id, "update_mask": "state",
            "service_account": {"service_account_id": id, "state": format!("SERVICE_ACCOUNT_STATE_{state}")}})
        };
        cluster.client_credentials(&id, &key).await.unwrap_or_else(|refused| panic!("{refused:?}"));
        die(&cluster, place, account, "ServiceAccountService/UpdateServiceAccount", &state("SUSPENDED")).await;
        assert!(denied(&acme, &subject).await, "the rights go first");
        eventually(&format!("it is suspended here too after {place}"), || async {
            let about = json!({"organization_id": acme.id, "service_account_id": id});
            let found = insist(account, "ServiceAccountService/GetServiceAccount", &about).await;
            (found["state"] == "SERVICE_ACCOUNT_STATE_SUSPENDED").then_some(())
        })
        .await;
        eventually(&format!("it gets no token after {place}"), || async {
            cluster.client_credentials(&id, &key).await.err()
        })
        .await;
        // Back in, the rights come last.
        die(
            &cluster,
            "suspend-account/committed",
            account,
            "ServiceAccountService/UpdateServiceAccount",
            &state("ACTIVE"),
        )
        .await;
        eventually("authz-service has read that it is back", || async {
            (!denied(&acme, &subject).await).then_some(())
        })
        .await;
        eventually("it is let in again", || async { cluster.client_credentials(&id, &key).await.ok() }).await;
    }
    for place in ["drop-subject/committed", "remove-account/told"] {
        let (id, key, subject) = robot(&acme).await;
        let about = json!({"organization_id": acme.id, "service_account_id": id});
        die(&cluster, place, account, "ServiceAccountService/DeleteServiceAccount", &about).await;
        assert!(denied(&acme, &subject).await, "the rights go first");
        eventually(&format!("nothing is left of it after {place}"), || async {
            let found = insist_or_missing(account, "ServiceAccountService/GetServiceAccount", &about).await;
            found.is_none().then_some(())
        })
        .await;
        eventually(&format!("it gets no token after {place}"), || async {
            cluster.client_credentials(&id, &key).await.err()
        })
        .await;
    }
}

#[tokio::test]
async fn a_person_who_is_suspended_half_way_is_soon_signed_out_everywhere() {
    let cluster = Cluster::start().await;
    let project = cluster.project().await;
    let (acme, beta) = (project.organization("acme").await, project.organization("beta").await);
    let account = &project.account;
    let ada = acme.join("ada", &["member"]).await;
    let there = json!({"organization_id": beta.id, "member": {"email_address": ada.email}, "roles": ["member"]});
    account.call("MemberService/CreateMember", there).await;
    let tokens = beta.sign_in(&ada.email, &ada.password).await.unwrap();
    let about = json!({"organization_id": acme.id, "member_id": ada.id});
    let identity = text(&account.call("MemberService/GetMember", about).await, "identity_id");
    let suspend =
        json!({"identity": {"identity_id": identity, "state": "IDENTITY_STATE_SUSPENDED"}, "update_mask": "state"});
    die(&cluster, "suspend-identity/committed", account, "IdentityService/UpdateIdentity", &suspend).await;
    // A service that was just away may still be that to the gateway, which says nothing of the person.
    let answered = |refused: Refused| (refused.code != Code::Unavailable).then_some(refused.reason);
    for organization in [&acme, &beta] {
        let signed_in = eventually("a sign-in is answered", || async {
            answered(organization.sign_in(&ada.email, &ada.password).await.unwrap_err())
        });
        assert_eq!(signed_in.await, "SIGN_IN_FAILED");
    }
    for refresh in [ada.tokens.refresh, tokens.refresh] {
        let request = json!({"refresh_token": refresh});
        let refreshed = eventually("a refresh is answered", || async {
            let anyone = project.anyone();
            answered(anyone.try_call("AuthenticationService/RefreshSession", request.clone()).await.unwrap_err())
        });
        assert_eq!(refreshed.await, "REFRESH_TOKEN_REFUSED");
    }
    for access in [ada.tokens.access, tokens.access] {
        eventually("their access tokens are refused", || async {
            cluster.bearer(&access).try_call("AuthenticationService/WhoAmI", json!({})).await.is_err().then_some(())
        })
        .await;
    }
}
