//! `guildhall` as people and scripts use it: the real binary against a real cluster.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{
    Cluster,
    caller::{text, unique},
};

/// A person at a terminal of their own: a home, and the commands they type there.
struct Person {
    home: TempDir,
    environment: Vec<(&'static str, String)>,
}

/// What a command printed, and the code it ended with.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Said {
    #[track_caller]
    fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.err);
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    #[track_caller]
    fn refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{} {}", self.out, self.err);
        assert_eq!(self.out, "", "refusals go to standard error");
        for word in words {
            assert!(self.err.contains(word), "{word} is not in {}", self.err);
        }
    }
}

impl Person {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap(), environment: Vec::new() }
    }

    /// With the cluster's ready context.
    fn of(cluster: &Cluster) -> Self {
        let person = Self::new();
        let dev_json = cluster.directory().join("dev.json");
        let said = person.run(&["context", "set", "dev", "--from", dev_json.to_str().unwrap()]);
        assert_eq!((said.code, said.out.as_str()), (0, ""), "{}", said.err);
        person
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let program = env::current_exe().unwrap().ancestors().nth(2).unwrap().join("guildhall");
        let mut command = Command::new(program);
        command.args(arguments).env_clear().env("HOME", self.home.path()).current_dir(self.home.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Said {
        self.command(arguments).output().unwrap().into()
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        self.run(arguments).json()
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.home.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn contexts(&self) -> std::path::PathBuf {
        self.home.path().join(".config/guildhall/config.toml")
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn the_main_job_is_done_on_the_command_line() {
    let cluster = Cluster::shared().await;
    let owner = Person::of(cluster);
    let slug = unique("acme");
    let made = owner.json(&["org", "create", "--display-name", "Acme", "--slug", &slug]);
    let organization = text(&made, "organizationId");
    assert_eq!(owner.run(&["context", "set", "dev", "--organization", &organization]).code, 0);

    let email = format!("ada@{slug}.test");
    let ada = text(&owner.json(&["member", "create", &email, "--display-name", "Ada", "--role", "owner"]), "memberId");
    let password = owner.file("password", "correct horse battery staple\n");
    assert_eq!(owner.run(&["member", "set-password", &ada, "--password", &format!("@{password}")]).code, 0);
    let request = json!({"emailAddress": email, "password": "correct horse battery staple", "organizationSlug": slug});
    let signed_in = owner.json(&["call", "gateway.v1.AuthenticationService/SignInWithPassword", &request.to_string()]);

    // Ada herself, by her token alone.
    let ada_token = text(&signed_in, "accessToken");
    let gateway = cluster.access().gateway.to_string();
    let as_ada = Person::new()
        .with("GUILDHALL_TOKEN", &ada_token)
        .with("GUILDHALL_GATEWAY", &gateway)
        .with("GUILDHALL_ORGANIZATION", &organization);
    assert!(as_ada.run(&["whoami"]).json().to_string().contains(&ada));
    let invited = format!("grace@{slug}.test");
    let invitation = as_ada.json(&["invitation", "create", &invited, "--role", "member"]);
    assert_eq!(text(&invitation, "state"), "INVITATION_STATE_PENDING");
    let token = cluster.mailbox(&invited).await.last().unwrap().token();
    let accepted = owner.json(&["invitation", "accept", "--token", &token, "--display-name", "Grace"]);
    let grace = text(&accepted, "member.memberId");

    owner.json(&[
        "catalog",
        "update",
        "-d",
        r#"{"catalog":{"resource_types":[{"name":"document","verbs":["read","write"]}]}}"#,
    ]);
    let role = as_ada.json(&["role", "create", "editor", "--display-name", "Editor", "--permission", "document:*"]);
    let check = |resource: &str, consistency: &str| {
        let said = owner.json(&["check", &grace, "document:write", resource, "--consistency", consistency]);
        text(&said, "decision")
    };
    assert_eq!(check("document:42", "fully-consistent"), "DECISION_DENIED");
    let binding = as_ada.json(&["binding", "create", &grace, &text(&role, "roleId"), "--resource", "document:42"]);
    assert_eq!(check("document:42", &text(&binding, "revision")), "DECISION_ALLOWED");
    assert_eq!(check("document:43", "fully-consistent"), "DECISION_DENIED");
    let explained = owner.json(&["explain", &grace, "document:write", "document:42"]);
    assert_eq!(text(&explained, "cause"), "CAUSE_GRANTED");

    assert_eq!(as_ada.run(&["member", "remove", &grace]).code, 0);
    assert_eq!(check("document:42", "fully-consistent"), "DECISION_DENIED");
    as_ada.run(&["member", "get", &grace]).refused(15, &["NOT_FOUND"]);
    let events = as_ada.json(&["event", "list", "--all", "--page-size", "2"]);
    let kinds: Vec<String> = events["events"].as_array().unwrap().iter().map(|event| text(event, "kind")).collect();
    assert!(kinds.iter().any(|kind| kind == "member.removed") && kinds.len() > 2, "every page: {kinds:?}");
    assert_eq!(as_ada.json(&["event", "verify"])["valid"], true);

    // What changes is what was named, and an etag guards it.
    let before = owner.json(&["member", "get", &ada]);
    let after = owner.json(&["member", "update", &ada, "--display-name", "Ada L.", "--etag", &text(&before, "etag")]);
    assert_eq!((text(&after, "displayName"), text(&after, "emailAddress")), ("Ada L.".to_owned(), email));
    owner
        .run(&["member", "update", &ada, "--display-name", "x", "--etag", &text(&before, "etag")])
        .refused(20, &["ETAG_MISMATCH"]);
    assert!(owner.json(&["member", "update", &ada, "--clear", "display-name"]).get("displayName").is_none());
}

#[tokio::test]
async fn one_answer_in_every_form() {
    let person = Person::of(Cluster::shared().await);
    let (slug, name) = (unique("forms"), unique("Forms of one answer"));
    let made = person.json(&["org", "create", "--display-name", &name, "--slug", &slug]);
    let id = text(&made, "organizationId");
    let list = ["org", "list", "--display-name-prefix", &name];

    let json = person.run(&[&list[..], &["-o", "json"]].concat());
    assert_eq!(json.json()["organizations"][0]["slug"], slug.as_str());
    assert_eq!(person.run(&list).out, json.out, "JSON where no terminal is");

    let table = person.run(&[&list[..], &["-o", "table"]].concat());
    let lines: Vec<&str> = table.out.lines().collect();
    assert_eq!(lines.len(), 2, "{}", table.out);
    assert!(lines[0].starts_with("ORGANIZATION ID") && lines[1].starts_with(&id) && lines[1].contains(&slug));

    let yaml = person.run(&["org", "get", &id, "-o", "yaml"]);
    assert!(yaml.out.starts_with(&format!("organizationId: {id}\n")), "in the contract's order: {}", yaml.out);
    assert!(yaml.out.contains(&format!("\nslug: {slug}\n")));

    // Twice with one request id: made once.
    let slug = unique("forms");
    let create = ["org", "create", "--display-name", "Once", "--slug", &slug, "--request-id", &slug];
    assert_eq!(person.json(&create), person.json(&create));
    person.run(&create[..6]).refused(16, &["SLUG_TAKEN"]);
}

#[tokio::test]
async fn a_refusal_says_why_and_its_code_says_which() {
    let cluster = Cluster::shared().await;
    let person = Person::of(cluster);
    let slug = unique("refusals");
    let made = person.json(&["org", "create", "--display-name", "Acme", "--slug", &slug]);
    let organization = text(&made, "organizationId");

    person
        .run(&["org", "create", "--display-name", "a\u{202e}b", "--slug", "No Such Slug"])
        .refused(13, &["INVALID_FIELDS", "\n  organization.display_name: ", "\n  organization.slug: "]);
    person.run(&["org", "get", "org_01h455vb4pex5vsknk084sn02q"]).refused(15, &["NOT_FOUND"]);
    person.run(&["project", "list"]).refused(17, &["PERMISSION_DENIED"]);
    for method in api::METHODS.iter().filter(|m| !m.served && m.audience == api::Audience::Organization).take(1) {
        let request = json!({"organization_id": organization}).to_string();
        person.run(&["call", method.path, &request]).refused(22, &["NOT_YET_SERVED", "does not serve it yet"]);
    }

    // Wrong usage, of words as of values.
    for wrong in [
        &["org", "get", "--nothing"][..],
        &["nothing"],
        &["org"],
        &["org", "list", "--state", "nothing"],
        &["org", "list", "--page-size", "many"],
        &["member", "get"],
        &["check", "ada", "document:read", "document:1"],
        &["call", "Nothing/Nothing"],
        &["call", "OrganizationService/GetOrganization", "{\"nothing\":1}"],
        &["org", "list", "--context", "nothing"],
        &["org", "list", "-d", "@/does/not/exist"],
    ] {
        let said = person.run(wrong);
        let expected = if wrong.contains(&"@/does/not/exist") { 1 } else { 64 };
        assert_eq!(said.code, expected, "{wrong:?}: {}", said.err);
    }

    // Credentials: wrong, none, of another gateway, and the operator's.
    let access = cluster.access();
    let gateway = access.gateway.to_string();
    let wrong = Person::new()
        .with("GUILDHALL_GATEWAY", &gateway)
        .with("GUILDHALL_CLIENT_ID", &access.client_id)
        .with("GUILDHALL_CLIENT_SECRET", "wrong");
    wrong.run(&["org", "list"]).refused(26, &["UNAUTHENTICATED"]);
    Person::new().with("GUILDHALL_GATEWAY", &gateway).run(&["org", "list"]).refused(26, &["UNAUTHENTICATED"]);
    Person::new().run(&["org", "list"]).refused(64, &["no gateway"]);
    let by_another_name = format!("localhost:{}", access.gateway.port());
    person.run(&["org", "list", "--gateway", &by_another_name]).refused(26, &["UNAUTHENTICATED"]);
    let dev_json = cluster.directory().join("dev.json");
    person.run(&["context", "set", "operator", "--from", dev_json.to_str().unwrap(), "--operator"]);
    assert!(person.json(&["project", "list", "--context", "operator"])["projects"].is_array());

    // Nobody there, and somebody who never answers.
    person.run(&["org", "list", "--gateway", "127.0.0.1:1"]).refused(24, &["UNAVAILABLE"]);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let begun = Instant::now();
    person.run(&["org", "list", "--gateway", &address, "--timeout", "300ms"]).refused(14, &["DEADLINE_EXCEEDED"]);
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn contexts_are_kept_for_their_owner_and_show_no_secret() {
    let cluster = Cluster::shared().await;
    let person = Person::of(cluster);
    let secret = &cluster.access().client_secret;
    assert_eq!(mode(&person.contexts()), 0o600);
    assert_eq!(mode(person.contexts().parent().unwrap()), 0o700);
    assert!(fs::read_to_string(person.contexts()).unwrap().contains(secret.as_str()));

    let file = person.file("secret", "hush-hush\n");
    let set = ["context", "set", "other", "--gateway", "guildhall.example.com", "--client-id", "sa_1"];
    person.run(&[&set[..], &["--client-secret", "hush-hush"]].concat()).refused(64, &["@FILE"]);
    assert_eq!(person.run(&[&set[..], &["--client-secret", &format!("@{file}")]].concat()).code, 0);
    for form in ["table", "json", "yaml"] {
        for command in [&["context", "list", "-o", form][..], &["context", "show", "other", "-o", form]] {
            let said = person.run(command);
            assert_eq!(said.code, 0, "{}", said.err);
            assert!(said.out.contains("guildhall.example.com"), "{}", said.out);
            assert!(!said.out.contains("hush-hush") && !said.out.contains(secret.as_str()), "{}", said.out);
        }
    }
    let listed = person.json(&["context", "list"]);
    assert_eq!((text(&listed, "0.name"), listed[0]["current"].as_bool()), ("dev".to_owned(), Some(true)));
    assert_eq!(text(&person.json(&["context", "show", "other"]), "gateway"), "https://guildhall.example.com");
    assert_eq!(person.run(&["context", "use", "other"]).code, 0);
    assert_eq!(text(&person.json(&["context", "show"]), "name"), "other");
    assert!(person.json(&["org", "list", "--context", "dev"]).is_object());
    assert_eq!(person.run(&["context", "delete", "other"]).code, 0);
    assert!(!fs::read_to_string(person.contexts()).unwrap().contains("hush-hush"));
    person.run(&["context", "show"]).refused(64, &["no context"]);
    person.run(&["context", "use", "other"]).refused(64, &["no context other"]);
}

#[test]
fn completions_are_what_their_shells_read() {
    let person = Person::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = person.run(&["completions", shell]);
        assert_eq!(said.code, 0, "{}", said.err);
        assert!(said.out.contains("service-account") && said.out.contains("display-name"), "{shell}");
        if shell == "bash" {
            let script = person.file("completions", &said.out);
            let checked = Command::new("bash").args(["-n", &script]).output().unwrap();
            assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        }
    }
}

#[test]
fn every_command_has_help() {
    let person = Person::new();
    let help = person.run(&["--help"]);
    assert!(help.code == 0 && help.out.contains("26  UNAUTHENTICATED"), "{}", help.out);
    assert!(person.run(&["member", "create", "--help"]).out.contains("--display-name"));
    assert_eq!(person.run(&["call", "--list"]).out.lines().count(), {
        api::METHODS.iter().filter(|method| method.audience != api::Audience::Workload).count()
    });
}

/// A thousand rows; how many members there are.
#[tokio::test]
async fn an_import_that_is_broken_off_and_run_again_adds_everybody_once() {
    let person = Person::of(Cluster::shared().await);
    let slug = unique("import");
    let made = person.json(&["org", "create", "--display-name", "Import", "--slug", &slug]);
    let person = person.with("GUILDHALL_ORGANIZATION", &text(&made, "organizationId"));
    let rows: String = (0..1000).map(|n| format!("person-{n}@{slug}.test,Person {n},member\n")).collect();
    let file = person.file("members.csv", &format!("email_address,display_name,roles\n{rows}"));
    let import = ["member", "import", &file, "--batch-size", "50", "--timeout", "60s"];

    let faulty = person.file("faulty.jsonl", "{\"email_address\":\"a@b.test\"}\n{\"nothing\":1}\nno\n");
    person.run(&["member", "import", &faulty]).refused(64, &["faulty.jsonl:3:"]);
    let count =
        || person.json(&["member", "list", "--all", "--page-size", "500"])["members"].as_array().map_or(0, Vec::len);
    let mut first = person.command(&import).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while count() == 0 && begun.elapsed() < Duration::from_secs(60) {}
    first.kill().unwrap();
    first.wait().unwrap();
    let there = count();
    assert!(0 < there && there < 1000, "{there} members when it was broken off");

    let again = person.json(&import);
    assert_eq!((again["created"].as_u64(), again["refused"].as_u64()), (Some(1000), Some(0)), "{again}");
    assert_eq!(count(), 1000);

    // Rows that are refused are named by their lines, and hold nobody else up.
    let mixed = format!("email_address\nperson-0@{slug}.test\nno address\nlast@{slug}.test\n");
    let mixed = person.run(&["member", "import", &person.file("mixed.csv", &mixed)]);
    assert_eq!(mixed.code, 65, "{}", mixed.err);
    assert!(mixed.err.contains("mixed.csv:3: "), "{}", mixed.err);
    assert_eq!(serde_json::from_str::<Value>(&mixed.out).unwrap(), json!({"created": 1, "existing": 1, "refused": 1}));
}
