//! A credential that was good is refused once it is revoked.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod stage;

use std::time::Duration;

use api::{
    access::v1::ErrorReason,
    event::v1::Event,
    gateway::v1::{SignOutRequest, WhoAmIRequest},
};
use stage::{Stage, assert_reason, eventually, generous, http_get, with_token};
use tonic::Code;

#[tokio::test]
async fn a_removed_member_is_refused_and_nobody_else() {
    let stage = Stage::start().await;
    let (ada, project) = (stage.sign_in().await.access_token, stage.project_token().await);
    assert!(stage.get_organization(&ada).await.is_ok());
    let removed = Event {
        kind: "member.removed".to_owned(),
        revision: 9,
        project_id: stage.world.project.to_string(),
        subject_ids: vec![stage.world.member.to_string()],
        ..Event::default()
    };
    stage.member.feed.send(Some(removed)).unwrap();
    eventually("the token is refused", async || stage.get_organization(&ada).await.is_err()).await;
    let refused = stage.get_organization(&ada).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_reason(&refused, ErrorReason::CredentialRevoked);
    let mut own = stage.authentication().await;
    assert_reason(&own.who_am_i(with_token(WhoAmIRequest {}, &ada)).await.unwrap_err(), ErrorReason::CredentialRevoked);
    assert!(stage.get_organization(&project).await.is_ok());
}

#[tokio::test]
async fn a_session_ends_with_its_sign_out() {
    let stage = Stage::start().await;
    let (first, second) = (stage.sign_in().await.access_token, stage.sign_in().await.access_token);
    let mut own = stage.authentication().await;
    own.sign_out(with_token(SignOutRequest {}, &first)).await.unwrap();
    let end = stage.member.calls("/guildhall.member.v1.SessionService/EndSession");
    assert_eq!(end.len(), 1);
    let refused = stage.get_organization(&first).await.unwrap_err();
    assert_reason(&refused, ErrorReason::CredentialRevoked);
    assert!(stage.get_organization(&second).await.is_ok());

    // Without a session there is nothing to end.
    own.sign_out(with_token(SignOutRequest {}, &stage.project_token().await)).await.unwrap();
    assert!(stage.get_organization(&stage.project_token().await).await.is_ok());
}

#[tokio::test]
async fn without_news_of_revocations_no_revocable_token_is_believed() {
    let stage = Stage::with(generous().0, Duration::from_millis(500)).await;
    let token = stage.sign_in().await.access_token;
    assert!(stage.get_organization(&token).await.is_ok());
    assert_eq!(http_get(stage.admin, "/readyz").await.0, 200);
    stage.member.fall_silent();
    eventually("the token is refused", async || stage.get_organization(&token).await.is_err()).await;
    let refused = stage.get_organization(&token).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert_reason(&refused, ErrorReason::Unavailable);
    eventually("readiness says why", async || {
        let (status, _, body) = http_get(stage.admin, "/readyz").await;
        status == 503 && body.contains("revocations")
    })
    .await;
}

#[tokio::test]
async fn a_feed_that_lives_and_holds_events_back_is_no_news() {
    let stage = Stage::with(generous().0, Duration::from_millis(500)).await;
    let token = stage.sign_in().await.access_token;
    assert!(stage.get_organization(&token).await.is_ok());
    stage.member.hold_back();
    eventually("the token is refused", async || stage.get_organization(&token).await.is_err()).await;
    let refused = stage.get_organization(&token).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert_reason(&refused, ErrorReason::Unavailable);
}
