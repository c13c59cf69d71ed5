//! From JSON to a message of the contract. The library reads; where it refuses, the JSON is walked once more to name every fault, as far as
//! an answer has room for them.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use runtime::Violations;
use serde_json::{Map, Value};
use tonic::Status;

use super::fields::{field, is_plain};

/// The message, or INVALID_FIELDS with everything that is wrong: besides what was found already, every fault under `at`. A caller's mistake
/// is rare, and what its second look costs is bounded by the size of the body.
pub fn read(
    descriptor: &MessageDescriptor,
    json: &Value,
    at: &str,
    mut faults: Violations,
) -> Result<DynamicMessage, Status> {
    let message = library(descriptor, json);
    if message.is_err() || !faults.is_empty() || twice(descriptor, json) {
        walk(descriptor, json, at, &mut faults);
    }
    if let (Err(error), true) = (&message, faults.is_empty()) {
        faults.add(at, error);
    }
    faults.all((message.ok(),)).map(|(message,)| message)
}

fn library(descriptor: &MessageDescriptor, json: &Value) -> Result<DynamicMessage, String> {
    DynamicMessage::deserialize(descriptor.clone(), json).map_err(|error| error.to_string())
}

/// Whether one field stands somewhere under both of its names, of which the library would take the last.
fn twice(descriptor: &MessageDescriptor, json: &Value) -> bool {
    let Value::Object(entries) = json else { return false };
    if !is_plain(descriptor) {
        return false;
    }
    entries.iter().any(|(name, value)| {
        let Some(field) = field(descriptor, name) else { return false };
        field.json_name() != name && entries.contains_key(field.json_name()) || inside(&field, value)
    })
}

fn inside(field: &FieldDescriptor, value: &Value) -> bool {
    let Kind::Message(message) = field.kind() else { return false };
    match value {
        Value::Object(entries) if field.is_map() => match message.map_entry_value_field().kind() {
            Kind::Message(of_value) => entries.values().any(|value| twice(&of_value, value)),
            _ => false,
        },
        Value::Array(items) if field.is_list() => items.iter().any(|item| twice(&message, item)),
        value => twice(&message, value),
    }
}

fn walk(descriptor: &MessageDescriptor, json: &Value, at: &str, faults: &mut Violations) {
    let Value::Object(entries) = json else {
        faults.add(at, "must be an object");
        return;
    };
    for (name, value) in entries {
        if faults.is_full() {
            return;
        }
        let Some(field) = field(descriptor, name) else {
            faults.add(join(at, &shortened(name)), "no such field");
            continue;
        };
        let at = join(at, field.name());
        if field.json_name() != name && entries.contains_key(field.json_name()) {
            faults.add(&at, "stands there twice, by two names");
        }
        if !value.is_null() {
            walk_field(&field, value, &at, faults);
        }
    }
    for one_of in descriptor.oneofs() {
        let given = |f: &FieldDescriptor| {
            [f.json_name(), f.name()].iter().any(|n| entries.get(*n).is_some_and(|v| !v.is_null()))
        };
        let named: Vec<String> = one_of.fields().filter(given).map(|field| field.name().to_owned()).collect();
        if named.len() > 1 {
            faults.add(join(at, one_of.name()), format!("only one of {} may be given", named.join(", ")));
        }
    }
}

fn walk_field(field: &FieldDescriptor, value: &Value, at: &str, faults: &mut Violations) {
    match (field.kind(), value) {
        (Kind::Message(message), Value::Object(entries)) if field.is_map() => {
            for (key, value) in entries {
                if faults.is_full() {
                    return;
                }
                let at = format!("{at}[{}]", shortened(key));
                match message.map_entry_value_field().kind() {
                    Kind::Message(of_value) if is_plain(&of_value) => {
                        alone(field, Map::from_iter([(key.clone(), Value::Object(Map::new()))]).into(), &at, faults);
                        walk(&of_value, value, &at, faults);
                    }
                    _ => alone(field, Map::from_iter([(key.clone(), value.clone())]).into(), &at, faults),
                }
            }
        }
        (kind, Value::Array(items)) if field.is_list() => {
            for (index, item) in items.iter().enumerate() {
                if faults.is_full() {
                    return;
                }
                let at = format!("{at}[{index}]");
                match &kind {
                    Kind::Message(message) if is_plain(message) => walk(message, item, &at, faults),
                    _ => alone(field, Value::Array(vec![item.clone()]), &at, faults),
                }
            }
        }
        (Kind::Message(message), value) if !field.is_list() && !field.is_map() && is_plain(&message) => {
            walk(&message, value, at, faults);
        }
        _ => alone(field, value.clone(), at, faults),
    }
}

/// What the library says of one value in one field.
fn alone(field: &FieldDescriptor, value: Value, at: &str, faults: &mut Violations) {
    let one = Map::from_iter([(field.json_name().to_owned(), value)]);
    if let Err(error) = library(field.parent_message(), &one.into()) {
        faults.add(at, shortened(&error));
    }
}

fn join(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

/// What a caller wrote comes back to them, but not all of it.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 200;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text.to_owned(),
    }
}
