//! Free-form data: `google.protobuf.Struct` and JSON.

use std::collections::BTreeMap;

use prost_types::{ListValue, Struct, Value, value::Kind};
use serde_json::{Map, Number, Value as Json};

use crate::model::{Fault, Metadata};

/// Beyond it a double does not hold every integer.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// None for an empty object.
pub fn metadata(metadata: &Metadata) -> Option<Struct> {
    (!metadata.is_empty()).then(|| object(metadata.fields()))
}

pub fn read(data: Option<Struct>) -> Result<Metadata, Fault> {
    Metadata::new(read_object(data.map(|data| data.fields).unwrap_or_default())?)
}

fn object(fields: &Map<String, Json>) -> Struct {
    Struct { fields: fields.iter().map(|(key, json)| (key.clone(), value(json))).collect() }
}

fn value(json: &Json) -> Value {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(value) => Kind::BoolValue(*value),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Json::String(text) => Kind::StringValue(text.clone()),
        Json::Array(items) => Kind::ListValue(ListValue { values: items.iter().map(value).collect() }),
        Json::Object(fields) => Kind::StructValue(object(fields)),
    };
    Value { kind: Some(kind) }
}

fn read_object(fields: BTreeMap<String, Value>) -> Result<Map<String, Json>, Fault> {
    fields.into_iter().map(|(key, value)| Ok((key, read_value(value)?))).collect()
}

fn read_value(value: Value) -> Result<Json, Fault> {
    Ok(match value.kind.ok_or(Fault("holds a value without a kind"))? {
        Kind::NullValue(_) => Json::Null,
        Kind::BoolValue(value) => Json::Bool(value),
        Kind::NumberValue(number) => Json::Number(read_number(number)?),
        Kind::StringValue(text) => Json::String(text),
        Kind::ListValue(list) => Json::Array(list.values.into_iter().map(read_value).collect::<Result<_, _>>()?),
        Kind::StructValue(object) => Json::Object(read_object(object.fields)?),
    })
}

/// A whole number is kept as one, `1` and not `1.0`, so that it is as long in our count as in the sender's JSON.
fn read_number(number: f64) -> Result<Number, Fault> {
    if number.fract() == 0.0 && number.abs() <= EXACT {
        return Ok(Number::from(number as i64));
    }
    Number::from_f64(number).ok_or(Fault("holds a number that JSON has no form for"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Kind::NullValue(0)),
            any::<bool>().prop_map(Kind::BoolValue),
            prop::num::f64::NORMAL.prop_map(Kind::NumberValue),
            any::<i32>().prop_map(|number| Kind::NumberValue(number.into())),
            "[^\\x00]{0,8}".prop_map(Kind::StringValue),
        ];
        let leaf = leaf.prop_map(|kind| Value { kind: Some(kind) });
        leaf.prop_recursive(5, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(|values| Kind::ListValue(ListValue { values })),
                prop::collection::btree_map("[a-z]{0,4}", inner, 0..4)
                    .prop_map(|fields| Kind::StructValue(Struct { fields })),
            ]
            .prop_map(|kind| Value { kind: Some(kind) })
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_it_was(fields in prop::collection::btree_map("[a-zA-Z_]{1,6}", any_value(), 1..4)) {
            let data = Struct { fields };
            let kept = read(Some(data.clone())).unwrap();
            let stored: Metadata = serde_json::from_str(&serde_json::to_string(&kept).unwrap()).unwrap();
            prop_assert_eq!(metadata(&stored), Some(data));
        }
    }

    #[test]
    fn what_json_has_no_form_for_is_refused() {
        for kind in [Some(Kind::NumberValue(f64::NAN)), Some(Kind::NumberValue(f64::INFINITY)), None] {
            assert!(read(Some(Struct { fields: [("a".to_owned(), Value { kind })].into() })).is_err());
        }
        assert_eq!(read(None), Ok(Metadata::default()));
    }
}
