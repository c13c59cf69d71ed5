//! `/openapi.json`: a valid document of every public method, and of nothing else.

use std::collections::BTreeSet;

use api::{Audience, METHODS};
use serde_json::Value;
use testkit::{Cluster, http};

use crate::web;

async fn document() -> Value {
    let (status, document) = http::get(Cluster::shared().await.access().gateway, "/openapi.json").await;
    assert_eq!(status, 200);
    document
}

/// Every value of a key, however deep it stands.
fn all<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(entries) => {
            found.extend(entries.get(key));
            entries.values().for_each(|inner| all(inner, key, found));
        }
        Value::Array(items) => items.iter().for_each(|inner| all(inner, key, found)),
        _ => {}
    }
}

fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| item.as_object().unwrap().iter().map(|(verb, o)| (path.as_str(), verb.as_str(), o)))
        .collect()
}

#[tokio::test]
async fn every_public_method_is_in_it_and_nothing_else() {
    let document = document().await;
    assert_eq!(document["openapi"], "3.1.0");
    let operations = operations(&document);
    let told: BTreeSet<&str> = operations.iter().map(|(_, _, o)| o["x-guildhall-method"].as_str().unwrap()).collect();
    let public = METHODS.iter().filter(|method| method.audience != Audience::Workload);
    assert_eq!(told, public.clone().map(|method| method.path).collect());
    let ways: usize = public.map(|method| 1 + method.also_http.len()).sum();
    assert_eq!(operations.len(), ways, "each way to each of them");

    let ids: BTreeSet<&str> = operations.iter().map(|(_, _, o)| o["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), operations.len(), "every operationId is its own");
    let mut shapes = BTreeSet::new();
    for (path, verb, operation) in &operations {
        let shape: String = path
            .split('/')
            .map(|s| if s.starts_with('{') { s.split_once('}').unwrap().1 } else { s })
            .collect::<Vec<_>>()
            .join("/");
        assert!(shapes.insert((shape.clone(), *verb)), "{verb} {shape} is there twice");
        for text in ["summary", "description"] {
            assert!(operation[text].as_str().is_some_and(|text| text.len() > 3), "{path} has no {text}");
        }
        // Each variable of the path is a parameter, and the other way round.
        let named: BTreeSet<&str> = path.split('{').skip(1).map(|part| part.split('}').next().unwrap()).collect();
        let parameters = operation["parameters"].as_array().unwrap();
        let in_path = parameters.iter().filter(|p| p["in"] == "path").map(|p| p["name"].as_str().unwrap()).collect();
        assert_eq!(named, in_path, "{path}");
        let names: BTreeSet<String> = parameters.iter().map(Value::to_string).collect();
        assert_eq!(names.len(), parameters.len(), "{path} has a parameter twice");
        let open = METHODS.iter().any(|m| operation["x-guildhall-method"] == m.path && m.audience == Audience::Anyone);
        assert_eq!(operation["security"].is_array(), open, "{path}");
        assert!(operation["responses"]["200"]["content"].is_object() && operation["responses"]["default"].is_object());
    }
}

#[tokio::test]
async fn what_it_refers_to_is_there_and_what_is_there_is_referred_to() {
    let document = document().await;
    let mut references = Vec::new();
    all(&document, "$ref", &mut references);
    assert!(references.len() > 500, "{}", references.len());
    for reference in &references {
        let pointer = reference.as_str().unwrap().strip_prefix('#').unwrap_or_else(|| panic!("{reference} leads away"));
        assert!(document.pointer(pointer).is_some_and(Value::is_object), "{reference} leads nowhere");
    }
    let mentioned: BTreeSet<&str> = references.iter().map(|r| r.as_str().unwrap()).collect();
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(mentioned.contains(format!("#/components/schemas/{name}").as_str()), "nobody refers to {name}");
    }
    // What is the installation's own business is in no schema.
    for workload in METHODS.iter().filter(|method| method.audience == Audience::Workload) {
        assert!(document["components"]["schemas"].get(workload.input).is_none(), "{}", workload.input);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_specification_s_own_schema_accepts_it() {
    let Some(verdict) = web::run("openapi.mjs", &[], &document().await) else { return };
    assert_eq!((&verdict["valid"], &verdict["version"]), (&Value::Bool(true), &Value::from("3.1")), "{verdict:.2000}");
}

#[tokio::test]
async fn who_has_it_is_not_sent_it_again() {
    let gateway = Cluster::shared().await.access().gateway;
    let ask = async |headers: &str| {
        let request = format!("GET /openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
        http::send(gateway, &request).await
    };
    let (status, head, _) = ask("").await;
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("an ETag").to_owned();
    assert_eq!(status, 200);
    for (known, expected) in
        [(tag.as_str(), 304), ("\"other\"", 200), (&format!("\"other\", W/{tag}"), 304), ("*", 304)]
    {
        let (status, _, body) = ask(&format!("If-None-Match: {known}\r\n")).await;
        assert_eq!((status, body.is_empty()), (expected, expected == 304), "{known}");
    }
}
