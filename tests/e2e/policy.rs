//! `guildhall policy test`, `catalog plan` and `apply`, `check` and `explain`, as people type them.

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Project, text, unique},
};

/// What a command said, and how it ended.
struct Said {
    code: i32,
    out: String,
    err: String,
}

/// A command line with a home of its own, and what it knows of a gateway.
struct Shell {
    home: tempfile::TempDir,
    environment: Vec<(&'static str, String)>,
}

impl Shell {
    fn alone() -> Self {
        Self { home: tempfile::tempdir().unwrap(), environment: Vec::new() }
    }

    fn of(project: &Project<'_>) -> Self {
        let gateway = project.cluster.access().gateway.to_string();
        let environment = vec![("GUILDHALL_GATEWAY", gateway), ("GUILDHALL_TOKEN", project.token.clone())];
        Self { environment, ..Self::alone() }
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let program = env::current_exe().unwrap().ancestors().nth(2).unwrap().join("guildhall");
        let mut command = Command::new(program);
        command.args(arguments).env_clear().env("HOME", self.home.path()).current_dir(self.home.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { code: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.home.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn example() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/policy.yaml")
}

#[test]
fn the_example_holds_without_a_server() {
    let said = Shell::alone().run(&["policy", "test", example().to_str().unwrap()]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(said.out.contains("  ok    ") && !said.out.contains("FAIL"), "{}", said.out);
}

#[test]
fn an_assertion_that_does_not_hold_says_why_and_fails_the_build() {
    let shell = Shell::alone();
    let text = fs::read_to_string(example()).unwrap();
    let broken = text.replace("but of nothing else, check: linus", "but of nothing else, check: grace");
    let broken = broken.replace(
        "document/roadmap, expected: denied}\n  - {name: salaries",
        "document/roadmap, expected: allowed}\n  - {name: salaries",
    );
    assert_ne!(broken, text);
    let path = shell.file("policy.yaml", &broken);
    let said = shell.run(&["policy", "test", &path]);
    assert_eq!(said.code, 65, "{}{}", said.out, said.err);
    assert!(said.out.contains("expected allowed, is denied"), "{}", said.out);
    assert!(said.out.contains("who    grace in group:authors"), "{}", said.out);
    assert!(said.err.contains("1 of "), "{}", said.err);
    let said = shell.run(&["policy", "test", &path, "-o", "json"]);
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.code, &report["passed"]), (65, &json!(false)));
    let failed = report["results"].as_array().unwrap().iter().filter(|result| result["passed"] == false);
    assert_eq!(failed.count(), 1);

    // Faults of the file itself: all at once, and none of them an answer.
    let faulty = shell.file(
        "faulty.yaml",
        "members: [ada]\nassertions:\n  - {check: bob a:b, expected: denied}\n  - {check: ada x, expected: denied}\n",
    );
    let said = shell.run(&["policy", "test", &faulty]);
    assert_eq!((said.code, said.out.as_str()), (64, ""), "{}", said.err);
    assert!(said.err.contains("assertions[0].check") && said.err.contains("assertions[1].check"), "{}", said.err);
    let typo = shell.file("typo.yaml", "asertions: []\n");
    let said = shell.run(&["policy", "test", &typo]);
    assert!(said.code == 64 && said.err.contains("asertions"), "{}", said.err);
}

#[tokio::test]
async fn a_catalogue_is_planned_applied_and_asked_about() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let grace = acme.join("grace", &["member"]).await;
    let shell = Shell::of(&project);
    let first = shell.file("first.yaml", "catalog:\n  - {name: document, verbs: [read, write]}\n");

    let plan = shell.run(&["catalog", "plan", &first]);
    assert_eq!(plan.code, 0, "{}", plan.err);
    assert!(plan.out.contains("+ type document\n    + verb read\n    + verb write\n"), "{}", plan.out);
    assert!(plan.out.contains("owner gains document:read, document:write"), "{}", plan.out);
    let untouched = project.account.call("CatalogService/GetCatalog", json!({})).await;
    assert_eq!(untouched["resource_types"], json!([]), "a plan changes nothing");
    assert_eq!(shell.run(&["catalog", "apply", &first]).code, 0);
    assert_eq!(shell.run(&["catalog", "apply", &first]).out, "Nothing changes.\n");

    let role = json!({"organization_id": acme.id, "role": {"key": "editor", "display_name": "Editor",
        "permissions": ["document:*"]}});
    let role = text(&acme.owner().caller.call("RoleService/CreateRole", role).await, "role_id");
    let bind = |role: &str, id: &str| {
        json!({"organization_id": acme.id, "binding": {"subject": {"member_id": grace.id}, "role_id": role,
            "resource": {"type": "document", "id": id}}})
    };
    acme.owner().caller.call("BindingService/CreateBinding", bind(&role, "42")).await;

    // One verb more, one less; then a type less that is in use.
    let second = "catalog:\n  - {name: document, verbs: [read, sign], description: What people write.}\n";
    let second = shell.file("second.yaml", second);
    let organization = ["--organization-id", acme.id.as_str()];
    let plan = shell.run(&[&["catalog", "plan", &second][..], &organization].concat());
    assert!(
        plan.out.contains("~ type document\n    + verb sign\n    - verb write\n    ~ description\n"),
        "{}",
        plan.out
    );
    assert!(plan.out.contains("editor gains document:sign; loses document:write"), "{}", plan.out);
    let none = shell.file("none.yaml", "catalog: []\n");
    let plan = shell.run(&["catalog", "plan", &none]);
    assert_eq!(plan.code, 19, "{}{}", plan.out, plan.err);
    assert!(plan.out.contains("- type document") && plan.err.contains("CATALOG_IN_USE"), "{}{}", plan.out, plan.err);
    let faulty = shell.file("faulty.yaml", "catalog:\n  - {name: Document, verbs: [read, read]}\n");
    let plan = shell.run(&["catalog", "plan", &faulty]);
    assert_eq!(plan.code, 64, "{}", plan.err);
    assert!(plan.err.contains("catalog[0].name") && plan.err.contains("catalog[0].verbs[1]"), "{}", plan.err);

    // May they, and why: in words.
    let ask = |words: &[&str]| shell.run(&[words, &organization[..], &["-o", "table"]].concat());
    assert_eq!(ask(&["check", &grace.id, "document:write", "document/42"]).out, "allowed\n");
    assert_eq!(ask(&["check", &grace.id, "document:write", "document/43"]).out, "denied\n");
    let why = ask(&["explain", &grace.id, "document:write", "document/42"]).out;
    assert!(why.starts_with("allowed: a binding grants it"), "{why}");
    assert!(why.contains(&format!("who    {}\n", grace.id)), "{why}");
    assert!(why.contains("role   editor, which permits document:*") && why.contains("where  document/42\n"), "{why}");
    let why = ask(&["explain", &grace.id, "document:write", "document/43"]).out;
    assert!(why.starts_with("denied: no binding grants it\n") && why.contains("nearest"), "{why}");

    // The assertions alone, of the server: names have the ids that they have there.
    let policy = format!(
        "members: {{grace: {}}}\nassertions:\n  - {{name: hers, check: grace document:write document/42, expected: allowed}}\n  \
         - {{name: not hers, check: {} document:write document/43, expected: denied}}\n  \
         - {{name: later, check: grace document:write document/42, expected: denied, time: '2030-01-01T00:00:00Z'}}\n",
        grace.id, grace.id
    );
    let path = shell.file("policy.yaml", &policy);
    let said = shell.run(&[&["policy", "test", &path][..], &organization].concat());
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(said.out.contains("2 of 2 assertions hold; 1 have a time of their own"), "{}", said.out);
    let wrong = shell.file("wrong.yaml", &policy.replace("expected: allowed", "expected: denied"));
    let said = shell.run(&[&["policy", "test", &wrong][..], &organization].concat());
    assert_eq!(said.code, 65, "{}{}", said.out, said.err);
    assert!(said.out.contains("FAIL  hers"), "{}", said.out);
    let nameless = shell.file("nameless.yaml", "members: [ada]\nassertions: [{check: ada a:b, expected: denied}]\n");
    let said = shell.run(&[&["policy", "test", &nameless][..], &organization].concat());
    assert!(said.code == 64 && said.err.contains("ada has no id"), "{}", said.err);
    // An organization in the environment is no wish to ask a server.
    let mut shell = Shell::alone();
    shell.environment.push(("GUILDHALL_ORGANIZATION", unique("org")));
    assert_eq!(shell.run(&["policy", "test", example().to_str().unwrap()]).code, 0);
}
