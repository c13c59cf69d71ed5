//! Tokens: how they are got, what verifies them, and how often.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod stage;

use access::{Caller, Service, Trust, Verifier};
use api::{
    access::v1::ErrorReason,
    gateway::v1::{
        RefreshSessionRequest, SignInWithPasswordRequest, sign_in_with_password_request::Organization as Named,
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use gateway::LimitOptions;
use serde_json::Value;
use stage::{
    ISSUER, OPERATOR_SECRET, Stage, assert_reason,
    backend::{API_KEY, PASSWORD, REFRESH_TOKEN},
    generous, http_form, http_get, http1,
};
use tonic::Code;
use tonic_types::StatusExt;

fn json(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {body}"))
}

#[tokio::test]
async fn a_token_is_verified_by_the_published_keys() {
    let stage = Stage::start().await;
    let (status, head, keys) = http_get(stage.address, "/.well-known/jwks.json").await;
    assert_eq!(status, 200);
    assert!(head.contains("cache-control: public, max-age=300"), "{head}");
    assert_eq!(json(&keys)["keys"][0]["kid"], stage.key.kid());
    assert!(json(&keys)["keys"][0].get("d").is_none());

    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("access.jwks.json"), keys).unwrap();
    let trust = || Trust::read(elsewhere.path()).unwrap();
    let verifier = Verifier::new(Service::Org, trust(), ISSUER, "guildhall");
    let signed = stage.sign_in().await;
    let verified = verifier.verify(&signed.access_token).unwrap();
    let claims = verified.claims.as_ref().unwrap();
    assert!(matches!(verified.caller, Caller::Member { member, .. } if member == stage.world.member));
    assert_eq!((claims.roles.as_slice(), claims.amr.as_slice()), (&["owner".to_owned()][..], &["pwd".to_owned()][..]));
    assert_eq!((claims.org_slug.as_deref(), claims.epoch, claims.exp - claims.iat), (Some("acme"), 3, 300));
    assert_eq!((signed.expires_in, signed.refresh_token.as_str()), (300, REFRESH_TOKEN));

    let project = verifier.verify(&stage.project_token().await).unwrap();
    assert_eq!(
        project.caller,
        Caller::ServiceAccount {
            project: stage.world.project,
            organization: None,
            id: stage.world.account,
            key: stage.world.key,
        }
    );
    for (issuer, audience) in [("https://evil.test", "guildhall"), (ISSUER, "other")] {
        assert!(Verifier::new(Service::Org, trust(), issuer, audience).verify(&signed.access_token).is_err());
    }
}

#[tokio::test]
async fn the_documents_name_the_configured_issuer_and_not_the_host() {
    let stage = Stage::start().await;
    for path in ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"] {
        let (status, _, body) = http_get(stage.address, path).await;
        assert_eq!(status, 200);
        assert_eq!(json(&body)["issuer"], ISSUER);
        assert_eq!(json(&body)["token_endpoint"], format!("{ISSUER}/oauth2/token"));
        assert_eq!(json(&body)["jwks_uri"], format!("{ISSUER}/.well-known/jwks.json"));
        assert!(!body.contains("evil.test"));
    }
}

#[tokio::test]
async fn a_client_authenticates_in_either_way() {
    let stage = Stage::start().await;
    let account = stage.world.account;
    let basic =
        |id: &str, secret: &str| format!("authorization: Basic {}\r\n", STANDARD.encode(format!("{id}:{secret}")));
    let grant = "grant_type=client_credentials";
    let operator = "operator:the+operator%27s+secret";
    let operator = format!("authorization: Basic {}\r\n", STANDARD.encode(operator));
    for (form, headers) in [
        (format!("{grant}&client_id={account}&client_secret={API_KEY}"), String::new()),
        (grant.to_owned(), basic(&account.to_string(), API_KEY)),
        (grant.to_owned(), operator),
        (format!("{grant}&client_id=operator&client_secret={}", OPERATOR_SECRET.replace(' ', "+")), String::new()),
    ] {
        let (status, head, body) = http_form(stage.address, &form, &headers).await;
        assert_eq!(status, 200, "{form}: {body}");
        assert!(head.contains("cache-control: no-store") && head.contains("pragma: no-cache"), "{head}");
        let body = json(&body);
        assert_eq!((body["token_type"].as_str(), body["expires_in"].as_i64()), (Some("Bearer"), Some(300)));
        assert!(body.get("refresh_token").is_none());
    }
    let (status, _, body) =
        http_form(stage.address, &format!("grant_type=refresh_token&refresh_token={REFRESH_TOKEN}"), "").await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(json(&body)["refresh_token"], REFRESH_TOKEN);
}

#[tokio::test]
async fn a_bad_request_is_told_in_the_words_of_the_rfc() {
    let stage = Stage::start().await;
    let account = stage.world.account;
    let basic = format!("authorization: Basic {}\r\n", STANDARD.encode(format!("{account}:{API_KEY}")));
    let wrong = format!("authorization: Basic {}\r\n", STANDARD.encode(format!("{account}:wrong")));
    let client = format!("client_id={account}&client_secret={API_KEY}");
    for (form, headers, status, error) in [
        (String::new(), "", 400, "invalid_request"),
        (client.clone(), "", 400, "invalid_request"),
        ("grant_type=password&username=a&password=b".to_owned(), "", 400, "unsupported_grant_type"),
        ("grant_type=client_credentials".to_owned(), "", 401, "invalid_client"),
        (format!("grant_type=client_credentials&client_id={account}"), "", 401, "invalid_client"),
        (format!("grant_type=client_credentials&client_id={account}&client_secret=wrong"), "", 401, "invalid_client"),
        ("grant_type=client_credentials&client_id=operator&client_secret=wrong".to_owned(), "", 401, "invalid_client"),
        ("grant_type=client_credentials&client_id=nobody&client_secret=x".to_owned(), "", 401, "invalid_client"),
        ("grant_type=client_credentials".to_owned(), wrong.as_str(), 401, "invalid_client"),
        ("grant_type=client_credentials".to_owned(), "authorization: Bearer x\r\n", 401, "invalid_client"),
        (format!("grant_type=client_credentials&{client}"), basic.as_str(), 400, "invalid_request"),
        (format!("grant_type=client_credentials&{client}&client_id=x"), "", 400, "invalid_request"),
        (format!("grant_type=client_credentials&{client}&scope=admin"), "", 400, "invalid_scope"),
        ("grant_type=refresh_token".to_owned(), "", 400, "invalid_request"),
        ("grant_type=refresh_token&refresh_token=stolen".to_owned(), "", 400, "invalid_grant"),
        (format!("grant_type=refresh_token&refresh_token={REFRESH_TOKEN}"), basic.as_str(), 400, "unauthorized_client"),
        (format!("grant_type=client_credentials&x={}", "a".repeat(70_000)), "", 413, "invalid_request"),
    ] {
        let (got, head, body) = http_form(stage.address, &form, headers).await;
        assert_eq!((got, json(&body)["error"].as_str()), (status, Some(error)), "{form}: {body}");
        assert!(head.contains("cache-control: no-store"), "{head}");
        assert_eq!(head.contains("www-authenticate: basic"), status == 401, "{head}");
        assert!(!body.contains(API_KEY));
    }
    let text = "POST /oauth2/token HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    let (status, _, body) = http1(stage.address, text).await;
    assert_eq!((status, json(&body)["error"].as_str()), (400, Some("invalid_request")));
}

#[tokio::test]
async fn a_wrong_organization_reads_as_a_wrong_password_and_costs_the_same_work() {
    let stage = Stage::start().await;
    let mut client = stage.authentication().await;
    let other = tenancy::OrganizationId::new().to_string();
    let mut answers = Vec::new();
    for organization in [
        Named::OrganizationSlug("acme".to_owned()),
        Named::OrganizationSlug("nobody".to_owned()),
        Named::OrganizationId(other),
    ] {
        let request = SignInWithPasswordRequest {
            organization: Some(organization),
            email_address: "ada@acme.test".to_owned(),
            password: "wrong".to_owned(),
        };
        let status = client.sign_in_with_password(request).await.unwrap_err();
        assert_reason(&status, ErrorReason::SignInFailed);
        answers.push((status.code(), status.message().to_owned(), status.details().to_vec()));
    }
    assert_eq!(answers[0].0, Code::Unauthenticated);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let asked = stage.member.called()["/guildhall.member.v1.CredentialService/VerifyPassword"];
    assert_eq!(asked, 3);
}

#[tokio::test]
async fn every_fault_of_a_sign_in_is_named_at_once() {
    let stage = Stage::start().await;
    let mut request = tonic::Request::new(SignInWithPasswordRequest::default());
    request.metadata_mut().insert("guildhall-project-id", "acme".parse().unwrap());
    let status = stage.authentication().await.sign_in_with_password(request).await.unwrap_err();
    assert_reason(&status, ErrorReason::InvalidFields);
    let details = status.get_error_details();
    let fields: Vec<_> = details.bad_request().unwrap().field_violations.iter().map(|v| v.field.as_str()).collect();
    assert_eq!(fields, ["guildhall-project-id", "email_address", "password"]);

    let mut request = tonic::Request::new(stage.password_request("ada@acme.test", PASSWORD));
    let stranger = tenancy::ProjectId::new().to_string();
    request.metadata_mut().insert("guildhall-project-id", stranger.parse().unwrap());
    let status = stage.authentication().await.sign_in_with_password(request).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test]
async fn a_refused_refresh_says_so() {
    let stage = Stage::start().await;
    let mut client = stage.authentication().await;
    let refresh = |token: &str| RefreshSessionRequest { refresh_token: token.to_owned() };
    assert!(!client.refresh_session(refresh(REFRESH_TOKEN)).await.unwrap().into_inner().access_token.is_empty());
    let refused = client.refresh_session(refresh("stolen")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_reason(&refused, ErrorReason::RefreshTokenRefused);
}

#[tokio::test]
async fn who_comes_too_often_is_told_when_to_come_again() {
    let limits = LimitOptions { sign_in_rate_per_identity: 2, token_rate_per_client: 1, ..generous().0 };
    let stage = Stage::with(limits, generous().1).await;
    let mut client = stage.authentication().await;
    for address in ["ada@acme.test", "Ada@ACME.test"] {
        client.sign_in_with_password(stage.password_request(address, PASSWORD)).await.unwrap();
    }
    let refused = client.sign_in_with_password(stage.password_request(" ADA@acme.test", PASSWORD)).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_reason(&refused, ErrorReason::RateLimited);
    assert!(refused.get_details_retry_info().unwrap().retry_delay.unwrap().as_secs() <= 30);
    client.sign_in_with_password(stage.password_request("grace@acme.test", PASSWORD)).await.unwrap();

    stage.project_token().await;
    let form = format!("grant_type=client_credentials&client_id={}&client_secret=x", stage.world.account);
    let (status, head, body) = http_form(stage.address, &form, "").await;
    assert_eq!(status, 429, "{body}");
    assert!(head.contains("retry-after: "), "{head}");
}
