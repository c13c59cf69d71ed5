//! Signing keys, while they are replaced under everybody's hands.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    env, fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Output},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use futures::future::join_all;
use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Project, patiently, text, unique},
    http,
};
use tokens::{ACCESS_TYPE, AccessClaims, Expected, KeySet, Token};
use tonic::Code;

use crate::bad_tokens::{Door, bearer};

/// In seconds. Hours, minutes and half a minute where nobody waits for a test.
const POLL: &str = "0.02";
const CACHE_TIME: &str = "0.25";
/// Longer than the cache time by what a busy machine makes of a process's look at its keys.
const LEAD: &str = "3";
const LONGEST_TOKEN: &str = "5";
/// How old a token is when it is verified for the last time, and how old it may be then: the rest of its life is for processes that come
/// late to look at their keys, on a busy machine.
const LATE: Duration = Duration::from_millis(2500);
const LATEST: Duration = Duration::from_millis(3200);
const CACHE: Duration = Duration::from_millis(250);
/// Of every signer's key in every algorithm.
const KEYS: usize = 7;
const ROUNDS: usize = 15;
const ROTATIONS: usize = 100;
const SEEN_WITHIN: Duration = Duration::from_secs(20);
/// A process looks at its keys many times meanwhile, on a busy machine too.
const LOOKED_WITHIN: Duration = Duration::from_secs(10);

fn guildhall(arguments: &[&str]) -> Output {
    let program = env::current_exe().unwrap().ancestors().nth(2).unwrap().join("guildhall");
    Command::new(program).args(arguments).output().unwrap()
}

fn rotate(directory: &Path, more: &[&str]) {
    let folder = directory.display().to_string();
    let times = ["--lead", LEAD, "--cache-time", CACHE_TIME, "--longest-life", LONGEST_TOKEN];
    let done = guildhall(&[&["key", "rotate", "--directory", &folder][..], &times, more].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// The keys as `guildhall key list` tells them: signer, algorithm, id, state.
fn listed(directory: &Path) -> Vec<[String; 4]> {
    let folder = directory.display().to_string();
    let times = ["--cache-time", CACHE_TIME, "--longest-life", LONGEST_TOKEN];
    let done = guildhall(&[&["key", "list", "--output", "json", "--directory", &folder][..], &times].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let rows: Vec<Value> = serde_json::from_slice(&done.stdout).unwrap();
    rows.iter().map(|row| ["signer", "algorithm", "keyId", "state"].map(|name| text(row, name))).collect()
}

/// A project whose tokens are signed so, with its service account's id and secret.
async fn project<'c>(cluster: &'c Cluster, algorithm: &str) -> (Project<'c>, String, String) {
    let operator = cluster.operator().await;
    let settings = json!({"algorithm": format!("SIGNING_ALGORITHM_{}", algorithm.to_uppercase())});
    let new = json!({"project": {"display_name": unique(algorithm), "token_settings": settings}});
    let id = text(&operator.call("ProjectService/CreateProject", new).await, "project_id");
    let account = json!({"project_id": id, "service_account": {"display_name": "backend"}});
    let account = operator.call("ServiceAccountService/CreateProjectServiceAccount", account).await;
    let (client_id, secret) = (text(&account, "client_id"), text(&account, "client_secret"));
    let token = cluster.client_credentials(&client_id, &secret).await.unwrap();
    (Project { cluster, id, account: cluster.bearer(&token), token }, client_id, secret)
}

fn part(token: &str, at: usize) -> Value {
    let text = token.split('.').nth(at).unwrap();
    serde_json::from_slice(&base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, text).unwrap())
        .unwrap()
}

fn kid(token: &str) -> String {
    text(&part(token, 0), "kid")
}

/// Somebody else's program: it knows the published set, keeps it for as long as it may, and asks for no other before that, whatever
/// key a token names.
struct Outsider {
    gateway: SocketAddr,
    kept: tokio::sync::Mutex<Option<(Instant, KeySet)>>,
}

impl Outsider {
    async fn verifies(&self, token: &str) -> bool {
        let mut kept = self.kept.lock().await;
        if kept.as_ref().is_none_or(|(asked, _)| asked.elapsed() > CACHE) {
            let asked = Instant::now();
            let ask = || http::get(self.gateway, "/.well-known/jwks.json");
            let (status, set) = patiently(ask, |(status, _)| *status == 503).await;
            assert_eq!(status, 200);
            *kept = Some((asked, KeySet::parse(set.to_string().as_bytes()).unwrap()));
        }
        let issuer = format!("http://{}", self.gateway);
        let expected = Expected {
            typ: ACCESS_TYPE,
            issuer: &issuer,
            audience: Some("guildhall"),
            longest_life: Duration::from_secs(900),
        };
        let token = Token::parse(token).unwrap();
        let key = kept.as_ref().and_then(|(_, set)| set.get(token.kid()));
        key.is_some_and(|key| token.verify::<AccessClaims>(key, &expected, SystemTime::now()).is_ok())
    }
}

/// Everybody who verifies.
struct Verifiers {
    doors: Vec<Door>,
    outsiders: Vec<Outsider>,
}

impl Verifiers {
    fn of(cluster: &Cluster) -> Self {
        let outsider = |_| Outsider { gateway: cluster.access().gateway, kept: tokio::sync::Mutex::default() };
        Self { doors: Door::all(cluster), outsiders: (0..2).map(outsider).collect() }
    }

    /// Who refuses it.
    async fn refusals(&self, organization: &str, token: &str) -> Vec<String> {
        let mut refusals = Vec::new();
        for door in &self.doors {
            if let Err(status) = door.ask(organization, &bearer(token)).await {
                refusals.push(format!("{} {:?} {}", door.name, status.code(), status.message()));
            }
        }
        for outsider in &self.outsiders {
            if !outsider.verifies(token).await {
                refusals.push("somebody outside".to_owned());
            }
        }
        refusals
    }
}

/// What the load has found.
#[derive(Default)]
struct Found {
    /// When a token of this key was first seen.
    keys: Mutex<HashMap<String, Instant>>,
    faults: Mutex<Vec<String>>,
    tokens: AtomicUsize,
    over: AtomicBool,
}

impl Found {
    /// Mints one token after the other, and has each verified at once and once more when it is old.
    async fn load(&self, cluster: &Cluster, verifiers: &Verifiers, organization: &str, client: (&str, &str)) {
        let mut old: Vec<(Instant, String)> = Vec::new();
        while !self.over.load(Ordering::Relaxed) || !old.is_empty() {
            let due = old.iter().filter(|(minted, _)| minted.elapsed() >= LATE).count();
            for (minted, token) in old.drain(..due) {
                self.check("late", verifiers, organization, &token, minted).await;
            }
            if self.over.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
            let asked = Instant::now();
            match cluster.client_credentials(client.0, client.1).await {
                Ok(token) => {
                    self.keys.lock().unwrap().entry(kid(&token)).or_insert_with(Instant::now);
                    self.tokens.fetch_add(1, Ordering::Relaxed);
                    self.check("new", verifiers, organization, &token, asked).await;
                    old.push((asked, token));
                }
                Err(refused) => self.faults.lock().unwrap().push(format!("no token: {refused:?}")),
            }
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    }

    async fn check(&self, when: &str, verifiers: &Verifiers, organization: &str, token: &str, minted: Instant) {
        let age = minted.elapsed();
        let refusals = verifiers.refusals(organization, token).await;
        // A machine that stood still let the token outlive what the test calls the longest life of one.
        if !refusals.is_empty() && (when == "new" || minted.elapsed() < LATEST) {
            let fault = format!("{when}, {age:?} old, signed by {}: {refusals:?}", kid(token));
            self.faults.lock().unwrap().push(fault);
        }
    }

    /// Waits until these keys have signed.
    async fn signed(&self, kids: &[String]) {
        let begun = Instant::now();
        while !kids.iter().all(|kid| self.keys.lock().unwrap().contains_key(kid)) {
            assert!(begun.elapsed() < SEEN_WITHIN, "no token of {kids:?}: {:?}", self.faults.lock().unwrap());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn until_all_sign(directory: &Path) {
    let begun = Instant::now();
    while listed(directory).iter().any(|[.., state]| state == "PUBLISHED") {
        assert!(begun.elapsed() < SEEN_WITHIN, "{:?}", listed(directory));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_rotations_under_load_lose_no_token() {
    let cluster = Cluster::start_with(&[("GUILDHALL_KEY_POLL", POLL), ("GUILDHALL_KEY_CACHE_TIME", CACHE_TIME)]).await;
    let directory = cluster.directory();
    let mut clients = Vec::new();
    for algorithm in ["EdDSA", "ES256", "RS256"] {
        let (project, id, secret) = project(&cluster, algorithm).await;
        assert_eq!(text(&part(&project.token, 0), "alg"), algorithm);
        let acme = project.organization("acme").await;
        assert_eq!(text(&part(&acme.owner().tokens.access, 0), "alg"), algorithm);
        clients.push((acme.id, id, secret));
    }
    let (found, verifiers) = (Found::default(), Verifiers::of(&cluster));
    let load = join_all(clients.iter().map(|(acme, id, secret)| found.load(&cluster, &verifiers, acme, (id, secret))));
    let rotations = async {
        // When each key was made, at the latest.
        let mut made: BTreeMap<String, Instant> = BTreeMap::new();
        let mut known: HashSet<String> = listed(&directory).into_iter().map(|[_, _, kid, _]| kid).collect();
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            rotate(&directory, &[]);
            let listed = listed(&directory);
            let new: Vec<_> = listed.iter().filter(|[_, _, kid, _]| !known.contains(kid)).collect();
            assert_eq!(new.len(), KEYS, "{listed:?}");
            made.extend(new.iter().map(|[_, _, kid, _]| (kid.clone(), begun)));
            known.extend(new.iter().map(|[_, _, kid, _]| kid.clone()));
            let access: Vec<String> =
                new.iter().filter(|[signer, ..]| signer == "access").map(|[_, _, kid, _]| kid.clone()).collect();
            found.signed(&access).await;
            // Nobody makes another while one is on its way.
            until_all_sign(&directory).await;
        }
        found.over.store(true, Ordering::Relaxed);
        made
    };
    let (_, made) = tokio::join!(load, rotations);

    let faults = found.faults.into_inner().unwrap();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults[..faults.len().min(20)].join("\n"));
    assert!(made.len() >= ROTATIONS, "{} keys", made.len());
    let minted = found.tokens.into_inner();
    assert!(minted > made.len(), "{minted} tokens");
    for (kid, first_seen) in found.keys.into_inner().unwrap() {
        if let Some(made) = made.get(&kid) {
            let published = first_seen.duration_since(*made);
            assert!(published >= CACHE, "{kid} signed {published:?} after it was made");
        }
    }
    // What is retired goes in the end.
    tokio::time::sleep(Duration::from_millis(5500)).await;
    rotate(&directory, &["--older-than", "30"]);
    let rest = listed(&directory);
    assert!(rest.iter().all(|[.., state]| state == "SIGNING"), "{rest:?}");
    assert_eq!(rest.len(), KEYS, "{rest:?}");

    a_key_that_is_taken_away_takes_its_tokens_along(&cluster, &clients[0]).await;
    assert!(!cluster.log().iter().any(|line| line.contains("panicked")));
}

/// Even those that were verified a moment ago.
async fn a_key_that_is_taken_away_takes_its_tokens_along(cluster: &Cluster, client: &(String, String, String)) {
    let (acme, id, secret) = client;
    let token = cluster.client_credentials(id, secret).await.unwrap();
    let doors = Door::all(cluster);
    answered(&doors, acme, &token, Code::Ok).await;
    let path = cluster.directory().join("trust/access.jwks.json");
    let before = fs::read_to_string(&path).unwrap();
    let mut set: Value = serde_json::from_str(&before).unwrap();
    set["keys"].as_array_mut().unwrap().retain(|jwk| jwk["kid"] != kid(&token).as_str());
    replace(&path, &set.to_string());
    answered(&doors, acme, &token, Code::Unauthenticated).await;
    // Nor does it sign: whoever is to believe it has to know it.
    assert!(cluster.client_credentials(id, secret).await.is_err());
    replace(&path, &before);
    answered(&doors, acme, &token, Code::Ok).await;
}

/// By every door, once it has looked at its keys.
async fn answered(doors: &[Door], organization: &str, token: &str, expected: Code) {
    for door in doors {
        let begun = Instant::now();
        loop {
            let code = door.ask(organization, &bearer(token)).await.map_or_else(|status| status.code(), |_| Code::Ok);
            if code == expected {
                break;
            }
            assert!(begun.elapsed() < LOOKED_WITHIN, "{} answers {code:?} and not {expected:?}", door.name);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn replace(path: &Path, text: &str) {
    let draft = path.with_extension("draft");
    fs::write(&draft, text).unwrap();
    fs::rename(&draft, path).unwrap();
}

#[test]
fn a_rotation_is_repeated_without_harm_and_refuses_nonsense() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().display().to_string();
    let run = |arguments: &[&str]| {
        let done = guildhall(&[&["key"], arguments, &["--directory", &directory]].concat());
        let said = [done.stdout, done.stderr].concat();
        (done.status.code(), String::from_utf8(said).unwrap())
    };
    let (code, said) = run(&["rotate"]);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("guildhall key generate"), "{said}");
    assert_eq!(run(&["generate"]).0, Some(0));
    for (arguments, word) in [
        (&["rotate", "--lead", "60"][..], "360"),
        (&["rotate", "--lead", "soon"], "seconds"),
        (&["rotate", "--signer", "somebody"], "possible values"),
        (&["rotate", "--algorithm", "HS256"], "EdDSA, ES256 or RS256"),
        (&["rotate", "--signer", "gateway", "--algorithm", "RS256"], "EdDSA"),
        (&["rotate", "--older-than", "0"], "1..=3650"),
    ] {
        let (code, said) = run(arguments);
        assert_eq!(code, Some(64), "{arguments:?}: {said}");
        assert!(said.contains(word), "{arguments:?}: {said}");
    }
    let states = || {
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        listed(folder.path()).into_iter().for_each(|[.., state]| *count.entry(state).or_default() += 1);
        count.into_iter().map(|(state, count)| format!("{state} {count}")).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(states(), "SIGNING 7");
    for _ in 0..2 {
        let (code, said) = run(&["rotate", "--signer", "gateway", "--signer", "access", "--older-than", "1"]);
        assert_eq!((code, states().as_str()), (Some(0), "SIGNING 7"), "{said}");
    }
    for _ in 0..2 {
        let (code, said) = run(&["rotate", "--signer", "access", "--algorithm", "EdDSA"]);
        assert_eq!((code, states().as_str()), (Some(0), "PUBLISHED 1, SIGNING 7"), "{said}");
    }
    // Two at once are one after the other.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(run(&["rotate", "--signer", "org-service"]).0, Some(0)));
        }
    });
    assert_eq!(states(), "PUBLISHED 2, SIGNING 7");

    fs::write(folder.path().join("trust/gateway.jwks.json"), "{}").unwrap();
    let (code, said) = run(&["rotate", "--signer", "gateway"]);
    assert!(code != Some(0) && said.contains("gateway.jwks.json"), "{said}");
    fs::write(folder.path().join("keys/gateway.pem"), "-----BEGIN PRIVATE KEY-----\nAAAA\n").unwrap();
    let (code, said) = run(&["rotate", "--signer", "gateway"]);
    assert!(code != Some(0) && said.contains("keys/gateway.pem") && !said.contains("AAAA"), "{said}");
}
