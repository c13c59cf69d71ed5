//! Free-form data: `google.protobuf.Struct` and JSON.

use std::collections::BTreeMap;

use prost_types::{ListValue, Struct, Value, value::Kind};
use serde_json::{Map, Number, Value as Json};

use crate::model::{Fault, Metadata};

/// Beyond it a double does not hold every integer.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// None for an empty object.
pub fn metadata(metadata: &Metadata) -> Option<Struct> {
    (!metadata.is_empty()).then(|| written(metadata.fields()))
}

pub fn read(data: Option<Struct>) -> Result<Metadata, Fault> {
    Metadata::new(object(data.unwrap_or_default().fields)?)
}

fn written(fields: &Map<String, Json>) -> Struct {
    Struct { fields: fields.iter().map(|(key, json)| (key.clone(), value(json))).collect() }
}

fn value(json: &Json) -> Value {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(truth) => Kind::BoolValue(*truth),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Json::String(text) => Kind::StringValue(text.clone()),
        Json::Array(items) => Kind::ListValue(ListValue { values: items.iter().map(value).collect() }),
        Json::Object(fields) => Kind::StructValue(written(fields)),
    };
    Value { kind: Some(kind) }
}

fn object(fields: BTreeMap<String, Value>) -> Result<Map<String, Json>, Fault> {
    fields.into_iter().map(|(key, value)| Ok((key, json(value)?))).collect()
}

fn json(value: Value) -> Result<Json, Fault> {
    match value.kind {
        None => Err(Fault("holds a value without a kind")),
        Some(Kind::NullValue(_)) => Ok(Json::Null),
        Some(Kind::BoolValue(truth)) => Ok(Json::Bool(truth)),
        Some(Kind::StringValue(text)) => Ok(Json::String(text)),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(json).collect::<Result<_, _>>().map(Json::Array),
        Some(Kind::StructValue(inner)) => object(inner.fields).map(Json::Object),
        // A whole number is kept as one, as long here as in its sender's JSON.
        Some(Kind::NumberValue(number)) if number.fract() == 0.0 && number.abs() <= EXACT => {
            Ok(Json::Number(Number::from(number as i64)))
        }
        Some(Kind::NumberValue(number)) => {
            Number::from_f64(number).map(Json::Number).ok_or(Fault("holds a number that JSON has no form for"))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Kind::NullValue(0)),
            any::<bool>().prop_map(Kind::BoolValue),
            any::<i32>().prop_map(|number| Kind::NumberValue(number.into())),
            prop::num::f64::NORMAL.prop_map(Kind::NumberValue),
            "[^\\x00]{0,6}".prop_map(Kind::StringValue),
        ];
        leaf.prop_map(|kind| Value { kind: Some(kind) }).prop_recursive(4, 16, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(|values| Kind::ListValue(ListValue { values })),
                prop::collection::btree_map("[a-z]{0,3}", inner, 0..3)
                    .prop_map(|fields| Kind::StructValue(Struct { fields })),
            ]
            .prop_map(|kind| Value { kind: Some(kind) })
        })
    }

    proptest! {
        #[test]
        fn data_comes_back_as_it_was_given(fields in prop::collection::btree_map("[a-z]{1,4}", values(), 1..3)) {
            let given = Struct { fields };
            let kept = read(Some(given.clone())).unwrap();
            let stored: Metadata = serde_json::from_str(&serde_json::to_string(&kept).unwrap()).unwrap();
            prop_assert_eq!(metadata(&stored), Some(given));
        }
    }

    #[test]
    fn what_json_cannot_say_is_refused() {
        for kind in [Some(Kind::NumberValue(f64::NAN)), Some(Kind::NumberValue(f64::NEG_INFINITY)), None] {
            assert!(read(Some(Struct { fields: [("a".to_owned(), Value { kind })].into() })).is_err());
        }
        assert_eq!(read(None), Ok(Metadata::default()));
    }
}
