//! The gateway's HTTP face, and what a token cannot be bent into.

use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{text, unique},
    http,
};
use tonic::Code;

#[tokio::test]
async fn the_token_endpoint_answers_as_oauth_says() {
    let cluster = Cluster::shared().await;
    let gateway = cluster.access().gateway;
    let (id, secret) = (cluster.access().client_id.as_str(), cluster.access().client_secret.as_str());
    let ask = |form: Vec<(&'static str, String)>| async move {
        let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let (status, body) = http::post_form(gateway, "/oauth2/token", &form).await;
        (status, body["error"].as_str().unwrap_or_default().to_owned())
    };
    let grant = |name: &str| ("grant_type", name.to_owned());
    let client = || vec![("client_id", id.to_owned()), ("client_secret", secret.to_owned())];
    assert_eq!(ask([vec![grant("client_credentials")], client()].concat()).await, (200, String::new()));
    assert_eq!(ask([vec![grant("password")], client()].concat()).await, (400, "unsupported_grant_type".into()));
    assert_eq!(ask(client()).await, (400, "invalid_request".into()));
    let wrong = vec![grant("client_credentials"), ("client_id", id.into()), ("client_secret", format!("{secret}x"))];
    assert_eq!(ask(wrong).await, (401, "invalid_client".into()));
    let other = vec![
        grant("client_credentials"),
        ("client_id", "sa_01h455vb4pex5vsknk084sn02q".into()),
        ("client_secret", secret.into()),
    ];
    assert_eq!(ask(other).await, (401, "invalid_client".into()));
    assert_eq!(ask(vec![grant("refresh_token"), ("refresh_token", "x".into())]).await, (400, "invalid_grant".into()));
}

#[tokio::test]
async fn the_published_keys_and_metadata_name_the_issuer_whatever_the_host_header_says() {
    let gateway = Cluster::shared().await.access().gateway;
    let (status, keys) = http::get(gateway, "/.well-known/jwks.json").await;
    assert_eq!(
        (status, keys["keys"][0]["kty"].as_str(), keys["keys"][0]["crv"].as_str()),
        (200, Some("OKP"), Some("Ed25519"))
    );
    assert!(keys["keys"][0].get("d").is_none(), "the private half");
    for path in ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"] {
        let (_, metadata) = http::get(gateway, path).await;
        let issuer = text(&metadata, "issuer");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: evil.test\r\nX-Forwarded-Host: evil.test\r\nConnection: close\r\n\r\n"
        );
        let (_, _, body) = http::send(gateway, &request).await;
        let bent: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((text(&bent, "issuer"), body.contains("evil")), (issuer, false));
    }
}

fn parts(token: &str) -> (Value, Value, String) {
    let mut parts = token.split('.').map(str::to_owned);
    let mut next = || parts.next().unwrap();
    let decode = |text: String| serde_json::from_slice(&base64(&text)).unwrap();
    (decode(next()), decode(next()), next())
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn base64(text: &str) -> Vec<u8> {
    let mut bits = 0u32;
    let mut count = 0;
    let mut bytes = Vec::new();
    for c in text.bytes() {
        bits = (bits << 6) | ALPHABET.iter().position(|a| *a == c).unwrap() as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, b| (bits << 8) | u32::from(*b)) << (8 * (3 - chunk.len()));
        for at in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * at)) as usize & 63]));
        }
    }
    text
}

fn token(header: &Value, claims: &Value, signature: &str) -> String {
    format!("{}.{}.{signature}", to_base64(header.to_string().as_bytes()), to_base64(claims.to_string().as_bytes()))
}

#[tokio::test]
async fn an_access_token_says_what_it_promises() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let (header, claims, _) = parts(&acme.owner().tokens.access);
    assert_eq!((header["typ"].as_str(), header["alg"].as_str()), (Some("at+jwt"), Some("EdDSA")));
    assert_eq!(claims["sub"], acme.owner().id.as_str());
    assert_eq!(claims["org_id"], acme.id.as_str());
    assert_eq!(claims["org_slug"], acme.slug.as_str());
    assert_eq!(claims["project_id"], project.id.as_str());
    assert_eq!(claims["roles"], json!(["owner"]));
    assert_eq!(claims["amr"], json!(["pwd"]));
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 300);
    for name in ["iss", "aud", "nbf", "jti", "client_id", "sid", "epoch"] {
        assert!(!claims[name].is_null(), "no {name} in {claims}");
    }
}

#[tokio::test]
async fn a_bent_token_is_refused_at_every_door() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let good = &acme.owner().tokens.access;
    let (header, claims, signature) = parts(good);
    let with = |base: &Value, name: &str, value: Value| {
        let mut bent = base.clone();
        bent[name] = value;
        bent
    };
    let mut bent = vec![
        token(&json!({"alg": "none", "typ": "at+jwt"}), &claims, ""),
        token(&with(&header, "alg", json!("none")), &claims, ""),
        token(&with(&header, "alg", json!("HS256")), &claims, &signature),
        token(&with(&header, "typ", json!("JWT")), &claims, &signature),
        token(&with(&header, "typ", json!("wl+jwt")), &claims, &signature),
        token(&with(&header, "kid", json!("../../etc/passwd")), &claims, &signature),
        token(&with(&header, "crit", json!(["exp"])), &claims, &signature),
        token(&with(&header, "jwk", json!({"kty": "OKP"})), &claims, &signature),
        token(&with(&header, "jku", json!("http://evil.test/jwks")), &claims, &signature),
        token(&header, &with(&claims, "exp", json!(9_999_999_999u64)), &signature),
        token(&header, &with(&claims, "org_id", json!("org_01h455vb4pex5vsknk084sn02q")), &signature),
        good[..good.len() - 1].to_owned(),
        good[..good.len() - 20].to_owned(),
        format!("{good}A"),
        format!("{good}.{signature}"),
        good.replace('.', ""),
        String::new(),
        "x".repeat(100_000),
    ];
    bent.push(acme.owner().tokens.refresh.clone());
    let access = cluster.access();
    for token in bent {
        for door in [access.gateway, access.org] {
            let caller = cluster.bearer_at(door, Some(&token));
            let refused = caller
                .try_call("OrganizationService/GetOrganization", json!({"organization_id": acme.id}))
                .await
                .expect_err(&token);
            // A header too large for HTTP/2 is refused below gRPC.
            let small = token.len() < 50_000;
            assert!(
                !small || (refused.code, refused.reason.as_str()) == (Code::Unauthenticated, "UNAUTHENTICATED"),
                "{token}: {refused:?}"
            );
        }
    }
    cluster
        .bearer_at(access.org, Some(good))
        .call("OrganizationService/GetOrganization", json!({"organization_id": acme.id}))
        .await;
}

#[tokio::test]
async fn two_credentials_at_once_are_none() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let two = cluster.bearer(&project.token).with("authorization", &format!("Bearer {}", acme.owner().tokens.access));
    two.refused(
        "OrganizationService/GetOrganization",
        json!({"organization_id": acme.id}),
        Code::Unauthenticated,
        "UNAUTHENTICATED",
    )
    .await;
}

#[tokio::test]
async fn what_only_the_inside_may_send_the_outside_sends_in_vain() {
    let cluster = Cluster::shared().await;
    let (project, other) = (cluster.project().await, cluster.project().await);
    let acme = project.organization("acme").await;
    let globex = other.organization("globex").await;
    let headers = [
        "guildhall-project-id",
        "Guildhall-Organization-Id",
        "x-guildhall-caller",
        "X-Guildhall-Actor",
        "x-forwarded-user",
    ];
    let mut caller = acme.owner().caller.clone();
    for header in headers {
        caller = caller.with(&header.to_lowercase(), &globex.id);
    }
    caller
        .refused(
            "OrganizationService/GetOrganization",
            json!({"organization_id": globex.id}),
            Code::NotFound,
            "NOT_FOUND",
        )
        .await;
    caller.call("OrganizationService/GetOrganization", json!({"organization_id": acme.id})).await;
}

#[tokio::test]
async fn the_operator_manages_projects_and_nothing_in_them() {
    let cluster = Cluster::shared().await;
    let operator = cluster.operator().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    operator.call("ProjectService/GetProject", json!({"project_id": project.id})).await;
    for (method, request) in [
        ("OrganizationService/GetOrganization", json!({"organization_id": acme.id})),
        ("MemberService/ListMembers", json!({"organization_id": acme.id})),
        ("OrganizationService/CreateOrganization", json!({"organization": {"display_name": "x", "slug": unique("x")}})),
        ("AuthorizationService/Check", json!({"organization_id": acme.id})),
    ] {
        operator.refused(method, request, Code::PermissionDenied, "WRONG_AUDIENCE").await;
    }
}

#[tokio::test]
async fn a_revoked_api_key_and_its_tokens_end_within_a_second() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let account = json!({"organization_id": acme.id, "service_account": {"display_name": "robot"}});
    let account =
        text(&project.account.call("ServiceAccountService/CreateServiceAccount", account).await, "service_account_id");
    let key = json!({"organization_id": acme.id, "service_account_id": account, "api_key": {}});
    let key = project.account.call("ServiceAccountService/CreateApiKey", key).await;
    let token = cluster.client_credentials(&account, &text(&key, "secret")).await.unwrap();
    let robot = cluster.bearer(&token);
    let me = robot.call("AuthenticationService/WhoAmI", json!({})).await;
    assert_eq!(text(&me, "service_account_id"), account);
    // It has no role, so it may do nothing yet.
    let about = json!({"organization_id": acme.id});
    robot.refused("MemberService/ListMembers", about.clone(), Code::PermissionDenied, "PERMISSION_MISSING").await;

    let id =
        key.get("api_key_id").and_then(Value::as_str).unwrap_or_else(|| key["api_key"]["api_key_id"].as_str().unwrap());
    let revoke = json!({"organization_id": acme.id, "service_account_id": account, "api_key_id": id});
    project.account.call("ServiceAccountService/RevokeApiKey", revoke).await;
    let revoked = std::time::Instant::now();
    let (status, body) = cluster.shut_out(&account, &text(&key, "secret")).await;
    assert_eq!((status, body["error"].as_str()), (401, Some("invalid_client")));
    while robot.try_call("AuthenticationService/WhoAmI", json!({})).await.is_ok() {
        assert!(revoked.elapsed().as_secs_f64() < 1.0, "the token outlives its key by more than a second");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
