//! A run in which everything happens that has a secret.

use serde_json::json;
use testkit::{
    Cluster,
    caller::{text, unique},
    http,
};
use tonic::Code;

use super::{GET, SIGN_IN};
use crate::oauth::{ACCESS_TOKEN, EXCHANGE, robot_of};

/// Signs in and does in every way that there is, and gives every secret, token and address that was used.
pub async fn a_busy_day(cluster: &Cluster) -> Vec<(&'static str, String)> {
    let mut secrets = Vec::new();
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let (owner, anyone) = (acme.owner(), project.anyone());
    secrets.push(("a project's token", project.token.clone()));
    for (what, secret) in [
        ("an address", &owner.email),
        ("a password", &owner.password),
        ("an access token", &owner.tokens.access),
        ("a refresh token", &owner.tokens.refresh),
    ] {
        secrets.push((what, secret.clone()));
    }
    // A wrong password, and an address that nobody has.
    let wrong = unique("a wrong password");
    let nobody = unique("nobody") + "@nowhere.test";
    let sign_in = |email: &str, password: &str| json!({"email_address": email, "password": password, "organization_slug": acme.slug});
    anyone.refused(SIGN_IN, sign_in(&owner.email, &wrong), Code::Unauthenticated, "SIGN_IN_FAILED").await;
    anyone.refused(SIGN_IN, sign_in(&nobody, &wrong), Code::Unauthenticated, "SIGN_IN_FAILED").await;
    secrets.extend([("a wrong password", wrong), ("an unknown address", nobody)]);

    // By a code, and by a link, of the same mail.
    for by_link in [false, true] {
        let before = cluster.delivered(&owner.email).len();
        let start = json!({"email_address": owner.email, "organization_slug": acme.slug});
        let challenge = anyone.call("AuthenticationService/StartEmailSignIn", start).await;
        let mail = cluster.mails(&owner.email, before + 1).await.pop().unwrap();
        let complete = match by_link {
            true => json!({"token": mail.token()}),
            false => json!({"challenge_id": text(&challenge, "challenge_id"), "code": mail.code()}),
        };
        let signed_in = anyone.call("AuthenticationService/CompleteEmailSignIn", complete).await;
        secrets.extend([("a link's token", mail.token()), ("a mailed code", mail.code())]);
        secrets.push(("an access token", text(&signed_in, "access_token")));
        secrets.push(("a refresh token", text(&signed_in, "refresh_token")));
    }
    // By a choice of organization.
    let signed_in = json!({"email_address": owner.email, "password": owner.password});
    let signed_in = anyone.call(SIGN_IN, signed_in).await;
    if let Some(token) = signed_in["intermediate_token"].as_str().filter(|token| !token.is_empty()) {
        secrets.push(("an intermediate session's token", token.to_owned()));
    }

    // Invited.
    let guest = unique("guest") + "@acme.test";
    let token = acme.invite(&guest, &["member"]).await;
    let again = unique("x") + "@acme.test";
    anyone.call("InvitationService/AcceptInvitation", json!({"token": token, "display_name": "Guest"})).await;
    anyone.try_call("InvitationService/AcceptInvitation", json!({"token": token})).await.unwrap_err();
    owner
        .caller
        .try_call(
            "InvitationService/CreateInvitation",
            json!({"organization_id": acme.id, "invitation": {"email_address": guest}}),
        )
        .await
        .unwrap_err();
    acme.invite(&again, &["member"]).await;
    secrets.extend([("an invited address", guest), ("an invited address", again), ("an invitation", token)]);

    // Programs: by secret, by API key, refreshed, exchanged; and each refused.
    let robot = robot_of(&acme).await;
    let token = robot.token(cluster).await;
    let gateway = cluster.access().gateway;
    let ask = async |form: Vec<(&str, &str)>| http::post_form(gateway, "/oauth2/token", &form).await.1;
    let key = "urn:guildhall:params:oauth:token-type:api_key";
    let by_key = vec![("grant_type", EXCHANGE), ("subject_token", robot.secret.as_str()), ("subject_token_type", key)];
    let by_key = ask(by_key).await;
    secrets.push(("a token by API key", text(&by_key, "access_token")));
    let refreshed = ask(vec![("grant_type", "refresh_token"), ("refresh_token", owner.tokens.refresh.as_str())]).await;
    secrets.push(("a refreshed access token", text(&refreshed, "access_token")));
    secrets.push(("a refreshed refresh token", text(&refreshed, "refresh_token")));
    let less = [
        ("grant_type", EXCHANGE),
        ("subject_token", owner.tokens.access.as_str()),
        ("subject_token_type", ACCESS_TOKEN),
    ];
    let less = ask([&less[..], &[("scope", "guildhall.member:read")]].concat()).await;
    secrets.push(("an exchanged token", text(&less, "access_token")));
    let bad = robot.secret.chars().rev().collect::<String>();
    cluster.client_credentials(&robot.id, &bad).await.unwrap_err();
    ask(vec![("grant_type", "refresh_token"), ("refresh_token", &bad)]).await;
    secrets.extend([("a robot's token", token), ("an API key", robot.secret), ("a wrong secret", bad)]);
    cluster
        .bearer(&owner.tokens.access.replace('.', "x"))
        .try_call(GET, json!({"organization_id": acme.id}))
        .await
        .unwrap_err();

    let other = json!({"organization_id": tenancy::OrganizationId::new().to_string()});
    owner.caller.refused(GET, other, Code::NotFound, "NOT_FOUND").await;

    // Somebody asks what they may, so that there are snapshots; an address is taken.
    let question =
        json!({"organization_id": acme.id, "subject": {"member_id": owner.id}, "permission": "guildhall.member:read"});
    for _ in 0..20 {
        project.account.call("AuthorizationService/Check", question.clone()).await;
    }
    let taken = json!({"organization_id": acme.id, "member": {"email_address": owner.email}, "roles": ["member"]});
    project.account.try_call("MemberService/CreateMember", taken).await.unwrap_err();
    secrets
}
