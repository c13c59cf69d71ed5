//! What we build from, and what the manifests and documents say of it.

use std::{collections::BTreeSet, process::Command};

use crate::tree::{files, none, read, root};

#[test]
fn there_is_one_crypto_backend() {
    // Cargo.lock also lists what no feature of ours turns on, so the resolved graph is asked.
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--workspace",
            "--offline",
            "--locked",
            "--edges",
            "normal,build,dev",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    let tree = String::from_utf8(tree.stdout).unwrap();
    let has = |name: &str| tree.lines().any(|line| line.split(' ').next() == Some(name));
    assert!(has("aws-lc-rs"), "cargo tree gave: {tree}");
    for banned in ["ring", "openssl-sys", "openssl", "native-tls"] {
        assert!(!has(banned), "{banned} is linked: cargo tree -i {banned}");
    }
}

/// The environment names that the binaries take.
fn environment() -> BTreeSet<String> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    for source in files("crates", "rs") {
        // Of options, and what no option may hold: secrets.
        for read in ["env = \"", "env::var(\""] {
            for (at, _) in source.text.match_indices(read) {
                names.insert(source.text[at + read.len()..].split('"').next().unwrap().to_owned());
            }
        }
    }
    names
}

/// Words of a text that look like environment names of ours.
fn named(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
        .filter(|word| word.starts_with("GUILDHALL_") || word.starts_with("OTEL_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_manifests_name_only_what_the_binaries_understand() {
    let known = environment();
    assert!(known.contains("GUILDHALL_LISTEN"), "found {known:?}");
    let mut faults = Vec::new();
    for manifest in files("deploy", "yaml") {
        for name in named(&manifest.text).difference(&known) {
            faults.push(format!("{} names {name}, which no binary takes", manifest.path));
        }
    }
    none(faults);
}

#[test]
fn the_readme_names_only_what_the_binaries_understand() {
    let known = environment();
    let text = read("README.md") + &read("ARCHITECTURE.md");
    let faults = named(&text).difference(&known).map(|name| format!("{name} is no option of a binary")).collect();
    none(faults);
}
