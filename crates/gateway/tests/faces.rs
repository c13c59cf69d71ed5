//! The other forms of a call, JSON and gRPC-Web: what goes in comes out, and nothing goes around the edge.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod stage;

use bytes::Bytes;
use gateway::LimitOptions;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::{Value, json};
use stage::{ORIGIN, Stage, generous};

const GET: &str = "/guildhall.org.v1.OrganizationService/GetOrganization";

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {:?}", self.body))
    }

    fn reason(&self) -> String {
        self.json()["details"][0]["reason"].as_str().unwrap_or_default().to_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The fields that BadRequest names.
    fn fields(&self) -> Vec<String> {
        let details = self.json()["details"].as_array().unwrap().clone();
        let bad = details.iter().find(|detail| detail["fieldViolations"].is_array()).expect("BadRequest");
        bad["fieldViolations"].as_array().unwrap().iter().map(|v| v["field"].as_str().unwrap().to_owned()).collect()
    }
}

async fn ask(
    stage: &Stage,
    verb: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
    http2: bool,
) -> Answer {
    let client = Client::builder(TokioExecutor::new()).http2_only(http2).build_http::<Full<Bytes>>();
    let mut request = Request::builder().method(verb.parse::<Method>().unwrap());
    request = request.uri(format!("http://{}{path}", stage.address));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = client.request(request.body(Full::from(body.into())).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

async fn get(stage: &Stage, path: &str, token: &str) -> Answer {
    ask(stage, "GET", path, &[("authorization", &format!("Bearer {token}"))], "", false).await
}

#[tokio::test]
async fn a_json_call_is_the_same_call() {
    let stage = Stage::start().await;
    let token = stage.project_token().await;
    let bearer = format!("Bearer {token}");
    let path = format!("/v1/organizations/{}", stage.world.organization);
    for http2 in [false, true] {
        let headers =
            [("authorization", bearer.as_str()), ("x-request-id", "mine-1"), ("x-internal-actor", "operator")];
        let answer = ask(&stage, "GET", &path, &headers, "", http2).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("x-request-id"), "mine-1");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(!answer.headers.contains_key("grpc-status"));
        let told = answer.json();
        assert_eq!(
            (&told["slug"], &told["organizationId"]),
            (&json!("acme"), &json!(stage.world.organization.to_string()))
        );
        let seen = stage.org.calls(GET).pop().expect("it was forwarded");
        assert_eq!(
            (seen["authorization"].to_str().unwrap(), seen["content-type"].to_str().unwrap()),
            (bearer.as_str(), "application/grpc")
        );
        assert!(!seen.contains_key("x-internal-actor") && !seen.contains_key("grpc-accept-encoding"));
    }
    let head = ask(&stage, "HEAD", &path, &[("authorization", &bearer)], "", true).await;
    assert_eq!((head.status, head.body.len(), head.header("content-type")), (200, 0, "application/json"));
    assert_eq!(stage.org.calls(GET).len(), 3);

    let missing = get(&stage, &format!("/v1/organizations/{}", tenancy::OrganizationId::new()), &token).await;
    assert_eq!((missing.status, missing.reason().as_str()), (404, "NOT_FOUND"));
    assert_eq!(missing.json()["code"], 5);
    assert_eq!(missing.json()["details"][0]["@type"], "type.googleapis.com/google.rpc.ErrorInfo");
}

#[tokio::test]
async fn what_the_gateway_serves_itself_it_serves_as_json_too() {
    let stage = Stage::start().await;
    let body =
        json!({"organizationSlug": "acme", "email_address": "ada@acme.test", "password": stage::backend::PASSWORD});
    let json = [("content-type", "application/json; charset=utf-8")];
    let signed = ask(&stage, "POST", "/v1/auth/password:signIn", &json, body.to_string(), false).await;
    assert_eq!(signed.status, 200, "{:?}", signed.body);
    let token =
        signed.json()["signedIn"]["accessToken"].as_str().or(signed.json()["accessToken"].as_str()).unwrap().to_owned();
    let me = get(&stage, "/v1/auth:whoAmI", &token).await;
    assert_eq!(me.json()["organizationSlug"], "acme");
    // Each fault at once; and not a word of them to whoever may not call at all.
    let bad =
        r#"{"slug": 1, "password": ["a"], "organizationSlug": "acme", "organization_id": "x", "email_address": null}"#;
    let refused = ask(&stage, "POST", "/v1/auth/password:signIn", &json, bad, false).await;
    assert_eq!((refused.status, refused.reason().as_str()), (400, "INVALID_FIELDS"));
    let mut fields = refused.fields();
    fields.sort();
    assert_eq!(fields, ["organization", "password", "slug"]);
    let refused = ask(&stage, "POST", "/v1/auth/organizations:switch", &json, bad, false).await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, "Bearer"));
    assert_eq!(refused.reason(), "UNAUTHENTICATED");
}

#[tokio::test]
async fn a_request_that_means_no_call_is_told_why() {
    let stage = Stage::start().await;
    let token = format!("Bearer {}", stage.project_token().await);
    let before = stage.org.called();
    let bearer = ("authorization", token.as_str());
    let json = ("content-type", "application/json");
    let large = "x".repeat(5 << 20);
    let many = format!(r#"{{"requestId":[{}1]}}"#, "1,".repeat(200_000));
    for (verb, path, headers, body, status, reason) in [
        ("GET", "/v1/nothing", &[bearer][..], "", 404, "NOT_FOUND"),
        ("GET", "/v1/catalog/", &[bearer], "", 404, "NOT_FOUND"),
        ("GET", "/v1/c%61talog", &[bearer], "", 404, "NOT_FOUND"),
        ("POST", GET, &[bearer, json], "{}", 404, "NOT_FOUND"),
        ("PUT", "/v1/organizations/org_1", &[bearer, json], "{}", 405, "UNKNOWN_METHOD"),
        ("POST", "/v1/organizations", &[bearer], "{}", 415, "MALFORMED_MESSAGE"),
        ("POST", "/v1/organizations", &[bearer, ("content-type", "text/plain")], "{}", 415, "MALFORMED_MESSAGE"),
        (
            "POST",
            "/v1/organizations",
            &[bearer, ("content-type", "application/json; charset=utf-16")],
            "{}",
            415,
            "MALFORMED_MESSAGE",
        ),
        ("POST", "/v1/organizations", &[bearer, json, ("content-encoding", "gzip")], "{}", 415, "MALFORMED_MESSAGE"),
        ("POST", "/v1/organizations", &[bearer, json], "{", 400, "MALFORMED_MESSAGE"),
        ("POST", "/v1/organizations", &[bearer, json], "[]", 400, "MALFORMED_MESSAGE"),
        (
            "POST",
            "/v1/organizations",
            &[bearer, json],
            r#"{"organization":{},"organization":{}}"#,
            400,
            "MALFORMED_MESSAGE",
        ),
        ("POST", "/v1/organizations", &[bearer, json], &large, 413, "MESSAGE_TOO_LARGE"),
        ("POST", "/v1/organizations", &[json], &large, 401, "UNAUTHENTICATED"),
        // Where no credential is needed, much less is read.
        ("POST", "/v1/invitations:accept", &[json], &large[..65 << 10], 413, "MESSAGE_TOO_LARGE"),
        ("POST", "/v1/organizations", &[bearer, json], &many, 400, "MALFORMED_MESSAGE"),
        ("POST", "/v1/organizations?requestId=a", &[bearer, json], "{}", 400, "INVALID_FIELDS"),
        ("GET", "/v1/organizations?pageSize=many", &[bearer], "", 400, "INVALID_FIELDS"),
        ("GET", "/v1/organizations?page_size=1&pageSize=1", &[bearer], "", 400, "INVALID_FIELDS"),
        ("GET", "/v1/organizations?nothing=1", &[bearer], "", 400, "INVALID_FIELDS"),
        ("GET", "/v1/organizations", &[bearer, json], "{}", 400, "MALFORMED_MESSAGE"),
        ("GET", "/v1/organizations/org_1?organization_id=org_2", &[bearer], "", 400, "INVALID_FIELDS"),
    ] {
        for http2 in [false, true] {
            let answer = ask(&stage, verb, path, headers, body.to_owned(), http2).await;
            let told = (answer.status, answer.reason());
            assert_eq!(told, (status, reason.to_owned()), "{verb} {path} {:?}", answer.body);
            assert!(!answer.header("x-request-id").is_empty(), "{path}");
        }
    }
    assert_eq!(stage.org.called(), before, "no service heard of any");
    let wrong = ask(&stage, "DELETE", "/v1/catalog", &[], "", false).await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, "GET, PATCH, HEAD, OPTIONS"));
    let options = ask(&stage, "OPTIONS", "/v1/catalog", &[], "", false).await;
    assert_eq!((options.status, options.header("allow")), (204, "GET, PATCH, HEAD, OPTIONS"));
}

#[tokio::test]
async fn a_json_call_counts_for_the_same_limits() {
    let limits = LimitOptions { sign_in_rate_per_address: 2, ..generous().0 };
    let stage = Stage::with(limits, generous().1).await;
    let accept = async || {
        ask(&stage, "POST", "/v1/invitations:accept", &[("content-type", "application/json")], "{}", false).await
    };
    for _ in 0..2 {
        assert_eq!(accept().await.status, 501);
    }
    let refused = accept().await;
    assert_eq!((refused.status, refused.reason().as_str()), (429, "RATE_LIMITED"));
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
}

#[tokio::test]
async fn a_workload_s_method_is_nothing_in_any_form() {
    let stage = Stage::start().await;
    let token = format!("Bearer {}", stage.project_token().await);
    let path = "/guildhall.member.v1.CredentialService/VerifyPassword";
    for kind in ["application/grpc-web", "application/grpc-web+proto", "application/grpc-web-text"] {
        let headers = [("authorization", token.as_str()), ("content-type", kind)];
        let body: &[u8] = if kind.ends_with("text") { b"AAAAAAA=" } else { &[0; 5] };
        let answer = ask(&stage, "POST", path, &headers, Bytes::copy_from_slice(body), false).await;
        assert_eq!(answer.header("grpc-status"), "12", "{kind}");
    }
    assert!(!stage.member.called().contains_key(path));
}

#[tokio::test]
async fn a_grpc_web_call_is_the_same_call() {
    let stage = Stage::start().await;
    let bearer = format!("Bearer {}", stage.project_token().await);
    let id = stage.world.organization.to_string();
    let mut message = vec![0x0a, u8::try_from(id.len()).unwrap()];
    message.extend_from_slice(id.as_bytes());
    let framed = [&[0, 0, 0, 0, u8::try_from(message.len()).unwrap()][..], &message].concat();
    for http2 in [false, true] {
        let headers =
            [("authorization", bearer.as_str()), ("content-type", "application/grpc-web+proto"), ("x-grpc-web", "1")];
        let answer = ask(&stage, "POST", GET, &headers, framed.clone(), http2).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/grpc-web+proto"));
        assert_eq!(answer.body[0], 0, "a message");
        let length = u32::from_be_bytes(answer.body[1..5].try_into().unwrap()) as usize;
        let trailers = &answer.body[5 + length..];
        assert_eq!(trailers[0], 0x80, "trailers");
        assert!(String::from_utf8_lossy(trailers).contains("grpc-status:0"), "{trailers:?}");
        assert!(!stage.org.calls(GET).pop().unwrap().contains_key("x-grpc-web"));
    }
    let wrong = ask(&stage, "GET", GET, &[("content-type", "application/grpc-web")], "", false).await;
    assert_eq!(wrong.status, 405);
}

#[tokio::test]
async fn pages_of_the_configured_origins_may_call_and_no_others() {
    let stage = Stage::start().await;
    let token = stage.project_token().await;
    let organization = format!("/v1/organizations/{}", stage.world.organization);
    for path in [organization.as_str(), GET, "/oauth2/token"] {
        for (origin, allowed) in
            [(ORIGIN, true), ("https://evil.test", false), ("null", false), ("https://APP.acme.test", false)]
        {
            let headers = [
                ("origin", origin),
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", "authorization,content-type,x-grpc-web"),
            ];
            let answer = ask(&stage, "OPTIONS", path, &headers, "", false).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("access-control-allow-origin"), if allowed { origin } else { "" }, "{origin}");
            assert!(!answer.headers.contains_key("access-control-allow-credentials"));
            assert_eq!(answer.header("access-control-max-age"), "7200");
            assert!(answer.header("access-control-allow-headers").contains("x-grpc-web"));
        }
    }
    // Refusals too, or the page would not learn of them.
    for bearer in [format!("Bearer {token}"), "Bearer nonsense".to_owned()] {
        let answer =
            ask(&stage, "GET", &organization, &[("origin", ORIGIN), ("authorization", &bearer)], "", true).await;
        assert_eq!(answer.header("access-control-allow-origin"), ORIGIN);
        assert!(answer.header("access-control-expose-headers").contains("grpc-status"));
        assert!(answer.header("vary").contains("origin"));
        let answer =
            ask(&stage, "GET", &organization, &[("origin", "https://evil.test"), ("authorization", &bearer)], "", true)
                .await;
        assert_eq!(answer.header("access-control-allow-origin"), "");
    }
}
