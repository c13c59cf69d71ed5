//! The example in `examples/invoices`, as a process of its own beside an installation.

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testkit::{Cluster, Proxy, caller::Project, free_port, http};
use tokio::time::sleep;

const PATIENCE: Duration = Duration::from_secs(20);

struct Invoices {
    address: SocketAddr,
    process: Child,
}

impl Drop for Invoices {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Invoices {
    async fn start(project: &Project<'_>, guildhall: SocketAddr, when_unknown: &str) -> Self {
        let program = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("invoices");
        assert!(program.exists(), "{} is not built: run `make test`", program.display());
        let operator = project.cluster.operator().await;
        let account = json!({"project_id": project.id, "service_account": {"display_name": "invoices"}});
        let account = operator.call("ServiceAccountService/CreateProjectServiceAccount", account).await;
        let address = free_port([127, 0, 0, 1].into());
        let process = Command::new(program)
            .env("INVOICES_LISTEN", address.to_string())
            .env("INVOICES_WHEN_UNKNOWN", when_unknown)
            .env("GUILDHALL_URL", format!("http://{guildhall}"))
            .env("GUILDHALL_ISSUER", format!("http://{}", project.cluster.access().gateway))
            .env("GUILDHALL_PROJECT_ID", &project.id)
            .env("GUILDHALL_CLIENT_ID", account["client_id"].as_str().unwrap())
            .env("GUILDHALL_CLIENT_SECRET", account["client_secret"].as_str().unwrap())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let invoices = Self { address, process };
        let begun = Instant::now();
        while tokio::net::TcpStream::connect(address).await.is_err() {
            assert!(begun.elapsed() < PATIENCE, "the example does not listen");
            sleep(Duration::from_millis(20)).await;
        }
        invoices
    }

    async fn ask(&self, verb: &str, path: &str, token: &str, body: Option<Value>) -> (u16, Value) {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let (address, length) = (self.address, body.len());
        let request = format!(
            "{verb} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let (status, _, body) = http::send(address, &request).await;
        (status, serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    async fn get(&self, path: &str, token: &str) -> (u16, Value) {
        self.ask("GET", path, token, None).await
    }

    async fn freshness(&self) -> (bool, u64) {
        let (_, told) = http::get(self.address, "/freshness").await;
        (told["live"].as_bool().unwrap(), told["worst_case_seconds"].as_u64().unwrap())
    }
}

/// A project that knows of invoices, with a role for those who write them.
async fn project(cluster: &Cluster) -> Project<'_> {
    let project = cluster.project().await;
    let types = json!([{"name": "invoice", "verbs": ["read", "create"]}]);
    project.account.call("CatalogService/UpdateCatalog", json!({"catalog": {"resource_types": types}})).await;
    let permissions = ["invoice:read", "invoice:create"];
    let role = json!({"role": {"key": "accountant", "display_name": "Accountant", "permissions": permissions}});
    project.account.call("RoleService/CreateRole", role).await;
    project
}

#[tokio::test]
async fn invoices_are_their_organization_s_and_members_see_what_their_roles_say() {
    let cluster = Cluster::shared().await;
    let project = project(cluster).await;
    let invoices = Invoices::start(&project, cluster.access().gateway, "refuse").await;
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    let ada = acme.join("ada", &["accountant"]).await;
    let (grace, hank) = (acme.join("grace", &["member"]).await, globex.join("hank", &["accountant"]).await);

    let draft = json!({"customer": "Initech", "amount_cents": 125_000});
    let (status, made) = invoices.ask("POST", "/invoices", &ada.tokens.access, Some(draft.clone())).await;
    assert_eq!((status, &made["author"]), (201, &json!(ada.id)), "{made}");
    assert_eq!(invoices.get("/invoices", &ada.tokens.access).await, (200, json!([made])));
    let path = format!("/invoices/{}", made["id"].as_str().unwrap());
    assert_eq!(invoices.get(&path, &ada.tokens.access).await.0, 200);
    // Another tenant sees nothing, and a member without the role may not.
    assert_eq!(invoices.get("/invoices", &hank.tokens.access).await, (200, json!([])));
    assert_eq!(invoices.get(&path, &hank.tokens.access).await.0, 404);
    let (status, refused) = invoices.ask("POST", "/invoices", &grace.tokens.access, Some(draft)).await;
    assert_eq!((status, &refused["details"][0]["reason"]), (403, &json!("PERMISSION_MISSING")), "{refused}");
    let (status, me) = invoices.get("/whoami", &grace.tokens.access).await;
    assert_eq!((status, &me["organization_id"], &me["roles"]), (200, &json!(acme.id), &json!(["member"])));
    // Nobody else comes in.
    for token in ["nonsense", &project.token] {
        let (status, refused) = invoices.get("/whoami", token).await;
        assert!([401, 403].contains(&status) && !refused["details"][0]["reason"].is_null(), "{status} {refused}");
    }

    let remove = json!({"organization_id": acme.id, "member_id": ada.id});
    acme.owner().caller.call("MemberService/RemoveMember", remove).await;
    let removed = Instant::now();
    loop {
        let asked = removed.elapsed();
        let (status, refused) = invoices.get("/whoami", &ada.tokens.access).await;
        if status == 401 {
            assert_eq!(refused["details"][0]["reason"], "CREDENTIAL_REVOKED", "{refused}");
            break;
        }
        assert!(asked < Duration::from_secs(1), "{status}: a removed member is let in after {asked:?}");
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(invoices.get("/whoami", &acme.owner().tokens.access).await.0, 200);
}

#[tokio::test]
async fn without_the_gateway_it_says_how_bad_it_is_and_does_as_it_was_told() {
    let cluster = Cluster::shared().await;
    let project = project(cluster).await;
    let token = project.organization("acme").await.owner().tokens.access.clone();
    let proxy = Proxy::to(cluster.access().gateway).await;
    let strict = Invoices::start(&project, proxy.address, "refuse").await;
    let lenient = Invoices::start(&project, proxy.address, "accept-until-expiry").await;
    for invoices in [&strict, &lenient] {
        assert_eq!(invoices.freshness().await, (true, 3));
        assert_eq!(invoices.get("/whoami", &token).await.0, 200);
    }
    proxy.cut(true);
    let begun = Instant::now();
    while strict.freshness().await.0 || lenient.freshness().await.0 {
        assert!(begun.elapsed() < Duration::from_secs(5), "it does not notice");
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((strict.get("/whoami", &token).await.0, strict.freshness().await), (503, (false, 3)));
    assert_eq!((lenient.get("/whoami", &token).await.0, lenient.freshness().await), (200, (false, 905)));
    // What members may do is decided by nobody's guess.
    assert_eq!(lenient.get("/invoices", &token).await.0, 503);
    proxy.cut(false);
    let begun = Instant::now();
    while strict.get("/whoami", &token).await.0 != 200 {
        assert!(begun.elapsed() < PATIENCE, "it does not come back");
        sleep(Duration::from_millis(50)).await;
    }
}
