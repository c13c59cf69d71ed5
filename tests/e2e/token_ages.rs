//! What time and number do to tokens and tries: nothing outlives what it came of, an answer is lost for ten seconds, and codes are
//! neither asked for nor guessed without end.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use testkit::{
    Cluster,
    caller::{Organization, Refused, text},
};
use tonic::Code;

use crate::{
    entering::START,
    oauth::{ACCESS_TOKEN, EXCHANGE, MEMBER, claims, post},
};

const REFRESH: &str = "AuthenticationService/RefreshSession";

async fn refresh(organization: &Organization<'_>, token: &str) -> Result<String, Refused> {
    let request = json!({"refresh_token": token});
    let answer = organization.project.anyone().try_call(REFRESH, request).await?;
    Ok(text(&answer, "refresh_token"))
}

#[track_caller]
fn ended(outcome: Result<String, Refused>) {
    assert_eq!(outcome.unwrap_err().reason, "REFRESH_TOKEN_REFUSED");
}

#[tokio::test]
async fn an_answer_is_lost_and_asked_for_again_within_ten_seconds() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    // However often, it is the same, until it was used: then whoever asks is not the one who lost it, and the session ends.
    let ada = acme.join("ada", &["member"]).await;
    let first = &ada.tokens.refresh;
    let next = refresh(&acme, first).await.unwrap();
    for _ in 0..3 {
        assert_eq!(refresh(&acme, first).await.unwrap(), next);
    }
    let last = refresh(&acme, &next).await.unwrap();
    ended(refresh(&acme, first).await);
    ended(refresh(&acme, &last).await);
    // It ends by asking too late, too.
    let mut database = PgConnection::connect(&cluster.access().database_url).await.unwrap();
    for (seconds, good) in [(5.0, true), (11.0, false)] {
        let bob = acme.join("bob", &["member"]).await;
        let next = refresh(&acme, &bob.tokens.refresh).await.unwrap();
        let session: tenancy::SessionId = text(&claims(&bob.tokens.access), "sid").parse().unwrap();
        let age =
            "update member.session set rotate_time = rotate_time - make_interval(secs => $2) where session_id = $1";
        let aged = sqlx::query(age).bind(session.uuid()).bind(seconds).execute(&mut database).await.unwrap();
        assert_eq!(aged.rows_affected(), 1);
        assert_eq!(refresh(&acme, &bob.tokens.refresh).await.is_ok(), good, "after {seconds} s");
        assert_eq!(refresh(&acme, &next).await.is_ok(), good, "after {seconds} s");
    }
}

#[tokio::test]
async fn no_token_outlives_the_one_that_it_came_of() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    let admin = acme.join("admin", &["admin"]).await;
    let member = json!({"organization_id": globex.id, "member": {"email_address": admin.email}, "roles": ["member"]});
    project.account.call("MemberService/CreateMember", member).await;
    let subject = acme.join("subject", &["member"]).await;
    let ends = |token: &str| claims(token)["exp"].as_u64().unwrap();
    // A new one of the usual life would end later.
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let own = [("grant_type", EXCHANGE), ("subject_token", &admin.tokens.access), ("subject_token_type", ACCESS_TOKEN)];
    for more in [vec![], vec![("scope", "guildhall.member:read")], vec![("organization_id", globex.id.as_str())]] {
        let token = post(cluster, "token", &[own.to_vec(), more.clone()].concat()).await.token();
        assert!(ends(&token) <= ends(&admin.tokens.access), "{more:?}");
    }
    let acting = [
        ("grant_type", EXCHANGE),
        ("subject_token", subject.id.as_str()),
        ("subject_token_type", MEMBER),
        ("actor_token", &admin.tokens.access),
        ("actor_token_type", ACCESS_TOKEN),
    ];
    let token = post(cluster, "token", &acting).await.token();
    assert!(ends(&token) <= ends(&admin.tokens.access), "acting as somebody");
    // The member's own token is the older of the two.
    let young = acme.again(&admin).await;
    let mut acting = acting;
    (acting[1].1, acting[2].1, acting[3].1) = (&subject.tokens.access, ACCESS_TOKEN, &young.tokens.access);
    let token = post(cluster, "token", &acting).await.token();
    assert!(ends(&token) <= ends(&subject.tokens.access), "acting by the member's token");
}

#[tokio::test]
async fn codes_are_neither_asked_for_nor_guessed_without_end() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let ada = acme.join("ada", &["member"]).await;
    let start = json!({"email_address": ada.email, "organization_slug": acme.slug});
    for _ in 0..10 {
        project.anyone().call(START, start.clone()).await;
    }
    project.anyone().refused(START, start, Code::ResourceExhausted, "RATE_LIMITED").await;

    ada.caller.call("CredentialService/EnrollTotp", json!({})).await;
    let confirm = "CredentialService/ConfirmTotp";
    // Of six digits, as none is sure to be wrong, only the count is looked at.
    let mut reasons = Vec::new();
    for guess in ["000001", "000002", "000003", "000004", "000005", "000006"] {
        let outcome: Result<Value, Refused> = ada.caller.try_call(confirm, json!({"code": guess})).await;
        reasons.push(outcome.map_or_else(|refused| refused.reason, |_| "none".to_owned()));
    }
    assert_eq!(reasons[..5], ["SIGN_IN_FAILED"; 5]);
    assert_eq!(reasons[5], "RATE_LIMITED");
}
