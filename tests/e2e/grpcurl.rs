//! The gateway as grpcurl sees it, the real one: reflection, calls, refusals with their details, and streams both ways.

use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use testkit::{Cluster, caller::unique};

struct Grpcurl<'a> {
    cluster: &'a Cluster,
    token: String,
}

impl Grpcurl<'_> {
    /// Runs it to its end with one message, or several for a stream.
    async fn run(&self, arguments: &[&str], messages: &[Value], method: &str) -> Output {
        use std::io::Write as _;
        let mut command = Command::new("grpcurl");
        command.args(["-plaintext", "-max-time", "20", "-H", &format!("authorization: Bearer {}", self.token)]);
        command.args(arguments);
        if !messages.is_empty() {
            command.args(["-d", "@"]);
        }
        command.arg(self.cluster.access().gateway.to_string()).arg(method);
        let input: String = messages.iter().map(|message| format!("{message}\n")).collect();
        let run = move || {
            let mut child =
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
            child.wait_with_output().unwrap()
        };
        tokio::task::spawn_blocking(run).await.unwrap()
    }

    /// What it answers: every message.
    async fn answers(&self, messages: &[Value], method: &str) -> Vec<Value> {
        let done = self.run(&[], messages, method).await;
        assert!(done.status.success(), "{method}: {}", String::from_utf8_lossy(&done.stderr));
        serde_json::Deserializer::from_slice(&done.stdout).into_iter::<Value>().map(Result::unwrap).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grpcurl_lists_calls_is_refused_and_streams() {
    if Command::new("grpcurl").arg("-version").output().is_err() {
        eprintln!("SKIPPED, for want of grpcurl");
        return;
    }
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let grpcurl = Grpcurl { cluster, token: project.token.clone() };

    // It knows the contract from reflection alone: the public part.
    let listed = grpcurl.run(&[], &[], "list").await;
    let listed = String::from_utf8(listed.stdout).unwrap();
    for service in
        ["guildhall.org.v1.OrganizationService", "guildhall.gateway.v1.TokenService", "grpc.health.v1.Health"]
    {
        assert!(listed.lines().any(|line| line == service), "{service} is not in {listed}");
    }
    let health = grpcurl.answers(&[json!({})], "grpc.health.v1.Health/Check").await;
    assert_eq!(health[0]["status"], "SERVING");

    let create = "guildhall.org.v1.OrganizationService/CreateOrganization";
    let slug = unique("acme");
    let made = grpcurl.answers(&[json!({"organization": {"displayName": "Acme", "slug": slug}})], create).await;
    let id = made[0]["organizationId"].as_str().unwrap().to_owned();

    // A refusal: its code, its reason, and every fault at once.
    let bad = json!({"organization": {"displayName": "", "slug": "No Slug"}});
    let refused = grpcurl.run(&["-format-error"], &[bad], create).await;
    assert_eq!(refused.status.code(), Some(64 + 3), "INVALID_ARGUMENT");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    for part in ["INVALID_FIELDS", "guildhall.dev", "organization.display_name", "organization.slug"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    let unknown = json!({"organizationId": tenancy::OrganizationId::new().to_string()});
    let refused = grpcurl.run(&[], &[unknown], "guildhall.org.v1.OrganizationService/GetOrganization").await;
    assert_eq!(refused.status.code(), Some(64 + 5), "NOT_FOUND");

    // Out by one stream and in by another.
    let role = json!({"organizationId": id, "role": {"key": "clerk", "displayName": "Clerk", "permissions": ["guildhall.member:read"]}});
    grpcurl.answers(&[role], "guildhall.authz.v1.RoleService/CreateRole").await;
    let export = "guildhall.authz.v1.AuthorizationService/ExportOrganization";
    let exported = grpcurl.answers(&[json!({"organizationId": id})], export).await;
    assert!(exported.iter().any(|record| record.to_string().contains("clerk")), "{exported:?}");
    let lines: Vec<Value> =
        (0..3).map(|n| json!({"identity": {"emailAddress": format!("{}-{n}@people.test", unique("ada"))}})).collect();
    let imported = grpcurl.answers(&lines, "guildhall.member.v1.IdentityService/ImportIdentities").await;
    assert_eq!(imported[0]["createdCount"], "3", "{imported:?}");
}
