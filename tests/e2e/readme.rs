//! The README does what it says: its own block, run by a shell.

use std::{env, fs, os::unix::fs::symlink, path::PathBuf, process::Command};

use testkit::Cluster;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn steps() -> String {
    block("`the_readmes_steps_do_what_they_say`")
}

/// The first shell block after the marker.
fn block(marker: &str) -> String {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let after = readme.split_once(marker).expect("the README marks its block").1;
    let block = after.split_once("```sh\n").expect("a shell block follows").1;
    block.split_once("\n```").expect("the block ends").0.to_owned()
}

#[test]
fn the_printed_steps_are_the_readmes() {
    let printed = fs::read_to_string(root().join("crates/cli/src/dev/steps.sh")).unwrap();
    let from_the_first_step =
        |text: &str| text[text.find("call() {").unwrap()..].replace("pick() {", "").trim().to_owned();
    let printed: String = printed.lines().filter(|line| !line.starts_with("pick()")).collect::<Vec<_>>().join("\n");
    assert_eq!(from_the_first_step(&printed), from_the_first_step(&steps()));
}

#[tokio::test]
async fn the_readmes_steps_do_what_they_say() {
    let cluster = Cluster::start().await;
    let place = tempfile::tempdir().unwrap();
    symlink(cluster.directory(), place.path().join(".guildhall")).unwrap();
    // grpcurl and curl as far as the steps need them; the first knows only what reflection tells.
    let shim = env::current_exe().unwrap().ancestors().nth(2).unwrap().join("shim");
    assert!(shim.exists(), "{} is not built: run `make test`", shim.display());
    let tools = place.path().join("tools");
    fs::create_dir(&tools).unwrap();
    for name in ["grpcurl", "curl"] {
        symlink(&shim, tools.join(name)).unwrap();
    }
    let path = format!("{}:{}", tools.display(), env::var("PATH").unwrap());
    let script = steps()
        + "\necho \"all: ${TOKEN:+1}${ORG:+1}${ADA:+1}${ADA_TOKEN:+1}${INVITATION:+1}${GRACE:+1}${CHALLENGE:+1}\
        ${CODE:+1}${GRACE_TOKEN:+1}${GRACE_REFRESH:+1}${ROLE:+1}${REVISION:+1}\"\n";
    let run = tokio::task::spawn_blocking(move || {
        Command::new("sh").arg("-c").arg(script).env("PATH", path).current_dir(place.path()).output().unwrap()
    });
    let run = run.await.unwrap();
    let (out, said) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    let shown = format!("--- stdout\n{out}\n--- stderr\n{said}");
    assert!(out.contains("all: 111111111111\n"), "a step left its variable empty\n{shown}");
    let decisions: Vec<&str> = out
        .lines()
        .filter_map(|line| line.trim().strip_prefix("\"decision\": \"DECISION_")?.split('"').next())
        .collect();
    assert_eq!(decisions, ["DENIED", "ALLOWED", "DENIED", "ALLOWED", "DENIED"], "{shown}");
    assert!(said.contains("Code: Unauthenticated"), "the removed member's refresh and token are refused\n{shown}");
    assert_eq!(said.matches("ERROR:").count(), 2, "and nothing else is\n{shown}");
    assert!(out.contains("\"valid\": true") && out.contains("member.removed"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readmes_json_does_what_it_says() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("SKIPPED, for want of curl");
        return;
    }
    let cluster = Cluster::start().await;
    let place = tempfile::tempdir().unwrap();
    symlink(cluster.directory(), place.path().join(".guildhall")).unwrap();
    let script = block("`the_readmes_json_does_what_it_says`");
    let run = Command::new("sh").arg("-c").arg(script).current_dir(place.path()).output().unwrap();
    let (out, said) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    let lines: Vec<&str> = out.lines().filter(|line| !line.is_empty()).collect();
    let shown = format!("--- stdout\n{out}\n--- stderr\n{said}");
    assert!(said.is_empty() && lines.len() >= 5, "{shown}");
    assert!(lines[0].contains("\"displayName\":\"Acme Ltd.\""), "{shown}");
    assert!(lines[1].starts_with("{\"organizations\":[") && lines[1].contains("Acme Ltd."), "{shown}");
    assert!(lines[2].contains("\"key\":\"reader\""), "{shown}");
    let (refusal, streamed) = lines[3..].split_last().unwrap();
    assert!(streamed.iter().all(|line| line.starts_with("{\"result\":")) && !streamed.is_empty(), "{shown}");
    assert!(refusal.contains("\"code\":") && refusal.contains("google.rpc.ErrorInfo"), "{shown}");
    let document = fs::read_to_string(place.path().join("openapi.json")).unwrap();
    assert!(document.contains("\"openapi\":\"3.1.0\""), "{document:.300}");
}
