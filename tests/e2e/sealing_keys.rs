//! A sealing key is replaced: what rests in tables for good is sealed anew, and the key that sealed it first may go.

use std::{
    fs,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;
use sqlx::{PgConnection, Row};
use testkit::{
    Cluster,
    caller::{Member, Organization, text},
};
use tokio::time::sleep;

use crate::{
    entering::SIGN_IN,
    mfa::{App, COMPLETE_MFA, complete, enroll},
    tenant_walls::superuser,
};

const SERVICES: [&str; 2] = ["org-service", "member-service"];
const PATIENCE: Duration = Duration::from_secs(30);

/// Gives a service other sealing keys, made of those that it has, and starts it anew.
async fn with_keys(cluster: &Cluster, service: &str, change: impl Fn(&str) -> String) {
    let file = cluster.directory().join(format!("sealing/{service}.keys"));
    let keys = fs::read_to_string(&file).unwrap();
    fs::write(&file, change(&keys)).unwrap();
    let pid = cluster.kill(service);
    cluster.restarted(service, pid).await;
}

/// By which keys the secrets of connections and the apps of people are sealed.
async fn seals(database: &mut PgConnection) -> Vec<String> {
    let row = sqlx::query(
        "select array_agg(encode(substring(secret from 2 for get_byte(secret, 0)), 'escape')) from (
             select client_secret from org.connection union all select totp_secret from member.identity
         ) as resting (secret) where secret is not null",
    );
    row.fetch_one(database).await.unwrap().get(0)
}

async fn signs_in(organization: &Organization<'_>, member: &Member, app: &mut App) {
    let request =
        json!({"email_address": member.email, "password": member.password, "organization_slug": organization.slug});
    let begun = Instant::now();
    let required = loop {
        // The service may just have started.
        match organization.project.anyone().try_call(SIGN_IN, request.clone()).await {
            Ok(required) => break required,
            Err(refused) => assert!(begun.elapsed() < PATIENCE, "{refused:?}"),
        }
        sleep(Duration::from_millis(100)).await;
    };
    let signed = organization.project.anyone().call(COMPLETE_MFA, complete(&required, &app.code().await)).await;
    assert_eq!(text(&signed, "member_session.member_id"), member.id);
}

#[tokio::test]
async fn what_rests_for_good_is_sealed_anew_and_the_former_key_may_go() {
    let cluster = Cluster::start().await;
    let acme = cluster.project().await.organization("acme").await;
    let ada = acme.join("ada", &["member"]).await;
    let (mut app, _) = enroll(&ada.caller).await;
    let connection = json!({"kind": "CONNECTION_KIND_OIDC", "display_name": "Acme", "issuer": "https://idp.acme.test",
        "client_id": "guildhall", "client_secret": "hush"});
    let request = json!({"organization_id": acme.id, "connection": connection});
    acme.owner().caller.call("ConnectionService/CreateConnection", request).await;
    let mut database = superuser(&cluster).await;
    let first = seals(&mut database).await;
    assert!(first.len() == 2 && !first.contains(&"second".to_owned()), "{first:?}");

    let second = format!("second:{}", STANDARD.encode([7; 32]));
    for service in SERVICES {
        with_keys(&cluster, service, |keys| format!("{second}\n{keys}")).await;
    }
    let begun = Instant::now();
    while seals(&mut database).await != ["second", "second"] {
        assert!(begun.elapsed() < PATIENCE, "they rest under {:?}", seals(&mut database).await);
        sleep(Duration::from_millis(200)).await;
    }
    for service in SERVICES {
        with_keys(&cluster, service, |_| format!("{second}\n")).await;
    }
    signs_in(&acme, &ada, &mut app).await;
}
