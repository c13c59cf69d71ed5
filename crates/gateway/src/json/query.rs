//! What the query and the path say, as JSON of the request: so there is one reading of it, whichever way it came.

use std::{collections::BTreeMap, fmt::Display};

use prost_reflect::{Kind, MessageDescriptor};
use runtime::Violations;
use serde_json::{Map, Value};

use super::{
    fields::{field, leaf, nested, scalar},
    routes::Captured,
};

/// Adds the parameters of a query to the request: nested fields by dots, lists by repetition.
pub fn add_query(message: &MessageDescriptor, query: &str, into: &mut Map<String, Value>, faults: &mut Violations) {
    let mut given: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        given.entry(name.into_owned()).or_default().push(value.into_owned());
    }
    for (name, values) in given {
        let names: Vec<&str> = name.split('.').collect();
        let Some(field) = leaf(message, &names) else {
            faults.add(shown(&name), "no such parameter");
            continue;
        };
        let kind = scalar(&field);
        let mut values: Vec<Value> = values.into_iter().map(|text| of_text(&kind, text)).collect();
        let value = match (field.is_list(), values.len()) {
            (true, _) => Value::Array(values),
            (false, 1) => values.remove(0),
            (false, _) => {
                faults.add(shown(&name), "stands there twice");
                continue;
            }
        };
        match place(message, &names, into) {
            Some(slot @ Value::Null) => *slot = value,
            _ => faults.add(shown(&name), "stands there twice, by two names"),
        }
    }
}

/// Adds what the path says. The body may say it too, as a resource does that is sent back whole, but nothing else.
pub fn add_path(
    message: &MessageDescriptor,
    captured: Captured,
    into: &mut Map<String, Value>,
    faults: &mut Violations,
) {
    for (names, text) in captured {
        let Some(field) = leaf(message, &names) else { continue };
        let value = of_text(&scalar(&field), text);
        match place(message, &names, into) {
            Some(slot @ Value::Null) => *slot = value,
            Some(slot) if *slot == value => {}
            _ => faults.add(names.join("."), "is another one in the path"),
        }
    }
}

/// Where a nested field stands; null where it does not yet. None: something that is no object stands in between.
fn place<'a, S: AsRef<str>>(
    message: &MessageDescriptor,
    names: &[S],
    into: &'a mut Map<String, Value>,
) -> Option<&'a mut Value> {
    let (first, rest) = names.split_first()?;
    let found = field(message, first.as_ref())?;
    let key = if into.contains_key(found.name()) { found.name() } else { found.json_name() };
    let slot = into.entry(key).or_insert(Value::Null);
    if rest.is_empty() {
        return Some(slot);
    }
    if slot.is_null() {
        *slot = Value::Object(Map::new());
    }
    match slot {
        Value::Object(inner) => place(&nested(&found)?, rest, inner),
        _ => None,
    }
}

/// Numbers may be written as texts in JSON; booleans and the numbers of enums may not.
fn of_text(kind: &Kind, text: String) -> Value {
    match (kind, text.as_str()) {
        (Kind::Bool, "true") => Value::Bool(true),
        (Kind::Bool, "false") => Value::Bool(false),
        (Kind::Enum(_), number) => number.parse::<i32>().map_or(Value::String(text), Value::from),
        _ => Value::String(text),
    }
}

fn shown(name: impl Display) -> String {
    format!("{name:.200}")
}
