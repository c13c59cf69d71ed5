//! Somebody else's OpenID Provider (npm's oidc-provider), as a process of its own, and a browser that signs in at it.
//!
//! It is installed from the npm registry, as pinned by the lock file beside it, into `target/`. Where there is no node or npm, or it cannot be
//! installed, the tests say so and are skipped.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::OnceLock,
};

use serde_json::{Value, json};
use testkit::http;

/// Where providers send browsers back to. Nobody goes there: the browser stops when it is sent.
pub const CALLBACK: &str = "https://app.example.test/callback";

#[derive(Debug)]
pub struct IdentityProvider {
    pub issuer: String,
    pub address: SocketAddr,
    process: Child,
    /// It ends when this does.
    _input: Option<ChildStdin>,
}

impl Drop for IdentityProvider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn source() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("identity-provider")
}

/// Where it is installed; None where it cannot be.
#[expect(clippy::print_stderr, reason = "libtest shows it")]
fn installed() -> Option<&'static PathBuf> {
    static INSTALLED: OnceLock<Option<PathBuf>> = OnceLock::new();
    let install = || {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("identity-provider");
        let mut same = true;
        fs::create_dir_all(&folder).ok()?;
        for name in ["package.json", "package-lock.json", "provider.mjs"] {
            let (from, to) = (fs::read(source().join(name)).unwrap(), folder.join(name));
            if fs::read(&to).ok().as_ref() != Some(&from) {
                same &= name == "provider.mjs";
                fs::write(&to, from).unwrap();
            }
        }
        if !same || !folder.join("node_modules/oidc-provider").exists() {
            let ran = Command::new("npm")
                .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"])
                .current_dir(&folder)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            if !ran.is_ok_and(|status| status.success()) {
                return None;
            }
        }
        Some(folder)
    };
    let installed = INSTALLED.get_or_init(install).as_ref();
    if installed.is_none() {
        eprintln!("SKIPPED: needs node and npm, and oidc-provider from the npm registry");
    }
    installed
}

impl IdentityProvider {
    /// None where it cannot be run here: the test is skipped.
    pub fn start() -> Option<Self> {
        let folder = installed()?;
        let mut process = Command::new("node")
            .arg("provider.mjs")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take()?).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("the identity provider said {line:?}"));
        let issuer = told["issuer"].as_str().unwrap().to_owned();
        let address = issuer.trim_start_matches("http://").parse().unwrap();
        let input = process.stdin.take();
        Some(Self { issuer, address, process, _input: input })
    }

    async fn put(&self, path: &str, body: Value) {
        let (body, address) = (body.to_string(), self.address);
        let length = body.len();
        let request = format!(
            "PUT {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let (status, ..) = http::send(self.address, &request).await;
        assert_eq!(status, 204, "{path}");
    }

    /// Somebody with an account there, and what is known of them.
    pub async fn account(&self, login: &str, claims: Value) {
        self.put(&format!("/test/accounts/{login}"), claims).await;
    }

    /// What is done to the next ID token (or userinfo) before it is handed out.
    pub async fn next_token(&self, how: Value) {
        self.put("/test/next-token", how).await;
    }

    /// A connection to it, of one of the clients that it knows.
    pub fn connection(&self, client: &str) -> Value {
        json!({"kind": "CONNECTION_KIND_OIDC", "display_name": client, "issuer": self.issuer, "client_id": client,
            "client_secret": format!("the secret of {client}"), "state": "CONNECTION_STATE_ACTIVE"})
    }

    /// Goes where a browser is sent, signs in, consents, and says what it is sent back with.
    pub async fn sign_in(&self, authorization_uri: &str, login: &str) -> BTreeMap<String, String> {
        let mut browser = Browser { address: self.address, cookies: BTreeMap::new() };
        let prefix = format!("{}/", self.issuer);
        let mut at = authorization_uri.to_owned();
        for _ in 0..12 {
            let Some(path) = at.strip_prefix(&prefix) else { return query(&at) };
            let path = format!("/{path}");
            let page = browser.go("GET", &path, "").await;
            at = match page {
                Page::Sent(to) => to,
                Page::Shown(body) if body.contains("name=\"login\"") => {
                    let form = format!("prompt=login&login={}&password=any", login.replace('@', "%40"));
                    browser.submit(&path, &form).await
                }
                Page::Shown(body) if body.contains("value=\"consent\"") => {
                    browser.submit(&path, "prompt=consent").await
                }
                Page::Shown(body) => panic!("the identity provider shows {body}"),
            };
            if at.starts_with('/') {
                at = format!("{}{at}", self.issuer);
            }
        }
        panic!("the identity provider sends the browser round and round: {at}");
    }
}

fn query(uri: &str) -> BTreeMap<String, String> {
    let (to, query) = uri.split_once('?').unwrap_or_else(|| panic!("sent to {uri}"));
    assert!(to.starts_with("https://app.example.test/"), "sent to {uri}");
    let decoded = |text: &str| text.replace("%3A", ":").replace("%2F", "/").replace("%20", " ");
    let pair = |pair: &str| pair.split_once('=').map(|(name, value)| (name.to_owned(), decoded(value)));
    query.split('&').filter_map(pair).collect()
}

enum Page {
    Sent(String),
    Shown(String),
}

struct Browser {
    address: SocketAddr,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    async fn submit(&mut self, path: &str, form: &str) -> String {
        match self.go("POST", path, form).await {
            Page::Sent(to) => to,
            Page::Shown(body) => panic!("after {form}: {body}"),
        }
    }

    async fn go(&mut self, method: &str, path: &str, form: &str) -> Page {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nCookie: {}\r\nAccept: text/html\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            self.address,
            cookies.join("; "),
            form.len()
        );
        let (status, head, body) = http::send(self.address, &request).await;
        let mut location = None;
        for line in head.lines() {
            let Some((name, value)) = line.split_once(": ") else { continue };
            match name.to_ascii_lowercase().as_str() {
                "set-cookie" => {
                    let (name, value) = value.split(';').next().unwrap().split_once('=').unwrap();
                    self.cookies.insert(name.to_owned(), value.to_owned());
                }
                "location" => location = Some(value.to_owned()),
                _ => {}
            }
        }
        match location {
            Some(to) if (300..400).contains(&status) => Page::Sent(to),
            _ => Page::Shown(body),
        }
    }
}
