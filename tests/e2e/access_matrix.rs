//! Every method of the contract, called by every kind of caller, beside one table. A method without a row fails; so does a row
//! that no longer tells the truth. `UPDATE_GOLDEN=1 make test` writes the table anew, for somebody to read.

use std::{collections::BTreeMap, env, fmt::Write as _, fs, path::PathBuf};

use api::{METHODS, Method};
use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Caller, Organization, Refused},
};
use tonic::Code;

const COLUMNS: [&str; 8] = ["nobody", "member", "stranger", "owner", "project", "other", "operator", "workload"];

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("e2e/access_matrix.txt")
}

fn short(method: &Method) -> String {
    format!("{}/{}", method.service.trim_start_matches("guildhall."), method.name)
}

/// What the door said. Behind the door a call with next to nothing in it may fail in many ways: that is `in`.
fn outcome(answer: Result<(), Refused>) -> &'static str {
    let Err(refused) = answer else { return "in" };
    let organization = refused.reason == "NOT_FOUND" && refused.message == "no such organization";
    match (refused.code, refused.reason.as_str()) {
        (Code::Unauthenticated, "UNAUTHENTICATED") => "unauthenticated",
        (Code::PermissionDenied, "WRONG_AUDIENCE") => "audience",
        (Code::PermissionDenied, "PERMISSION_MISSING") => "permission",
        (Code::NotFound, _) if organization => "not-found",
        (Code::Unimplemented, "NOT_YET_SERVED") => "not-served",
        (Code::Unimplemented, "UNKNOWN_METHOD") => "unknown",
        (Code::Unavailable | Code::Internal | Code::DeadlineExceeded | Code::Unknown | Code::Cancelled, _) => {
            panic!("no answer of the door: {refused:?}")
        }
        _ => "in",
    }
}

fn request(method: &Method, organization: &Organization<'_>) -> Value {
    let pool = prost_reflect::DescriptorPool::decode(api::FILE_DESCRIPTOR_SET).unwrap();
    let input = pool.get_message_by_name(method.input).unwrap();
    let named = input.get_field(1).is_some_and(|f| f.name() == "organization_id" && f.containing_oneof().is_none());
    if named { json!({"organization_id": organization.id}) } else { json!({}) }
}

fn home(method: &Method) -> &'static str {
    match method.service.split('.').nth(1) {
        Some("org") => "org-service",
        Some("member") => "member-service",
        Some("authz") => "authz-service",
        // Implemented by all three.
        Some("event") => "org-service",
        _ => "gateway",
    }
}

async fn row(method: &'static Method, callers: &BTreeMap<&str, Caller>, acme: &Organization<'_>) -> String {
    let name = format!("{}/{}", method.service, method.name);
    let mut row = String::new();
    // What ends an organization is tried on one of its own.
    let ends = ["DeleteOrganization", "SuspendOrganization"].contains(&method.name);
    let doomed = if ends { Some(acme.project.organization("doomed").await) } else { None };
    let acme = doomed.as_ref().unwrap_or(acme);
    for column in COLUMNS {
        let signing_out = method.name == "SignOut" && ["member", "stranger", "owner"].contains(&column);
        let caller = match column {
            _ if signing_out => acme.join("leaving", &[]).await.caller,
            "member" if ends => acme.join("member", &[]).await.caller,
            "owner" if ends => acme.owner().caller.clone(),
            _ => callers[column].clone(),
        };
        let caller = match column {
            // A service calls services, not the public door.
            "workload" if home(method) == "gateway" => callers["workload"].clone(),
            "workload" => acme.project.cluster.workload("member-service", home(method)),
            _ => caller,
        };
        // A stream that is let in may have no end.
        let (name, request) = (name.as_str(), request(method, acme));
        let answer = match method.server_streaming {
            true => caller.try_begin(name, request).await,
            false => caller.insist(name, request).await.map(drop),
        };
        let said = outcome(answer);
        let _ = write!(row, " {said:<15}");
    }
    row.trim_end().to_owned()
}

#[tokio::test]
async fn every_method_lets_in_whom_its_row_says() {
    let cluster = Cluster::shared().await;
    let (project, elsewhere) = (cluster.project().await, cluster.project().await);
    let acme = project.organization("acme").await;
    let globex = project.organization("globex").await;
    let callers = BTreeMap::from([
        ("nobody", project.anyone()),
        ("member", acme.join("member", &[]).await.caller),
        ("stranger", globex.owner().caller.clone()),
        ("owner", acme.owner().caller.clone()),
        ("project", project.account.clone()),
        ("other", elsewhere.account.clone()),
        ("operator", cluster.operator().await),
        ("workload", cluster.workload("member-service", "gateway")),
    ]);
    let mut table = format!("{:<58}", "# method");
    for column in COLUMNS {
        let _ = write!(table, " {column:<15}");
    }
    table = table.trim_end().to_owned() + "\n";
    for method in METHODS {
        let row = row(method, &callers, &acme).await;
        let _ = writeln!(table, "{:<58}{row}", short(method));
    }
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(golden(), &table).unwrap();
    }
    let kept = fs::read_to_string(golden()).unwrap_or_default();
    let differences: Vec<String> = table
        .lines()
        .filter(|line| !kept.lines().any(|k| k == *line))
        .map(|line| format!("now: {line}"))
        .chain(kept.lines().filter(|line| !table.lines().any(|t| t == *line)).map(|line| format!("was: {line}")))
        .collect();
    assert!(differences.is_empty(), "the access matrix differs:\n{}", differences.join("\n"));
}

/// What the table may say at all, so that nobody blesses a hole.
#[test]
fn the_table_itself_keeps_the_rules() {
    let table = fs::read_to_string(golden()).unwrap();
    let rows: BTreeMap<&str, Vec<&str>> = table
        .lines()
        .skip(1)
        .map(|line| {
            let mut words = line.split_whitespace();
            (words.next().unwrap(), words.collect())
        })
        .collect();
    for method in METHODS {
        let name = short(method);
        let row = rows.get(name.as_str()).unwrap_or_else(|| panic!("{name} has no row"));
        let said = |column: &str| row[COLUMNS.iter().position(|c| *c == column).unwrap()];
        let open = method.audience == api::Audience::Anyone || !method.served;
        assert!(open || said("nobody") != "in", "{name} lets nobody in");
        if method.audience == api::Audience::Workload {
            for column in &COLUMNS[..7] {
                assert_eq!(said(column), "unknown", "{name} is known outside, to {column}");
            }
        }
        if method.audience == api::Audience::Organization && method.served {
            for column in ["stranger", "other"] {
                assert_ne!(said(column), "in", "{name} lets in {column}");
                assert_ne!(said(column), "permission", "{name} tells {column} that the organization exists");
            }
        }
        assert!(method.workloads.contains(&"member-service") || said("workload") != "in", "{name} lets a workload in");
    }
}
