//! Dashboards, alerts, runbooks and the documentation agree with the list of what is measured, and with each other.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::tree::{files, none, read, root};

const ALERTS: [&str; 2] = ["alerts.yaml", "alerts-kubernetes.yaml"];
const RULES: &str = "deploy/kubernetes/components/monitoring/rules.yaml";
/// Of the page on telemetry, where the list of metrics stands.
const TABLE: [&str; 2] = ["<!-- metrics -->\n", "<!-- /metrics -->"];
/// What PromQL and Grafana say besides names of metrics.
const WORDS: [&str; 20] = [
    "absent",
    "and",
    "by",
    "count",
    "histogram_quantile",
    "increase",
    "label_values",
    "le",
    "max",
    "min",
    "on",
    "or",
    "rate",
    "sum",
    "time",
    "unless",
    "vector",
    "without",
    "ignoring",
    "avg",
];

/// The names of metrics in an expression: what is left without matchers, labels to group by, ranges and texts.
fn names(expression: &str) -> BTreeSet<String> {
    let mut bare = String::new();
    let (mut depth, mut quoted) = (0, false);
    for char in expression.chars() {
        match char {
            '"' => quoted = !quoted,
            '{' | '[' if !quoted => depth += 1,
            '}' | ']' if !quoted => depth -= 1,
            _ if quoted || depth > 0 => {}
            _ => bare.push(char),
        }
    }
    for grouping in ["by (", "without (", "on ("] {
        while let Some(at) = bare.find(grouping) {
            let end = bare[at..].find(')').map_or(bare.len(), |end| at + end + 1);
            bare.replace_range(at..end, " ");
        }
    }
    // `label_values(metric, label)`
    if let Some(rest) = bare.strip_prefix("label_values(") {
        bare = rest.split(',').next().unwrap_or_default().to_owned();
    }
    let words = bare.split(|char: char| !(char.is_ascii_alphanumeric() || char == '_'));
    let words = words.filter(|word| word.starts_with(|char: char| char.is_ascii_lowercase()));
    words.filter(|word| !WORDS.contains(word)).map(str::to_owned).collect()
}

/// Every series that the processes give, and those of Prometheus and kube-state-metrics that are used.
fn series() -> BTreeSet<String> {
    let mut series = BTreeSet::from(["up".to_owned()]);
    for meter in meters::ALL {
        let name = meter.prometheus();
        match meter.kind {
            meters::Kind::Histogram => series.extend(["_bucket", "_count", "_sum"].map(|part| name.clone() + part)),
            _ => {
                series.insert(name);
            }
        }
    }
    let states = ["kube_deployment_status_replicas_available", "kube_deployment_status_replicas_unavailable"];
    let states = states.into_iter().chain(["kube_job_failed", "kube_pod_container_status_restarts_total"]);
    series.extend(states.map(str::to_owned));
    series
}

fn alerts() -> Vec<Value> {
    let documents = ALERTS.iter().map(|file| read(&format!("deploy/observability/prometheus/{file}")));
    let documents = documents.map(|text| serde_saphyr::from_str::<Value>(&text).unwrap());
    let groups = documents.flat_map(|document| document["groups"].as_array().unwrap().clone());
    groups.flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

/// Every text under this key, however deep.
fn texts(value: &Value, key: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == key
                    && let Some(text) = value.as_str()
                {
                    found.push(text.to_owned());
                }
                texts(value, key, found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| texts(value, key, found)),
        _ => {}
    }
}

#[test]
fn dashboards_and_alerts_name_only_what_is_measured() {
    let (series, mut used) = (series(), BTreeSet::new());
    let mut faults = Vec::new();
    let mut look = |place: &str, expression: &str| {
        for name in names(expression) {
            if !series.contains(&name) {
                faults.push(format!("{place} names {name}, which nobody records"));
            }
            used.insert(name);
        }
    };
    let dashboards = files("deploy/observability/dashboards", "json");
    for dashboard in &dashboards {
        let document: Value = serde_json::from_str(&dashboard.text).unwrap();
        let mut expressions = Vec::new();
        texts(&document["panels"], "expr", &mut expressions);
        texts(&document["templating"], "query", &mut expressions);
        assert!(expressions.len() > 10, "{}", dashboard.path);
        expressions.iter().filter(|text| *text != "prometheus").for_each(|text| look(&dashboard.path, text));
    }
    for alert in alerts() {
        look(alert["alert"].as_str().unwrap(), alert["expr"].as_str().unwrap());
    }
    // What nobody looks at need not be measured.
    for meter in meters::ALL {
        let name = meter.prometheus();
        if !used
            .iter()
            .any(|used| used.strip_prefix(&name).is_some_and(|rest| ["", "_bucket", "_count", "_sum"].contains(&rest)))
        {
            faults.push(format!("no dashboard and no alert shows {name}"));
        }
    }
    none(faults);
    let named: BTreeSet<&str> =
        dashboards.iter().filter_map(|one| one.path.rsplit('/').next()?.strip_suffix(".json")).collect();
    let wanted = BTreeSet::from(["overview", "gateway", "org-service", "member-service", "authz-service"]);
    assert_eq!(named, wanted, "one overview, and one a service");
}

#[test]
fn every_alert_leads_to_its_runbook_and_every_runbook_has_an_alert() {
    let mut pages: BTreeSet<String> = files("docs/runbooks", "md").into_iter().map(|page| page.path).collect();
    let mut faults = Vec::new();
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let page = format!("docs/runbooks/{name}.md");
        if alert["annotations"]["runbook"].as_str() != Some(page.as_str()) {
            faults.push(format!("{name} does not link {page}"));
        }
        match pages.remove(&page) {
            false => faults.push(format!("{page} is missing")),
            true => {
                let text = read(&page);
                let parts = [&format!("# {name}\n"), "**What callers notice.**", "## Look", "## Mend"];
                let missing = parts.into_iter().filter(|part| !text.contains(*part));
                faults.extend(missing.map(|part| format!("{page} lacks {part:?}")));
            }
        }
    }
    faults.extend(pages.into_iter().map(|page| format!("{page} is of no alert")));
    none(faults);
}

/// Kustomize cannot put a file into a field of another, so the operator's form of the alerts is written from them.
#[test]
fn the_operators_rules_are_the_alerts() {
    let written = read(RULES);
    let head = written.split_inclusive("  groups:\n").next().unwrap();
    let mut rules = head.to_owned();
    for file in ALERTS {
        let text = read(&format!("deploy/observability/prometheus/{file}"));
        let (_, groups) = text.split_once("\ngroups:\n").unwrap();
        groups.lines().for_each(|line| rules += &format!("{}\n", format!("  {line}").trim_end()));
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(root().join(RULES), rules).unwrap();
    } else {
        assert!(rules == written, "{RULES} is not what the alerts say: UPDATE_GOLDEN=1 writes it");
    }
}

#[test]
fn the_page_on_telemetry_has_the_list_of_metrics() {
    let written = read("docs/telemetry.md");
    let (before, rest) = written.split_once(TABLE[0]).unwrap();
    let (shown, after) = rest.split_once(TABLE[1]).unwrap();
    let table = meters::table();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(root().join("docs/telemetry.md"), [before, TABLE[0], &table, TABLE[1], after].concat()).unwrap();
    } else {
        assert!(shown == table, "docs/telemetry.md has another list: UPDATE_GOLDEN=1 writes it");
    }
}

#[test]
fn what_is_measured_stands_in_the_list() {
    let own = ["counter!(", "gauge!(", "histogram!("];
    let faults = files("crates", "rs")
        .iter()
        .filter(|source| !source.path.starts_with("crates/meters/"))
        .filter(|source| own.iter().any(|word| source.code().contains(&format!("metrics::{word}"))))
        .map(|source| format!("{} records a metric by a name of its own: let it stand in crates/meters", source.path))
        .collect();
    none(faults);
}
