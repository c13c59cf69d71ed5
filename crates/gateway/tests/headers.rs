//! Headers that only the inside may send, in every spelling and by every form of a call; and requests that two readers would read in two
//! ways. What the services heard is looked at in the services.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod stage;

use std::fmt::Write as _;

use stage::{Stage, h2, http1};

const GET: &str = "/guildhall.org.v1.OrganizationService/GetOrganization";
const WHO_AM_I: &str = "/v1/auth:whoAmI";
/// What a service may hear of a call that came by the gateway.
const HEARD: [&str; 12] = [
    "authorization",
    "content-length",
    "content-type",
    "grpc-accept-encoding",
    "grpc-encoding",
    "grpc-timeout",
    "te",
    "traceparent",
    "user-agent",
    "x-forwarded-for",
    "x-internal-prompt",
    "x-request-id",
];

/// Names that mean something inside, or did once somewhere, in the spellings that have passed other people's lists.
fn spellings() -> Vec<String> {
    let mut names = Vec::new();
    for name in [
        "x-internal-caller",
        "x-internal-prompt",
        "x-guildhall-actor",
        "guildhall-scope",
        "x-workload-token",
        "workload-authorization",
        "authorization-workload",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-forwarded-client-cert",
        "forwarded",
        "x-real-ip",
        "x-original-url",
        "x-http-method-override",
        "x-envoy-internal",
        "grpc-previous-rpc-attempts",
        "grpc-tags-bin",
        "proxy-authorization",
        "cookie",
        "b3",
        "baggage",
    ] {
        let capital: String =
            name.split('-').map(|part| part[..1].to_uppercase() + &part[1..]).collect::<Vec<_>>().join("-");
        let underscores = name.replace('-', "_");
        names.extend([name.to_owned(), capital, name.to_uppercase(), underscores.clone(), underscores.to_uppercase()]);
        names.extend([format!("{name}-bin"), format!("{underscores}_bin")]);
    }
    names
}

#[tokio::test]
async fn nothing_of_the_inside_is_heard_from_outside_in_any_spelling() {
    let stage = Stage::start().await;
    let token = stage.project_token().await;
    let path = format!("/v1/organizations/{}", stage.world.organization);
    // As many as one connection may send, a part at a time.
    for part in spellings().chunks(40) {
        let mut extra = String::new();
        for name in part {
            write!(extra, "{name}: operator\r\n{name}: cluster, operator\r\n").unwrap();
        }
        let json = format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n{extra}\r\n"
        );
        let (status, _, body) = http1(stage.address, &json).await;
        assert_eq!(status, 200, "{body}");
        let web = format!(
            "POST {GET} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n{extra}\
             content-type: application/grpc-web-text\r\ncontent-length: 8\r\n\r\nAAAAAAA="
        );
        assert_eq!(http1(stage.address, &web).await.0, 200);
        let bearer = format!("Bearer {token}");
        let mut headers = vec![("content-type", "application/grpc"), ("authorization", bearer.as_str())];
        headers.extend(part.iter().map(|name| (name.as_str(), "operator")));
        h2(stage.address, GET, &headers).await;
        let calls = stage.org.calls(GET);
        for seen in &calls {
            for name in seen.keys() {
                assert!(HEARD.contains(&name.as_str()), "{name} was heard");
                assert_eq!(seen.get_all(name).iter().count(), 1, "{name} was heard twice");
            }
            assert_eq!(seen["authorization"], bearer.as_str());
            assert_eq!(
                (&seen["x-forwarded-for"], &seen["x-internal-prompt"]),
                (&"127.0.0.1".parse().unwrap(), &"1".parse().unwrap())
            );
        }
    }
    assert_eq!(stage.org.calls(GET).len(), 3 * spellings().chunks(40).count());
}

#[tokio::test]
async fn one_credential_in_one_spelling() {
    let stage = Stage::start().await;
    let token = stage.sign_in().await.access_token;
    for (lines, expected) in [
        (format!("authorization: Bearer {token}"), 200),
        (format!("AUTHORIZATION: bearer {token}"), 200),
        (format!("authorization: Bearer {token}\r\nauthorization: Bearer {token}"), 401),
        (format!("authorization: Bearer {token}, Bearer {token}"), 401),
        (format!("authorization: Bearer  {token}"), 401),
        (format!("authorization: Bearer\t{token}"), 401),
        (format!("authorization: {token}"), 401),
        (format!("authorization-bin: {token}"), 401),
        (format!("x-authorization: Bearer {token}"), 401),
        (format!("proxy-authorization: Bearer {token}"), 401),
        (format!("cookie: authorization=Bearer {token}"), 401),
        ("authorization: Bearer ".to_owned(), 401),
        ("authorization:".to_owned(), 401),
    ] {
        let request = format!("GET {WHO_AM_I} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{lines}\r\n\r\n");
        let (status, _, body) = http1(stage.address, &request).await;
        assert_eq!(status, expected, "{} {body}", lines.replace(&token, "TOKEN"));
    }
    // Nor in the query or in a form.
    for path in [format!("{WHO_AM_I}?access_token={token}"), format!("{WHO_AM_I}?authorization=Bearer%20{token}")] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        assert_eq!(http1(stage.address, &request).await.0, 401);
    }
}

#[tokio::test]
async fn a_request_that_can_be_read_in_two_ways_is_not_read() {
    let stage = Stage::start().await;
    let token = stage.project_token().await;
    let before = stage.org.called();
    let head = format!("host: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n");
    let smuggled = "GET /v1/catalog HTTP/1.1\r\nhost: x\r\n\r\n";
    for (what, request) in [
        ("a folded header", format!("GET {WHO_AM_I} HTTP/1.1\r\n{head}x-a: 1\r\n b: 2\r\n\r\n")),
        ("a space before the colon", format!("GET {WHO_AM_I} HTTP/1.1\r\n{head}x-a : 1\r\n\r\n")),
        ("a name with a control", format!("GET {WHO_AM_I} HTTP/1.1\r\n{head}x\u{1}a: 1\r\n\r\n")),
        ("a value with a NUL", format!("GET {WHO_AM_I} HTTP/1.1\r\n{head}x-a: \0\r\n\r\n")),
        (
            "two lengths",
            format!(
                "POST /v1/organizations HTTP/1.1\r\n{head}content-length: 2\r\ncontent-length: 40\r\n\r\n{{}}{smuggled}"
            ),
        ),
        ("a length that is none", format!("POST /v1/organizations HTTP/1.1\r\n{head}content-length: +2\r\n\r\n{{}}")),
        (
            "an unknown transfer coding",
            format!("POST /v1/organizations HTTP/1.1\r\n{head}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ),
        ("a path that is none", format!("GET  /v1/catalog HTTP/1.1\r\n{head}\r\n")),
        ("too many headers", format!("GET {WHO_AM_I} HTTP/1.1\r\n{head}{}\r\n", "x-a: 1\r\n".repeat(200))),
        ("too large headers", format!("GET {WHO_AM_I} HTTP/1.1\r\n{head}x-a: {}\r\n\r\n", "a".repeat(500_000))),
    ] {
        let (status, _, _) = http1(stage.address, &request).await;
        assert!(matches!(status, 400 | 431), "{what}: {status}");
        assert_eq!(stage.org.called(), before, "{what} was heard");
    }
    // Both a length and chunks: the length counts for nothing, and the connection ends.
    let both = format!(
        "POST /v1/organizations HTTP/1.1\r\n{head}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
    );
    let (status, head, body) = http1(stage.address, &both).await;
    assert!(status == 400 || !body.contains("HTTP/1.1"), "{status} {head} {body}");
    assert!(stage.authz.called().is_empty(), "what was smuggled is no request");
}
