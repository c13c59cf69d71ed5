//! From one type to another.

use super::evaluate::{Evaluated, Stop, failed};
use super::moment;
use super::value::Value;

/// Numbers in texts are short; others are not read.
fn short(text: &str) -> Result<&str, Stop> {
    if text.len() > 64 { failed("the text is too long for a number") } else { Ok(text) }
}

pub(super) fn to_bool(value: &Value) -> Evaluated {
    match value {
        Value::Bool(_) => Ok(value.clone()),
        Value::Text(text) => match &**text {
            "true" | "True" | "TRUE" | "t" | "1" => Ok(Value::Bool(true)),
            "false" | "False" | "FALSE" | "f" | "0" => Ok(Value::Bool(false)),
            _ => failed("the text is neither true nor false"),
        },
        other => failed(format!("`bool` does not take a {}", other.kind())),
    }
}

pub(super) fn to_int(value: &Value) -> Evaluated {
    let read = match value {
        Value::Int(value) => Some(*value),
        Value::Uint(value) => i64::try_from(*value).ok(),
        Value::Double(value) => {
            let within = *value > i64::MIN as f64 && *value < i64::MAX as f64;
            within.then_some(*value as i64)
        }
        Value::Text(text) => short(text)?.parse().ok(),
        Value::Timestamp(at) => Some(at.unix_timestamp()),
        other => return failed(format!("`int` does not take a {}", other.kind())),
    };
    read.map_or_else(|| failed("it cannot be made an int"), |value| Ok(Value::Int(value)))
}

pub(super) fn to_uint(value: &Value) -> Evaluated {
    let read = match value {
        Value::Uint(value) => Some(*value),
        Value::Int(value) => u64::try_from(*value).ok(),
        Value::Double(value) => {
            let within = *value >= 0.0 && *value < u64::MAX as f64;
            within.then_some(*value as u64)
        }
        Value::Text(text) => short(text)?.parse().ok(),
        other => return failed(format!("`uint` does not take a {}", other.kind())),
    };
    read.map_or_else(|| failed("it cannot be made a uint"), |value| Ok(Value::Uint(value)))
}

pub(super) fn to_double(value: &Value) -> Evaluated {
    let read = match value {
        Value::Double(value) => Some(*value),
        Value::Int(value) => Some(*value as f64),
        Value::Uint(value) => Some(*value as f64),
        Value::Text(text) => short(text)?.parse().ok(),
        other => return failed(format!("`double` does not take a {}", other.kind())),
    };
    read.map_or_else(|| failed("it cannot be made a double"), |value| Ok(Value::Double(value)))
}

pub(super) fn to_text(value: &Value) -> Result<String, Stop> {
    match value {
        Value::Text(text) => Ok(text.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Int(value) => Ok(value.to_string()),
        Value::Uint(value) => Ok(value.to_string()),
        Value::Double(value) => Ok(value.to_string()),
        Value::Timestamp(at) => moment::written(*at).map_or_else(|| failed("the time cannot be written"), Ok),
        Value::Duration(length) => Ok(moment::written_duration(*length)),
        other => failed(format!("`string` does not take a {}", other.kind())),
    }
}
