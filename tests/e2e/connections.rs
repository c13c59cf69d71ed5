//! Connections: validated, their secrets sealed, their providers tried without a way inside, their roles given by those who hold them.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, Row as _};
use testkit::{Cluster, caller::text};
use tokio::sync::OnceCell;
use tonic::Code;

/// A provider over plain HTTP: what it answers for each path.
#[derive(Debug, Clone, Default)]
struct Provider(Arc<Mutex<Vec<(String, String)>>>);

impl Provider {
    fn start() -> (Self, SocketAddr) {
        let provider = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serving = provider.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let mut buffer = [0; 4096];
                let length = stream.read(&mut buffer).unwrap_or(0);
                let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default();
                let answers = serving.0.lock().unwrap().clone();
                let answer = answers.iter().find(|(at, _)| at == path).map(|(_, answer)| answer.clone());
                let answer = answer.unwrap_or_else(|| "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned());
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        (provider, address)
    }

    fn answers(&self, path: &str, answer: String) {
        let mut answers = self.0.lock().unwrap();
        answers.retain(|(at, _)| at != path);
        answers.push((path.to_owned(), answer));
    }

    fn serves(&self, path: &str, body: &str) {
        let length = body.len();
        self.answers(path, format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"));
    }
}

async fn cluster() -> &'static Cluster {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    CLUSTER.get_or_init(|| Cluster::start_with(&[("GUILDHALL_ALLOW_PRIVATE_ISSUERS", "true")])).await
}

fn oidc(issuer: &str) -> Value {
    json!({"kind": "CONNECTION_KIND_OIDC", "display_name": "Acme", "issuer": issuer, "client_id": "guildhall",
        "client_secret": "hush-hush-0123456789"})
}

fn failed(answer: &Value) -> Vec<String> {
    let checks = answer["checks"].as_array().unwrap();
    checks.iter().filter(|check| check["passed"] != true).map(|check| text(check, "name")).collect()
}

#[tokio::test]
async fn a_provider_is_tried_and_each_fault_told() {
    let cluster = cluster().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let caller = &acme.owner().caller;
    let (provider, address) = Provider::start();
    let issuer = format!("http://{address}/tenant");
    provider.serves("/keys", r#"{"keys": [{"kty": "RSA", "use": "sig"}]}"#);
    let good = json!({"issuer": issuer, "jwks_uri": format!("http://{address}/keys"), "response_types_supported": ["code"],
        "id_token_signing_alg_values_supported": ["RS256"], "authorization_endpoint": format!("http://{address}/a"),
        "token_endpoint": format!("http://{address}/t")});
    let discovery = "/tenant/.well-known/openid-configuration";
    let test = async || {
        let made = caller
            .call(
                "ConnectionService/CreateConnection",
                json!({"organization_id": acme.id, "connection": oidc(&issuer)}),
            )
            .await;
        let about = json!({"organization_id": acme.id, "connection_id": made["connection_id"]});
        let answer = caller.call("ConnectionService/TestConnection", about.clone()).await;
        caller
            .refused("ConnectionService/TestConnection", about.clone(), Code::ResourceExhausted, "RATE_LIMITED")
            .await;
        caller.call("ConnectionService/DeleteConnection", about).await;
        answer
    };
    assert_eq!(failed(&test().await), ["discovery"], "not there");
    provider.serves(discovery, &good.to_string());
    assert_eq!(test().await["passed"], true);
    provider.serves("/keys", "{}");
    let mut bad = good.clone();
    bad["issuer"] = json!("http://somebody.test");
    bad["token_endpoint"] = json!("gopher://127.0.0.1/");
    provider.serves(discovery, &bad.to_string());
    assert_eq!(failed(&test().await), ["discovery", "keys", "token_endpoint"]);
    provider.serves(discovery, &"x".repeat(70_000));
    assert!(test().await["checks"].to_string().contains("64 KiB"));
    let location = format!("http://{address}/keys");
    provider.answers(discovery, format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"));
    assert!(test().await["checks"].to_string().contains("302"), "a redirect is not followed");
}

#[tokio::test]
async fn a_private_address_is_not_called_unless_the_installation_says_so() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let caller = &acme.owner().caller;
    let plain = json!({"organization_id": acme.id, "connection": oidc("http://127.0.0.1:1")});
    let refused =
        caller.refused("ConnectionService/CreateConnection", plain, Code::InvalidArgument, "INVALID_FIELDS").await;
    assert_eq!(refused.fields, ["connection.issuer"]);
    for inside in
        ["https://127.0.0.1:1", "https://[::1]", "https://[::ffff:10.0.0.1]", "https://2130706433", "https://localhost"]
    {
        let request = json!({"organization_id": acme.id, "connection": oidc(inside)});
        let made = caller.call("ConnectionService/CreateConnection", request).await;
        let about = json!({"organization_id": acme.id, "connection_id": made["connection_id"]});
        let answer = caller.call("ConnectionService/TestConnection", about).await;
        assert!(answer["checks"].to_string().contains("not public"), "{inside}: {answer}");
    }
}

#[tokio::test]
async fn a_secret_rests_sealed_and_goes_to_no_other_provider() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let caller = &acme.owner().caller;
    let request = json!({"organization_id": acme.id, "connection": oidc("https://idp.acme.test"), "request_id": "one"});
    let made = caller.call("ConnectionService/CreateConnection", request.clone()).await;
    assert_eq!((made["has_client_secret"].as_bool(), text(&made, "client_secret")), (Some(true), String::new()));
    assert_eq!(caller.call("ConnectionService/CreateConnection", request).await, made);
    let mut database = PgConnection::connect(&cluster.access().database_url).await.unwrap();
    let row = sqlx::query("select (select string_agg(encode(client_secret, 'escape'), ' ') from org.connection) || ' ' || (select string_agg(payload, ' ') from org.event)")
        .fetch_one(&mut database)
        .await
        .unwrap();
    let rests: String = row.get(0);
    assert!(rests.contains("has_client_secret") && !rests.contains("hush-hush"));

    let change = |connection: Value, mask: &str| json!({"organization_id": acme.id, "connection_id": made["connection_id"], "connection": connection, "update_mask": mask});
    let elsewhere = json!({"issuer": "https://evil.test", "client_secret": "another"});
    let update = "ConnectionService/UpdateConnection";
    let refused =
        caller.refused(update, change(elsewhere.clone(), "issuer"), Code::InvalidArgument, "INVALID_FIELDS").await;
    assert_eq!(refused.fields, ["connection.client_secret"]);
    caller.call(update, change(elsewhere, "issuer,clientSecret")).await;
    let stale = json!({"display_name": "New", "etag": made["etag"]});
    caller.refused(update, change(stale, "displayName"), Code::Aborted, "ETAG_MISMATCH").await;
    caller.refused(update, change(json!({}), "kind"), Code::InvalidArgument, "INVALID_FIELDS").await;
    let other = project.organization("other").await;
    let foreign = json!({"organization_id": other.id, "connection_id": made["connection_id"]});
    other.owner().caller.refused("ConnectionService/GetConnection", foreign, Code::NotFound, "NOT_FOUND").await;
}

#[tokio::test]
async fn who_maps_a_role_must_hold_it() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let admin = acme.join("admin", &["admin"]).await.caller;
    let mut mapped = oidc("https://idp.acme.test");
    mapped["group_role_ids"] = json!({"bosses": {"role_ids": ["owner"]}});
    let request = json!({"organization_id": acme.id, "connection": mapped});
    let create = "ConnectionService/CreateConnection";
    admin.refused(create, request.clone(), Code::PermissionDenied, "GRANT_EXCEEDS_GRANTOR").await;
    let made = acme.owner().caller.call(create, request).await;
    assert!(made["group_role_ids"]["bosses"]["role_ids"][0].as_str().unwrap().starts_with("role_"));
    // To point the mapping at a provider of one's own gives its roles as well.
    let hijack = json!({"organization_id": acme.id, "connection_id": made["connection_id"],
        "connection": {"issuer": "https://evil.test", "client_secret": "x"}, "update_mask": "issuer,clientSecret"});
    let update = "ConnectionService/UpdateConnection";
    admin.refused(update, hijack, Code::PermissionDenied, "GRANT_EXCEEDS_GRANTOR").await;
    let renamed = json!({"organization_id": acme.id, "connection_id": made["connection_id"],
        "connection": {"display_name": "New"}, "update_mask": "displayName"});
    admin.call(update, renamed).await;
}
