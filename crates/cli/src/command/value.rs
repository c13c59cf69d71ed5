//! What stands behind a flag, as the JSON of its field.

use std::io::Read as _;

use prost_reflect::{FieldDescriptor, Kind};
use serde_json::{Value, json};

use crate::Failure;

/// The forms of a field's value, for the help.
pub fn form(field: &FieldDescriptor) -> String {
    if field.is_map() {
        return "JSON".to_owned();
    }
    match field.kind() {
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => "TIME",
            "google.protobuf.Duration" => "SECONDS",
            "google.protobuf.FieldMask" => "FIELDS",
            "guildhall.authz.v1.Subject" => "SUBJECT",
            "guildhall.authz.v1.Resource" => "TYPE/ID",
            "guildhall.authz.v1.Consistency" => "REVISION",
            "guildhall.event.v1.Actor" => "ACTOR",
            _ => "JSON",
        }
        .to_owned(),
        Kind::Bool => "BOOL".to_owned(),
        Kind::String => {
            let name = field.name();
            let one = if field.is_list() { name.strip_suffix('s').unwrap_or(name) } else { name };
            one.to_ascii_uppercase()
        }
        Kind::Bytes => "BASE64".to_owned(),
        Kind::Enum(_) => "WORD".to_owned(),
        _ => "NUMBER".to_owned(),
    }
}

/// `@file` is what the file holds, `@-` what standard input does, without the line break at its end; `@@` is a plain `@`.
pub fn read(text: &str) -> Result<String, Failure> {
    let Some(name) = text.strip_prefix('@') else { return Ok(text.to_owned()) };
    if name.starts_with('@') {
        return Ok(name.to_owned());
    }
    let mut held = String::new();
    if name == "-" {
        std::io::stdin().lock().read_to_string(&mut held).map_err(Failure::system("cannot read standard input"))?;
    } else {
        held = std::fs::read_to_string(name).map_err(Failure::file("cannot read", name))?;
    }
    let end = held.strip_suffix('\n').map_or(held.len(), |rest| rest.strip_suffix('\r').unwrap_or(rest).len());
    held.truncate(end);
    Ok(held)
}

/// One value as people write it. Numbers stay texts: proto3 JSON takes both, and a text keeps every digit.
pub fn json(field: &FieldDescriptor, text: &str) -> Result<Value, String> {
    let kind = field.kind();
    let message = kind.as_message().filter(|_| !field.is_map());
    match message.map(|message| message.full_name()) {
        Some("google.protobuf.Timestamp" | "google.protobuf.FieldMask") => Ok(Value::from(text)),
        Some("google.protobuf.Duration") => {
            Ok(Value::from(if text.ends_with('s') { text.to_owned() } else { format!("{text}s") }))
        }
        Some(_) if text.trim_start().starts_with('{') => parse(text),
        Some("guildhall.authz.v1.Subject") => subject(text),
        Some("guildhall.authz.v1.Resource") => resource(text),
        Some("guildhall.authz.v1.Consistency") => Ok(match text {
            "minimize-latency" => json!({"minimize_latency": true}),
            "fully-consistent" => json!({"fully_consistent": true}),
            revision => json!({"at_least_as_fresh": revision}),
        }),
        Some("guildhall.event.v1.Actor") => match text {
            "operator" | "anonymous" => Ok(json!({ text: true })),
            _ if text.starts_with("member_") || text.starts_with("sa_") => subject(text),
            workload => Ok(json!({"workload": workload})),
        },
        Some(_) => parse(text),
        None if field.is_map() => parse(text),
        None => Ok(match &kind {
            Kind::Bool => Value::from(text == "true"),
            Kind::Enum(values) => {
                let words = crate::contract::words(values);
                let found = words.into_iter().find(|(word, name)| word.eq_ignore_ascii_case(text) || name == text);
                Value::from(found.map_or_else(|| text.to_owned(), |(_, name)| name))
            }
            _ => Value::from(text),
        }),
    }
}

fn parse(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))
}

fn subject(text: &str) -> Result<Value, String> {
    let kind = match text.split_once('_') {
        Some(("member", _)) => "member_id",
        Some(("sa", _)) => "service_account_id",
        Some(("group", _)) => "group_id",
        _ if text == "all-members" => return Ok(json!({"all_members": true})),
        _ => return Err("is a member_.., sa_.. or group_.. id, or all-members".to_owned()),
    };
    Ok(json!({ kind: text }))
}

fn resource(text: &str) -> Result<Value, String> {
    // A type holds neither, an id may hold both.
    let (kind, id) = text.split_once(['/', ':']).ok_or("is TYPE/ID, such as document/42")?;
    Ok(json!({"type": kind, "id": id}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract;

    fn field(method: &str, path: &str) -> FieldDescriptor {
        let mut names = path.split('.').peekable();
        let mut message = contract::method(method).unwrap().input();
        loop {
            let field = message.get_field_by_name(names.next().unwrap()).unwrap();
            if names.peek().is_none() {
                return field;
            }
            message = field.kind().as_message().unwrap().clone();
        }
    }

    #[test]
    fn people_write_ids_words_and_pairs() {
        let check = "AuthorizationService/Check";
        for (path, text, expected) in [
            ("subject", "member_01", json!({"member_id": "member_01"})),
            ("subject", "sa_01", json!({"service_account_id": "sa_01"})),
            ("subject", "group_01", json!({"group_id": "group_01"})),
            ("subject", "all-members", json!({"all_members": true})),
            ("subject", r#"{"memberId":"x"}"#, json!({"memberId": "x"})),
            ("resource", "document/a:b/c", json!({"type": "document", "id": "a:b/c"})),
            ("resource", "document:a/b", json!({"type": "document", "id": "a/b"})),
            ("consistency", "fully-consistent", json!({"fully_consistent": true})),
            ("consistency", "r1", json!({"at_least_as_fresh": "r1"})),
            ("context", r#"{"a":1}"#, json!({"a": 1})),
        ] {
            assert_eq!(json(&field(check, path), text), Ok(expected), "{path} {text}");
        }
        for (path, text) in [("subject", "ada"), ("resource", "document"), ("context", "{")] {
            assert!(json(&field(check, path), text).is_err(), "{path} {text}");
        }
        let kind = field("OrganizationService/CreateOrganization", "organization.kind");
        for text in ["team", "TEAM", "ORGANIZATION_KIND_TEAM"] {
            assert_eq!(json(&kind, text), Ok(json!("ORGANIZATION_KIND_TEAM")));
        }
        let lifetime = field("ProjectService/CreateProject", "project.token_settings.access_token_lifetime");
        assert_eq!(json(&lifetime, "60"), Ok(json!("60s")));
        assert_eq!(json(&field("EventService/ListEvents", "actor"), "operator"), Ok(json!({"operator": true})));
    }

    #[test]
    fn a_value_may_come_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "correct horse\r\n").unwrap();
        assert_eq!(read(&format!("@{}", path.display())).unwrap(), "correct horse");
        assert_eq!(read("@@home").unwrap(), "@home");
        assert_eq!(read("a@b").unwrap(), "a@b");
        assert!(read("@/does/not/exist").is_err());
    }
}
