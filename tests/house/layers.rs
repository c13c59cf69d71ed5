//! One direction: grpc -> ops -> store -> model. SQL in stores alone, scopes from `access` alone.

use crate::tree::{Source, files, none};

const SERVICES: [&str; 3] = ["org-service", "member-service", "authz-service"];
/// A file longer than this is two things.
const LONGEST: usize = 450;

fn rust() -> Vec<Source> {
    files("crates", "rs")
}

fn uses(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

#[test]
fn each_layer_names_only_what_is_below_it() {
    // What a file of the layer may not name. `remote` is the services' client of other services, which ops use.
    let forbidden: &[(&str, &[&str])] = &[
        ("model", &["tonic", "sqlx", "api::", "crate::store", "crate::ops", "crate::grpc", "crate::remote"]),
        ("store", &["tonic", "api::", "crate::ops", "crate::grpc", "crate::remote"]),
        ("ops", &["tonic", "sqlx", "api::", "crate::grpc"]),
        ("grpc", &["sqlx", "crate::store"]),
    ];
    let mut faults = Vec::new();
    for source in rust() {
        for service in SERVICES {
            for (layer, words) in forbidden {
                let folder = format!("crates/{service}/src/{layer}");
                if source.path.starts_with(&format!("{folder}/")) || source.path == format!("{folder}.rs") {
                    let code = source.code();
                    faults.extend(
                        words
                            .iter()
                            .filter(|word| uses(&code, word))
                            .map(|word| format!("{} is of layer {layer} and names {word}", source.path)),
                    );
                }
            }
        }
    }
    none(faults);
}

#[test]
fn services_do_not_depend_on_services() {
    // Which crates of ours a crate may depend on.
    let allowed: &[(&str, &[&str])] = &[
        ("api", &[]),
        ("engine", &[]),
        ("local-postgres", &[]),
        ("outdated", &[]),
        ("meters", &[]),
        ("seeds", &[]),
        ("tls", &["meters"]),
        ("channel", &["meters", "tls"]),
        ("runtime", &["api", "channel", "meters", "tls"]),
        ("tenancy", &["meters"]),
        ("tokens", &[]),
        ("access", &["api", "outdated", "runtime", "tenancy", "tokens"]),
        ("feed", &["access", "api", "meters", "outdated", "runtime", "tenancy"]),
        ("schema", &["runtime", "tenancy"]),
        ("org-service", &["access", "api", "feed", "runtime", "schema", "tenancy"]),
        ("member-service", &["access", "api", "feed", "meters", "runtime", "schema", "tenancy"]),
        ("authz-service", &["access", "api", "engine", "feed", "meters", "runtime", "schema", "tenancy"]),
        ("gateway", &["access", "api", "feed", "meters", "outdated", "runtime", "tenancy", "tls", "tokens"]),
        // The engine answers in the caller's process.
        ("client", &["api", "channel", "engine", "outdated", "tokens"]),
        ("cli", &["access", "api", "client", "engine", "local-postgres", "runtime", "tenancy", "tokens"]),
        ("testkit", &["access", "api", "local-postgres", "tokens"]),
        ("loadgen", &["access", "api", "client", "engine", "local-postgres", "tenancy", "testkit"]),
    ];
    let ours: Vec<&str> = allowed.iter().map(|(name, _)| *name).collect();
    let mut faults = Vec::new();
    for manifest in files("crates", "toml").into_iter().filter(|m| m.path.ends_with("/Cargo.toml")) {
        let name = manifest.path.split('/').nth(1).unwrap();
        let Some((_, may)) = allowed.iter().find(|(n, _)| *n == name) else {
            faults.push(format!("crates/{name} is in no row of this test: say what it may depend on"));
            continue;
        };
        let dependencies = manifest.text.split("[dev-dependencies]").next().unwrap();
        for line in dependencies.lines() {
            let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if ours.contains(&dependency) && !may.contains(&dependency) {
                faults.push(format!("crates/{name} depends on {dependency}"));
            }
        }
    }
    none(faults);
}

#[test]
fn sql_stands_in_stores_alone() {
    let may = |path: &str| {
        path.starts_with("crates/tenancy/")
            || path.starts_with("crates/local-postgres/")
            || path.starts_with("crates/testkit/")
            || path.starts_with("crates/loadgen/")
            // Names the target under which sqlx tells of statements.
            || path == "crates/runtime/src/statements.rs"
            || SERVICES.iter().any(|s| path.starts_with(&format!("crates/{s}/src/store")))
    };
    let sql = ["query!", "query_as!", "query_scalar!", "sqlx::query", "raw_sql"];
    let faults = rust()
        .iter()
        .filter(|s| !may(&s.path))
        .filter(|s| sql.iter().any(|word| s.code().contains(word)))
        .map(|s| s.path.clone())
        .collect();
    none(faults);
}

#[test]
fn every_statement_of_a_store_names_its_tenant() {
    // The first wall: the organization or, in what concerns a whole project, the project. Statements about no tenant say why:
    // `-- cluster: ..`.
    let mut faults = Vec::new();
    for source in rust().iter().filter(|s| s.path.contains("-service/src/store")) {
        for (at, _) in source.text.match_indices("query") {
            let rest = &source.text[at..];
            if !["query!(", "query_as!(", "query_scalar!("].iter().any(|m| rest.starts_with(m)) {
                continue;
            }
            let statement = rest.split(".fetch").next().unwrap_or(rest).split(".execute").next().unwrap_or(rest);
            let line = source.text[..at].lines().count();
            let named =
                ["organization_id", "project_id = $", "-- cluster:"].iter().any(|tenant| statement.contains(tenant));
            if !named {
                faults.push(format!("{}:{line} names no tenant", source.path));
            }
        }
    }
    none(faults);
}

#[test]
fn scopes_are_granted_by_access_and_background_work_alone() {
    // Background work serves no caller: readers of feeds, sweeps, senders.
    let may = |path: &str| {
        path.starts_with("crates/access/") || path.starts_with("crates/tenancy/") || path.contains("/src/background")
    };
    let faults = rust()
        .iter()
        .filter(|s| !may(&s.path))
        .filter(|s| s.code().contains("Scope::granted("))
        .map(|s| s.path.clone())
        .collect();
    none(faults);
}

#[test]
fn no_file_grows_long() {
    let faults = rust()
        .iter()
        .chain(&files("tests", "rs"))
        .chain(&files("proto", "proto"))
        .map(|s| (s.text.lines().count(), &s.path))
        .filter(|(lines, _)| *lines > LONGEST)
        .map(|(lines, path)| format!("{path} has {lines} lines, more than {LONGEST}"))
        .collect();
    none(faults);
}

#[test]
fn no_drawer_is_called_utils() {
    let drawers = ["util", "utils", "helper", "helpers", "common", "manager", "misc"];
    let faults = rust()
        .iter()
        .filter(|s| s.path.split(['/', '.']).any(|part| drawers.contains(&part)))
        .map(|s| s.path.clone())
        .collect();
    none(faults);
}
