//! One way to one method as an operation.

use api::{Audience, Method};
use prost_reflect::{FieldDescriptor, MessageDescriptor, MethodDescriptor};
use serde_json::{Value, json};

use super::{
    comments::{Comments, first_sentence},
    schema::Schemas,
};
use crate::json::{
    Binding, BodyRule,
    fields::{is_text, leaf, nested},
};

/// Fields inside of fields inside of fields can be named in a query, and no deeper ones are listed.
const LISTED_DEPTH: usize = 3;

/// The path as OpenAPI writes it: the last name of a field stands for it, so that paths which match the same are the same.
pub fn path(binding: &Binding) -> String {
    let mut path = String::new();
    let mut at = 0;
    for variable in &binding.template.variables {
        literals(binding, at..variable.from, &mut path);
        path = format!("{path}/{{{}}}", parameter(binding, &variable.field));
        at = variable.to;
    }
    literals(binding, at..binding.template.segments.len(), &mut path);
    match binding.template.verb.as_str() {
        "" => path,
        verb => format!("{path}:{verb}"),
    }
}

fn literals(binding: &Binding, range: std::ops::Range<usize>, path: &mut String) {
    for segment in &binding.template.segments[range] {
        path.push('/');
        path.push_str(segment.text());
    }
}

fn parameter(binding: &Binding, field: &[String]) -> String {
    leaf(&binding.input, field).map_or_else(String::new, |field| field.json_name().to_owned())
}

pub fn operation(
    binding: &Binding,
    id: &str,
    method: &MethodDescriptor,
    comments: &Comments,
    schemas: &mut Schemas<'_>,
) -> Value {
    let rule = binding.method;
    let text = comments.of(method.parent_service().parent_file().name(), method.path());
    let mut operation = json!({
        "operationId": id,
        "tags": [rule.service],
        "summary": first_sentence(text),
        "description": format!("{text}\n\n{}", who(rule)),
        "parameters": parameters(binding, schemas),
        "responses": {
            "200": {
                "description": if rule.server_streaming { "A stream: one such object on each line." } else { "The answer." },
                "headers": {"x-request-id": {"$ref": "#/components/headers/x-request-id"}},
                "content": answer(binding, schemas),
            },
            "default": {"$ref": "#/components/responses/Refused"},
        },
        "x-guildhall-method": rule.path,
    });
    if rule.audience == Audience::Anyone {
        operation["security"] = json!([]);
    }
    if !rule.served {
        operation["x-guildhall-not-yet-served"] = true.into();
    }
    let content = match &binding.body {
        BodyRule::None => return operation,
        BodyRule::Whole if rule.client_streaming => {
            json!({"application/x-ndjson": {"schema": schemas.message(&binding.input)}})
        }
        BodyRule::Whole => json!({"application/json": {"schema": schemas.message(&binding.input)}}),
        BodyRule::Field(field) => json!({"application/json": {"schema": schemas.field(field)}}),
    };
    operation["requestBody"] = json!({"content": content});
    let told = match (rule.client_streaming, binding.template.variables.is_empty()) {
        (true, _) => "A stream: one such object on each line.",
        (false, false) => "What the path says need not be said again.",
        (false, true) => return operation,
    };
    operation["requestBody"]["description"] = told.into();
    operation
}

fn answer(binding: &Binding, schemas: &mut Schemas<'_>) -> Value {
    let message = schemas.message(&binding.output);
    if !binding.method.server_streaming {
        return json!({"application/json": {"schema": message}});
    }
    let status = json!({"$ref": "#/components/schemas/google.rpc.Status"});
    json!({"application/x-ndjson": {"schema": {"oneOf": [
        {"type": "object", "properties": {"result": message}, "required": ["result"]},
        {"type": "object", "properties": {"error": status}, "required": ["error"],
         "description": "The last line of a stream that failed."}]}}})
}

fn parameters(binding: &Binding, schemas: &mut Schemas<'_>) -> Vec<Value> {
    let mut parameters = Vec::new();
    let bound: Vec<FieldDescriptor> =
        binding.template.variables.iter().filter_map(|variable| leaf(&binding.input, &variable.field)).collect();
    for field in &bound {
        parameters.push(one(field.json_name(), "path", field, schemas));
    }
    if !matches!(binding.body, BodyRule::Whole) {
        let body = match &binding.body {
            BodyRule::Field(field) => Some(field),
            _ => None,
        };
        in_query(&binding.input, "", LISTED_DEPTH, &mut |name, field| {
            if !bound.contains(field) && body != Some(field) {
                parameters.push(one(name, "query", field, schemas));
            }
        });
    }
    for header in ["grpc-timeout", "x-request-id"] {
        parameters.push(json!({"$ref": format!("#/components/parameters/{header}")}));
    }
    if binding.method.service == "guildhall.gateway.v1.AuthenticationService" {
        parameters.push(json!({"$ref": "#/components/parameters/guildhall-project-id"}));
    }
    parameters
}

fn one(name: &str, place: &str, field: &FieldDescriptor, schemas: &mut Schemas<'_>) -> Value {
    let mut schema = schemas.field(field);
    let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
    let mut parameter = json!({"name": name, "in": place, "schema": schema});
    if let Some(description) = description {
        parameter["description"] = description;
    }
    if place == "path" {
        parameter["required"] = true.into();
    }
    parameter
}

fn in_query(message: &MessageDescriptor, before: &str, left: usize, each: &mut impl FnMut(&str, &FieldDescriptor)) {
    for field in message.fields() {
        let name = format!("{before}{}", field.json_name());
        match nested(&field) {
            Some(inner) if left > 0 => in_query(&inner, &format!("{name}."), left - 1, each),
            _ if is_text(&field) => each(&name, &field),
            _ => {}
        }
    }
}

fn who(method: &Method) -> String {
    let who = match method.audience {
        Audience::Anyone => "anyone; no credential is needed".to_owned(),
        Audience::Self_ => "those whom it is about".to_owned(),
        Audience::Organization => {
            format!("the organization's, with `{}`, and its project's service accounts", method.permission)
        }
        Audience::Project => "the project's service accounts".to_owned(),
        Audience::Operator => "the operator".to_owned(),
        Audience::Workload => "nobody outside".to_owned(),
    };
    let served = if method.served { "" } else { " Not served yet." };
    format!("For: {who}.{served}")
}
