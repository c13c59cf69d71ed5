//! Free-form data of a product: a JSON object, bounded in size and depth.

use serde_json::{Map, Value};

use super::Fault;

const BYTES: usize = 16 * 1024;
const DEPTH: usize = 8;

#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Metadata(Map<String, Value>);

impl Metadata {
    /// The object itself is the first level of depth.
    pub fn new(object: Map<String, Value>) -> Result<Self, Fault> {
        let object = Value::Object(object);
        if depth(&object) > DEPTH {
            return Err(Fault("must be at most 8 levels deep"));
        }
        if holds_nul(&object) {
            return Err(Fault("must not hold the character U+0000"));
        }
        let Value::Object(object) = object else { return Err(Fault("must be an object")) };
        if serde_json::to_vec(&object).map_or(usize::MAX, |json| json.len()) > BYTES {
            return Err(Fault("must be at most 16 KiB as JSON"));
        }
        Ok(Self(object))
    }

    pub fn fields(&self) -> &Map<String, Value> {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Object(object) => 1 + object.values().map(depth).max().unwrap_or(0),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// PostgreSQL keeps no text with U+0000 in it.
fn holds_nul(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.iter().any(|(key, value)| key.contains('\0') || holds_nul(value)),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::String(text) => text.contains('\0'),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata(value: Value) -> Result<Metadata, Fault> {
        let Value::Object(object) = value else { unreachable!("the tests give objects") };
        Metadata::new(object)
    }

    #[test]
    fn eight_levels_are_let_in_and_nine_are_not() {
        let nested = |levels: usize| (1..levels).fold(json!({}), |inner, _| json!({ "a": inner }));
        assert!(metadata(nested(8)).is_ok());
        assert_eq!(metadata(nested(9)), Err(Fault("must be at most 8 levels deep")));
        assert!(metadata(json!({ "a": [[[[[[[]]]]]]] })).is_ok());
        assert!(metadata(json!({ "a": [[[[[[[[]]]]]]]] })).is_err());
    }

    #[test]
    fn sixteen_kibibytes_are_let_in_and_a_byte_more_is_not() {
        let frame = r#"{"a":""}"#.len();
        assert!(metadata(json!({ "a": "x".repeat(BYTES - frame) })).is_ok());
        assert!(metadata(json!({ "a": "x".repeat(BYTES - frame + 1) })).is_err());
    }

    #[test]
    fn a_nul_is_found_wherever_it_hides() {
        assert!(metadata(json!({ "a": ["b", { "c": "d\0" }] })).is_err());
        assert!(metadata(json!({ "a\0": 1 })).is_err());
        assert!(metadata(json!({ "a": "\\0" })).is_ok());
    }
}
