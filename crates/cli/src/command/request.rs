//! From a command line to the request: what --data says, and the flags over it.

use clap::ArgMatches;
use prost_reflect::{DynamicMessage, FieldDescriptor, MethodDescriptor, ReflectMessage as _, Value as Field};
use serde_json::{Map, Value};

use super::flags::{Settable, settable};
use super::value;
use crate::{Failure, contract};

/// A message from its JSON. Fields that the contract does not know are refused.
pub fn from_json(method: &MethodDescriptor, text: &str) -> Result<DynamicMessage, Failure> {
    let mut messages = each_from_json(method, text)?;
    match (messages.pop(), messages.is_empty()) {
        (Some(message), true) => Ok(message),
        _ => Err(Failure::Usage("the request is one JSON object".into())),
    }
}

/// The messages of a stream, one JSON object after the other.
pub fn each_from_json(method: &MethodDescriptor, text: &str) -> Result<Vec<DynamicMessage>, Failure> {
    let wrong =
        |error: serde_json::Error| Failure::Usage(format!("the request is no {}: {error}", method.input().full_name()));
    let values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let message = |value: Result<Value, _>| DynamicMessage::deserialize(method.input(), value?);
    values.map(|value| message(value).map_err(wrong)).collect()
}

/// The request of a command, every faulty flag named at once. `organization` is where none is given by place.
pub fn build(
    method: &MethodDescriptor,
    places: &[&str],
    matches: &ArgMatches,
    organization: Option<&str>,
) -> Result<DynamicMessage, Failure> {
    let data = matches.get_one::<String>("data").map(|data| value::read(data)).transpose()?;
    let mut request = from_json(method, data.as_deref().unwrap_or("{}"))?;
    let mut faults = Vec::new();
    let mut changed = cleared(method, matches, &mut faults);
    for settable in settable(method, places) {
        let Some(texts) = matches.get_many::<String>(&settable.id()) else { continue };
        let Settable { path, field, in_resource, .. } = settable;
        let mut values = Vec::new();
        for text in texts {
            let text = value::read(text)?;
            values.extend(value::json(&field, &text).map_err(|fault| faults.push(format!("{} {fault}", name(&path)))));
        }
        match convert(&field, values) {
            Ok(value) => set(&mut request, &path, value),
            Err(fault) => faults.push(format!("{}: {fault}", name(&path))),
        }
        if in_resource {
            changed.push(field.name().to_owned());
        }
    }
    if !faults.is_empty() {
        return Err(Failure::Usage(faults.join("\n")));
    }
    mask(&mut request, data.is_some(), changed);
    if let Some(organization) = organization.filter(|id| !id.is_empty()) {
        let field = request.descriptor().get_field_by_name("organization_id");
        if let Some(field) = field.filter(|field| !request.has_field(field)) {
            request.set_field(&field, Field::String(organization.to_owned()));
        }
    }
    Ok(request)
}

/// Behind its message's name, as the server would name it.
fn name(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

fn cleared(method: &MethodDescriptor, matches: &ArgMatches, faults: &mut Vec<String>) -> Vec<String> {
    let asked = matches.try_get_many::<String>("clear").ok().flatten();
    let mut names = Vec::new();
    for asked in asked.into_iter().flatten() {
        let field = asked.replace('-', "_");
        let resource = contract::resource(method);
        let known = resource.and_then(|r| r.kind().as_message()?.get_field_by_name(field.split('.').next()?));
        match known {
            Some(_) => names.push(field),
            None => faults.push(format!("--clear {asked}: there is no such field")),
        }
    }
    names
}

/// One field's value, read as a message that holds nothing else.
fn convert(field: &FieldDescriptor, mut values: Vec<Value>) -> Result<Field, String> {
    let value = match (field.is_list(), values.pop()) {
        (true, last) => values.into_iter().chain(last).collect(),
        (false, Some(value)) => value,
        (false, None) => return Ok(Field::default_value_for_field(field)),
    };
    let holder = Value::Object(Map::from_iter([(field.name().to_owned(), value)]));
    let message =
        DynamicMessage::deserialize(field.parent_message().clone(), holder).map_err(|error| error.to_string())?;
    Ok(message.get_field(field).into_owned())
}

fn set(message: &mut DynamicMessage, path: &str, value: Field) {
    match path.split_once('.') {
        None => message.set_field_by_name(path, value),
        Some((outer, inner)) => {
            if let Some(Field::Message(message)) = message.get_field_by_name_mut(outer) {
                set(message, inner, value);
            }
        }
    }
}

/// An update changes what its flags name. Where --data says what to change, its own mask counts too, and none at all means what
/// the server makes of that.
fn mask(request: &mut DynamicMessage, from_data: bool, changed: Vec<String>) {
    let Some(field) = request.descriptor().get_field_by_name("update_mask") else { return };
    if changed.is_empty() || (from_data && !request.has_field(&field)) {
        return;
    }
    if let Field::Message(mask) = request.get_field_mut(&field)
        && let Some(Field::List(paths)) = mask.get_field_by_name_mut("paths")
    {
        paths.extend(changed.into_iter().map(Field::String));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{flags, table};
    use super::*;

    fn request(words: &[&str], arguments: &[&str]) -> Result<Value, String> {
        let verb = table::find(words).unwrap();
        let method = contract::method(verb.method).unwrap();
        let command = flags::verb(verb).unwrap();
        let matches = command.try_get_matches_from([&["test"], arguments].concat()).map_err(|e| e.to_string())?;
        let request = build(&method, verb.places, &matches, Some("org_default")).map_err(|e| e.to_string())?;
        Ok(contract::to_json(&request))
    }

    #[test]
    fn flags_fill_the_request() {
        assert_eq!(
            request(
                &["member", "create"],
                &["ada@acme.test", "--display-name", "Ada", "--role", "owner", "--role", "admin", "--is-breakglass"]
            ),
            Ok(json!({
                "organizationId": "org_default",
                "member": {"emailAddress": "ada@acme.test", "displayName": "Ada", "isBreakglass": true},
                "roles": ["owner", "admin"]
            }))
        );
        assert_eq!(
            request(&["org", "list"], &["--kind", "team", "--page-size", "7"]),
            Ok(json!({"kind": "ORGANIZATION_KIND_TEAM", "pageSize": 7}))
        );
        assert_eq!(request(&["org", "get"], &[]), Ok(json!({"organizationId": "org_default"})));
        assert_eq!(request(&["org", "get"], &["org_1"]), Ok(json!({"organizationId": "org_1"})));
        assert_eq!(
            request(&["group", "member", "add"], &["group_1", "member_1", "sa_2"]),
            Ok(json!({
                "organizationId": "org_default",
                "groupId": "group_1",
                "subjects": [{"memberId": "member_1"}, {"serviceAccountId": "sa_2"}]
            }))
        );
    }

    #[test]
    fn an_update_names_what_it_changes() {
        assert_eq!(
            request(
                &["member", "update"],
                &["member_1", "--display-name", "Ada", "--etag", "e", "--clear", "external-id"]
            ),
            Ok(json!({
                "organizationId": "org_default",
                "member": {"memberId": "member_1", "displayName": "Ada", "etag": "e"},
                "updateMask": "externalId,displayName"
            }))
        );
        let whole = r#"{"member":{"memberId":"member_1","displayName":"Ada"}}"#;
        let sent = request(&["member", "update"], &["-d", whole, "--external-id", "7"]).unwrap();
        assert!(sent.get("updateMask").is_none(), "the server takes what is filled: {sent}");
        assert_eq!(sent["member"], json!({"memberId": "member_1", "displayName": "Ada", "externalId": "7"}));
    }

    #[test]
    fn every_fault_is_named() {
        let said = request(&["check"], &["ada", "document:read", "document"]).unwrap_err();
        assert!(said.contains("subject is") && said.contains("resource is"), "{said}");
        let said = request(&["org", "list"], &["--page-size", "many"]).unwrap_err();
        assert!(said.contains("page_size"), "{said}");
        let said = request(&["org", "list"], &["-d", r#"{"nothing":1}"#]).unwrap_err();
        assert!(said.contains("ListOrganizationsRequest"), "{said}");
        let said = request(&["member", "update"], &["member_1", "--clear", "nothing"]).unwrap_err();
        assert!(said.contains("no such field"), "{said}");
    }
}
