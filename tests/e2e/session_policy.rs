//! How long sessions last is the organization's to say, of those that run too.

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Organization, text},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::sleep;
use tonic::Code;

use crate::{entering::settings, tenant_walls::superuser};

const REFRESH: &str = "AuthenticationService/RefreshSession";

/// Seconds from now until a session ends, as the list of sessions says.
async fn left(organization: &Organization<'_>, member: &str) -> i64 {
    let request = json!({"organization_id": organization.id, "member_id": member});
    let listed = organization.project.account.call("SessionService/ListSessions", request).await;
    let ends = OffsetDateTime::parse(&text(&listed, "sessions.0.expire_time"), &Rfc3339).unwrap();
    (ends - OffsetDateTime::now_utc()).whole_seconds()
}

/// Has a session be so many seconds older than it is, and so long not refreshed.
async fn age(organization: &Organization<'_>, member: &str, older: i32, idle: i32) {
    let id = member.parse::<tenancy::MemberId>().unwrap().uuid();
    sqlx::query(
        "update member.session set create_time = create_time - make_interval(secs => $2),
             last_active_time = last_active_time - make_interval(secs => $3) where member_id = $1",
    )
    .bind(id)
    .bind(f64::from(older))
    .bind(f64::from(idle))
    .execute(&mut superuser(organization.project.cluster).await)
    .await
    .unwrap();
}

fn near(left: i64, seconds: i64) {
    assert!((seconds - 60..=seconds).contains(&left), "{left} s left of {seconds}");
}

#[tokio::test]
async fn a_session_begins_with_what_the_organization_says() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let ada = acme.join("ada", &["member"]).await;
    near(left(&acme, &ada.id).await, 7 * 86_400);
    settings(&acme, json!({"session_lifetime": "3600s", "session_idle_timeout": "600s"})).await;
    let tokens = acme.sign_in(&ada.email, &ada.password).await.unwrap();
    near(left(&acme, &ada.id).await, 600);
    // It goes on by being refreshed, to its lifetime and no further.
    age(&acme, &ada.id, 3300, 0).await;
    sqlx::query("update member.session set latest_time = create_time + interval '1 hour' where member_id = $1")
        .bind(ada.id.parse::<tenancy::MemberId>().unwrap().uuid())
        .execute(&mut superuser(project.cluster).await)
        .await
        .unwrap();
    let refreshed = project.anyone().call(REFRESH, json!({"refresh_token": tokens.refresh})).await;
    near(left(&acme, &ada.id).await, 300);
    let said = OffsetDateTime::parse(&text(&refreshed, "member_session.expire_time"), &Rfc3339).unwrap();
    near((said - OffsetDateTime::now_utc()).whole_seconds(), 300);
    // Bounds are org-service's to keep.
    let request = json!({"organization_id": acme.id, "organization": {"settings": {"session_lifetime": "60s"}},
        "update_mask": "settings.sessionLifetime"});
    project
        .account
        .refused("OrganizationService/UpdateOrganization", request, Code::InvalidArgument, "INVALID_FIELDS")
        .await;
}

#[tokio::test]
async fn what_is_shortened_holds_for_sessions_that_run() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let (ada, grace) = (acme.join("ada", &["member"]).await, acme.join("grace", &["member"]).await);
    // Cut at the next refresh.
    settings(&acme, json!({"session_lifetime": "3600s", "session_idle_timeout": "1800s"})).await;
    let mut refresh = ada.tokens.refresh.clone();
    let begun = Instant::now();
    let signed = loop {
        let signed = project.anyone().call(REFRESH, json!({"refresh_token": refresh})).await;
        if left(&acme, &ada.id).await <= 1800 {
            break signed;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "a change is in force within two seconds");
        refresh = text(&signed, "refresh_token");
        sleep(Duration::from_millis(200)).await;
    };
    near(left(&acme, &ada.id).await, 1800);
    // One that has lasted as long as that, or lain idle so long, is over, whatever it was promised.
    age(&acme, &ada.id, 3601, 0).await;
    let refused = json!({"refresh_token": text(&signed, "refresh_token")});
    project.anyone().refused(REFRESH, refused, Code::Unauthenticated, "REFRESH_TOKEN_REFUSED").await;
    age(&acme, &grace.id, 0, 1801).await;
    let refused = json!({"refresh_token": grace.tokens.refresh});
    project.anyone().refused(REFRESH, refused, Code::Unauthenticated, "REFRESH_TOKEN_REFUSED").await;
}

/// How many seconds an access token is good for from its beginning on.
fn life(token: &str) -> u64 {
    let claims: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap();
    claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap()
}

#[tokio::test]
async fn a_projects_tokens_live_as_long_as_it_says() {
    let cluster = Cluster::shared().await;
    let (project, operator) = (cluster.project().await, cluster.operator().await);
    let acme = project.organization("acme").await;
    let ada = acme.join("ada", &["member"]).await;
    let update = |settings: Value| json!({"project_id": project.id, "project": {"token_settings": settings}, "update_mask": "tokenSettings"});
    for (bad, field) in [
        (json!({"access_token_lifetime": "59s"}), "access_token_lifetime"),
        (json!({"access_token_lifetime": "901s"}), "access_token_lifetime"),
        (json!({"refresh_token_lifetime": "299s"}), "refresh_token_lifetime"),
        (json!({"issuer_host": "id.acme.test"}), "issuer_host"),
    ] {
        let refused = operator
            .refused("ProjectService/UpdateProject", update(bad), Code::InvalidArgument, "INVALID_FIELDS")
            .await;
        assert_eq!(refused.fields, [format!("project.token_settings.{field}")]);
    }
    let get = json!({"organization_id": acme.id});
    for (seconds, idle) in [(900, 600), (60, 3600)] {
        let chosen =
            json!({"access_token_lifetime": format!("{seconds}s"), "refresh_token_lifetime": format!("{idle}s")});
        operator.call("ProjectService/UpdateProject", update(chosen)).await;
        sleep(Duration::from_millis(2_500)).await;
        let tokens = acme.sign_in(&ada.email, &ada.password).await.unwrap();
        assert_eq!(life(&tokens.access), seconds);
        for door in ["gateway", "org-service"] {
            cluster
                .bearer_at(cluster.door(door), Some(&tokens.access))
                .call("OrganizationService/GetOrganization", get.clone())
                .await;
        }
        // A refresh token is good for as long as its session may lie.
        near(left(&acme, &ada.id).await, idle);
        let refreshed = project.anyone().call(REFRESH, json!({"refresh_token": tokens.refresh})).await;
        assert_eq!(life(&text(&refreshed, "access_token")), seconds);
        assert_eq!(refreshed["expires_in"].as_u64(), Some(seconds));
    }
}
