//! The way back: from a message to the HTTP request that says it.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use prost_reflect::DynamicMessage;
use serde_json::Value as Json;

use super::routes::{Binding, Body as BodyRule};

/// The verb, path with query, and body that say the message.
pub fn written(binding: &Binding, message: &DynamicMessage) -> (String, Vec<u8>) {
    let escaped = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let json = serde_json::to_value(message).expect("a message has a form in JSON");
    let mut path = String::new();
    for (at, segment) in binding.template.segments.iter().enumerate() {
        let variable = binding.template.variables.iter().find(|variable| variable.from == at);
        let value = variable.map(|variable| {
            let field = variable.field.iter().map(|name| snake_to_camel(name));
            match field.fold(&json, |json, name| &json[name]) {
                Json::String(text) => escaped(text),
                other => escaped(&other.to_string()),
            }
        });
        path = format!("{path}/{}", value.unwrap_or_else(|| segment.text().to_owned()));
    }
    if !binding.template.verb.is_empty() {
        path = format!("{path}:{}", binding.template.verb);
    }
    if matches!(binding.body, BodyRule::Whole) {
        return (path, json.to_string().into_bytes());
    }
    let mut query = Vec::new();
    flat(String::new(), &json, &mut query);
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    (format!("{path}?{}", query.join("&")), Vec::new())
}

fn snake_to_camel(name: &str) -> String {
    let mut parts = name.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + &part[..1].to_uppercase() + &part[1..])
}

fn flat(name: String, json: &Json, query: &mut Vec<(String, String)>) {
    match json {
        Json::Object(entries) => entries.iter().for_each(|(key, json)| {
            flat(if name.is_empty() { key.clone() } else { format!("{name}.{key}") }, json, query);
        }),
        Json::Array(items) => items.iter().for_each(|item| flat(name.clone(), item, query)),
        Json::String(text) => query.push((name, text.clone())),
        other => query.push((name, other.to_string())),
    }
}
