//! Fields of a request by the names that callers give them: those of the contract (`display_name`) and those of JSON (`displayName`).

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

pub fn field(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message.get_field_by_json_name(name).or_else(|| message.get_field_by_name(name))
}

/// The field that a path or a query gives as text, which may stand inside of messages.
pub fn leaf<S: AsRef<str>>(message: &MessageDescriptor, names: &[S]) -> Option<FieldDescriptor> {
    let (last, before) = names.split_last()?;
    let mut message = message.clone();
    for name in before {
        message = nested(&field(&message, name.as_ref())?)?;
    }
    field(&message, last.as_ref()).filter(is_text)
}

/// The message of a field that has fields of its own in JSON.
pub fn nested(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(message) if !field.is_list() && !field.is_map() && is_plain(&message) => Some(message),
        _ => None,
    }
}

/// Whether the message is an object of its fields in JSON, and not a form of its own as a time is.
pub fn is_plain(message: &MessageDescriptor) -> bool {
    message.package_name() != "google.protobuf"
}

/// Whether a text says it: scalars, enums, times, durations, masks and wrapped scalars, and lists of these.
pub fn is_text(field: &FieldDescriptor) -> bool {
    match field.kind() {
        Kind::Message(message) => {
            let form = message.full_name().strip_prefix("google.protobuf.").unwrap_or_default();
            matches!(form, "Timestamp" | "Duration" | "FieldMask")
                || form.len() > 5 && form.ends_with("Value") && form != "ListValue"
        }
        _ => true,
    }
}

/// What a scalar's text stands for, where it is wrapped too.
pub fn scalar(field: &FieldDescriptor) -> Kind {
    match field.kind() {
        Kind::Message(message) if message.full_name().ends_with("Value") => {
            message.get_field_by_name("value").map_or(Kind::String, |value| value.kind())
        }
        kind => kind,
    }
}
