//! Messages and enums as JSON schemas, in the form that JSON has of them.

use std::collections::BTreeMap;

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::comments::Comments;
use crate::json::fields::is_plain;

/// The schemas that were referred to, each once.
#[derive(Debug)]
pub struct Schemas<'a> {
    comments: &'a Comments,
    /// Null while one is being written, so that what refers to itself ends.
    written: BTreeMap<String, Value>,
}

impl<'a> Schemas<'a> {
    pub fn new(comments: &'a Comments) -> Self {
        Self { comments, written: BTreeMap::new() }
    }

    pub fn into_components(self) -> Value {
        self.written.into_iter().collect::<Map<_, _>>().into()
    }

    pub fn message(&mut self, message: &MessageDescriptor) -> Value {
        if !is_plain(message) {
            return well_known(message.name());
        }
        if !self.written.contains_key(message.full_name()) {
            self.written.insert(message.full_name().to_owned(), Value::Null);
            let properties: Map<String, Value> =
                message.fields().map(|field| (field.json_name().to_owned(), self.field(&field))).collect();
            let mut description = vec![self.of(message.parent_file().name(), message.path())];
            description.extend(message.oneofs().filter(|one_of| !one_of.is_synthetic()).map(|one_of| {
                let names: Vec<String> = one_of.fields().map(|field| format!("`{}`", field.json_name())).collect();
                format!("At most one of {}.", names.join(", "))
            }));
            let mut schema = json!({"type": "object", "properties": properties});
            describe(&mut schema, &description.join("\n\n"));
            self.written.insert(message.full_name().to_owned(), schema);
        }
        reference(message.full_name())
    }

    /// With what the contract says of it.
    pub fn field(&mut self, field: &FieldDescriptor) -> Value {
        let mut schema = match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                let value = self.kind(&entry.map_entry_value_field().kind());
                json!({"type": "object", "additionalProperties": value})
            }
            kind if field.is_list() => json!({"type": "array", "items": self.kind(&kind)}),
            kind => self.kind(&kind),
        };
        let text = self.of(field.parent_message().parent_file().name(), field.path());
        describe(&mut schema, &text);
        if text.starts_with("Output only") {
            schema["readOnly"] = true.into();
        }
        schema
    }

    fn kind(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Message(message) => self.message(message),
            Kind::Enum(named) => self.named(named),
            scalar => self::scalar(scalar),
        }
    }

    fn named(&mut self, named: &EnumDescriptor) -> Value {
        if named.full_name() == "google.protobuf.NullValue" {
            return json!({"type": "null"});
        }
        if !self.written.contains_key(named.full_name()) {
            let file = named.parent_file();
            let values: Vec<String> = named.values().map(|value| value.name().to_owned()).collect();
            let told = named.values().filter_map(|value| {
                let text = self.of(file.name(), value.path());
                (!text.is_empty()).then(|| format!("- `{}`: {}", value.name(), text.replace('\n', " ")))
            });
            let told = told.collect::<Vec<_>>().join("\n");
            let mut schema = json!({"type": "string", "enum": values});
            describe(&mut schema, format!("{}\n\n{told}", self.of(file.name(), named.path())).trim());
            self.written.insert(named.full_name().to_owned(), schema);
        }
        reference(named.full_name())
    }

    fn of(&self, file: &str, path: &[i32]) -> String {
        self.comments.of(file, path).to_owned()
    }
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn describe(schema: &mut Value, text: &str) {
    if !text.trim().is_empty() {
        schema["description"] = text.trim().into();
    }
}

fn scalar(kind: &Kind) -> Value {
    match kind {
        Kind::Bool => json!({"type": "boolean"}),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({"type": "integer", "format": "int32"}),
        Kind::Uint32 | Kind::Fixed32 => json!({"type": "integer", "format": "int64", "minimum": 0}),
        // In JSON a number is a double, which holds 53 bits.
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => json!({"type": "string", "format": "int64"}),
        Kind::Uint64 | Kind::Fixed64 => json!({"type": "string", "format": "uint64"}),
        Kind::Double | Kind::Float => json!({"oneOf": [
            {"type": "number", "format": "double"}, {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]}]}),
        Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
        Kind::String | Kind::Message(_) | Kind::Enum(_) => json!({"type": "string"}),
    }
}

/// The messages of `google.protobuf`, which have forms of their own.
fn well_known(name: &str) -> Value {
    match name {
        "Timestamp" => json!({"type": "string", "format": "date-time"}),
        "Duration" => json!({"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$", "examples": ["3600s"]}),
        "FieldMask" => json!({"type": "string", "examples": ["displayName,metadata"]}),
        "Struct" => json!({"type": "object", "additionalProperties": true}),
        "ListValue" => json!({"type": "array", "items": {}}),
        "Value" => json!({}),
        "Any" => json!({"type": "object", "properties": {"@type": {"type": "string"}}, "additionalProperties": true}),
        "Empty" => json!({"type": "object", "additionalProperties": false}),
        "BoolValue" => scalar(&Kind::Bool),
        "Int32Value" => scalar(&Kind::Int32),
        "UInt32Value" => scalar(&Kind::Uint32),
        "Int64Value" => scalar(&Kind::Int64),
        "UInt64Value" => scalar(&Kind::Uint64),
        "FloatValue" | "DoubleValue" => scalar(&Kind::Double),
        "BytesValue" => scalar(&Kind::Bytes),
        _ => scalar(&Kind::String),
    }
}

/// `google.rpc.Status` with the details that refusals carry.
pub fn refusals() -> [(&'static str, Value); 6] {
    let detail = |name: &str, description: &str, mut properties: Value| {
        properties["@type"] = json!({"const": format!("type.googleapis.com/google.rpc.{name}")});
        json!({"type": "object", "description": description, "properties": properties, "required": ["@type"]})
    };
    let violations = |keys: [&str; 2]| {
        let properties: Map<String, Value> =
            keys.iter().map(|key| ((*key).to_owned(), json!({"type": "string"}))).collect();
        json!({"type": "array", "items": {"type": "object", "properties": properties}})
    };
    let names = ["ErrorInfo", "BadRequest", "QuotaFailure", "PreconditionFailure", "RetryInfo"];
    let details: Vec<Value> = names.iter().map(|name| reference(&format!("google.rpc.{name}"))).collect();
    [
        (
            "google.rpc.Status",
            json!({"type": "object", "description": "Why a call was refused.", "properties": {
                "code": {"type": "integer", "format": "int32", "description": "The code of `google.rpc.Code`."},
                "message": {"type": "string", "description": "For people. Programs decide on code and reason."},
                "details": {"type": "array", "items": {"oneOf": details}}}}),
        ),
        (
            "google.rpc.ErrorInfo",
            detail(
                "ErrorInfo",
                "In every refusal.",
                json!({
                "reason": {"type": "string", "description": "A name of guildhall.access.v1.ErrorReason without its prefix, such as `NOT_FOUND`. There may be new ones."},
                "domain": {"type": "string", "description": "`guildhall.dev`"},
                "metadata": {"type": "object", "additionalProperties": {"type": "string"}}}),
            ),
        ),
        (
            "google.rpc.BadRequest",
            detail(
                "BadRequest",
                "Every field that is wrong.",
                json!({"fieldViolations": violations(["field", "description"])}),
            ),
        ),
        (
            "google.rpc.QuotaFailure",
            detail("QuotaFailure", "What ran out.", json!({"violations": violations(["subject", "description"])})),
        ),
        (
            "google.rpc.PreconditionFailure",
            detail(
                "PreconditionFailure",
                "What does not hold.",
                json!({"violations": {"type": "array", "items": {
                "type": "object", "properties": {"type": {"type": "string"}, "subject": {"type": "string"}, "description": {"type": "string"}}}}}),
            ),
        ),
        (
            "google.rpc.RetryInfo",
            detail("RetryInfo", "When to come again, at the earliest.", json!({"retryDelay": well_known("Duration")})),
        ),
    ]
}
