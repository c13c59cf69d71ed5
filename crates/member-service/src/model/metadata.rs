//! Free-form data of a product: a JSON object, bounded in size and depth.

use serde_json::{Map, Value};

use super::Fault;

const BYTES: usize = 16 * 1024;
const LEVELS: usize = 8;

#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Metadata(Map<String, Value>);

impl Metadata {
    /// The object itself is the first level.
    pub fn new(object: Map<String, Value>) -> Result<Self, Fault> {
        for (key, value) in &object {
            check(key, value, 1)?;
        }
        match serde_json::to_vec(&object) {
            Ok(json) if json.len() <= BYTES => Ok(Self(object)),
            _ => Err(Fault("must be at most 16 KiB as JSON")),
        }
    }

    pub fn fields(&self) -> &Map<String, Value> {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn check(key: &str, value: &Value, level: usize) -> Result<(), Fault> {
    // PostgreSQL keeps no text with U+0000 in it.
    if key.contains('\0') || value.as_str().is_some_and(|text| text.contains('\0')) {
        return Err(Fault("must not hold the character U+0000"));
    }
    if (value.is_object() || value.is_array()) && level == LEVELS {
        return Err(Fault("must be at most 8 levels deep"));
    }
    match value {
        Value::Object(inner) => inner.iter().try_for_each(|(key, value)| check(key, value, level + 1)),
        Value::Array(items) => items.iter().try_for_each(|value| check("", value, level + 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata(value: Value) -> Result<Metadata, Fault> {
        match value {
            Value::Object(object) => Metadata::new(object),
            _ => unreachable!("the tests give objects"),
        }
    }

    #[test]
    fn depth_size_and_nul_are_bounded() {
        let nested = |levels: usize| (1..levels).fold(json!({}), |inner, _| json!({ "a": inner }));
        assert!(metadata(nested(8)).is_ok() && metadata(nested(9)).is_err());
        assert!(metadata(json!({"a": [[[[[[[]]]]]]]})).is_ok() && metadata(json!({"a": [[[[[[[[]]]]]]]]})).is_err());
        let frame = r#"{"a":""}"#.len();
        assert!(metadata(json!({"a": "x".repeat(BYTES - frame)})).is_ok());
        assert!(metadata(json!({"a": "x".repeat(BYTES - frame + 1)})).is_err());
        assert!(metadata(json!({"a": ["b", {"c": "d\0"}]})).is_err() && metadata(json!({"a\0": 1})).is_err());
    }
}
