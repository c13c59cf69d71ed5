//! What is committed and cannot be told yet is never taken for told. Transactions that do not end are held open on the server, and a member
//! is removed meanwhile.

use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::{Connection, PgConnection};
use testkit::{Cluster, caller::Caller};
use tonic::Code;

/// The gateway's `--revocation-lag`, as `guildhall dev` leaves it, and what a busy machine takes on top.
const LAG: Duration = Duration::from_secs(5);
const SLACK: Duration = Duration::from_secs(3);

/// The superuser's transaction in a database of the server, which has a number and so holds back the server's xmin.
async fn open_write(url: &str) -> PgConnection {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql("begin; create temporary table held (n int)").execute(&mut connection).await.unwrap();
    connection
}

/// Waits until the caller is refused, and tells by which code and after how long.
async fn refused(caller: &Caller) -> (Code, Duration) {
    let begun = Instant::now();
    loop {
        match caller.try_call("AuthenticationService/WhoAmI", json!({})).await {
            Err(refused) => return (refused.code, begun.elapsed()),
            Ok(_) => assert!(begun.elapsed() < LAG + SLACK, "the token of a removed member is still good"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_transaction_elsewhere_on_the_server_keeps_no_removed_member_in() {
    let cluster = Cluster::start().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let ada = acme.join("ada", &["member"]).await;
    let url = &cluster.access().database_url;
    let database = url.split('?').next().and_then(|url| url.rsplit('/').next()).unwrap();
    let elsewhere = url.replacen(&format!("/{database}"), "/postgres", 1);
    let held = open_write(&elsewhere).await;
    let owner = &acme.owner().caller;
    owner.call("MemberService/RemoveMember", json!({"organization_id": acme.id, "member_id": ada.id})).await;
    let (code, after) = refused(&ada.caller).await;
    assert_eq!(code, Code::Unauthenticated, "it is known to be revoked");
    assert!(after < Duration::from_secs(2), "after {after:?}");
    // Nobody else is troubled.
    tokio::time::sleep(LAG + Duration::from_secs(1)).await;
    owner.call("AuthenticationService/WhoAmI", json!({})).await;
    held.close().await.unwrap();
}

#[tokio::test]
async fn a_transaction_that_holds_the_feed_back_lets_nobody_pass_unknown() {
    let cluster = Cluster::start().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let ada = acme.join("ada", &["member"]).await;
    let owner = &acme.owner().caller;
    let mut held = open_write(&cluster.access().database_url).await;
    owner.call("MemberService/RemoveMember", json!({"organization_id": acme.id, "member_id": ada.id})).await;
    let (code, _) = refused(&ada.caller).await;
    assert_eq!(code, Code::Unavailable, "it is not known, and said so");
    // Whoever cannot be revoked is let in, and the rest as soon as the news come.
    project.cluster.operator().await;
    sqlx::raw_sql("rollback").execute(&mut held).await.unwrap();
    let begun = Instant::now();
    while owner.try_call("AuthenticationService/WhoAmI", json!({})).await.is_err() {
        assert!(begun.elapsed() < LAG + SLACK, "the gateway does not recover");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(refused(&ada.caller).await.0, Code::Unauthenticated);
}

/// Services look for themselves; who asks whether a token is good has nothing but the answer.
#[tokio::test]
async fn no_token_is_called_good_while_any_services_news_are_missing() {
    let cluster = Cluster::start().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let token = json!({"token": acme.owner().tokens.access});
    let introspect = "TokenService/IntrospectToken";
    project.account.call(introspect, token.clone()).await;
    cluster.stop("authz-service");
    let begun = Instant::now();
    loop {
        match project.account.try_call(introspect, token.clone()).await {
            Err(refused) => {
                assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "UNAVAILABLE"), "{refused:?}");
                break;
            }
            Ok(_) => assert!(begun.elapsed() < LAG + SLACK, "a token is called good that may have been revoked"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    cluster.go_on("authz-service");
    let begun = Instant::now();
    while project.account.try_call(introspect, token.clone()).await.is_err() {
        assert!(begun.elapsed() < LAG + SLACK, "the gateway does not recover");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
