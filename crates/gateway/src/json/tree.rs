//! JSON as it came, refused where it is ambiguous (a key that stands there twice, which two readers read in two ways), deeper than
//! any request of ours, or of more values: each takes tens of bytes here, and may be two characters there.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Below what protobuf decoders take (100): conditions and metadata are the deepest that we have.
pub const MAX_DEPTH: usize = 64;
/// A thousand changes at once, the most that a request lists, have some ten thousand.
pub const MAX_VALUES: usize = 100_000;

pub fn parse(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let values = Cell::new(MAX_VALUES);
    let value = Seed { left: MAX_DEPTH, values: &values }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

#[derive(Clone, Copy)]
struct Seed<'v> {
    /// Levels.
    left: usize,
    /// So many values may come yet, on all levels together.
    values: &'v Cell<usize>,
}

impl Seed<'_> {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        let left = self.left.checked_sub(1);
        left.map(|left| Self { left, ..self })
            .ok_or_else(|| E::custom(format_args!("more than {MAX_DEPTH} levels deep")))
    }

    fn one_more<E: Error>(self) -> Result<(), E> {
        let left = self.values.get().checked_sub(1);
        left.map(|left| self.values.set(left)).ok_or_else(|| E::custom(format_args!("more than {MAX_VALUES} values")))
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("no number"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(deeper)? {
            self.one_more()?;
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key {key:?} stands there twice")));
            }
            self.one_more()?;
            map.insert(key, entries.next_value_seed(deeper)?);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn json_is_what_it_says_or_refused() {
        let text = br#"{"a": [1, -2, 0.5, "x\u00e9", null, true], "b": {"a": {}}}"#;
        assert_eq!(parse(text).unwrap(), serde_json::from_slice::<Value>(text).unwrap());
        for bad in
            ["", "{", "{} {}", "[1,]", "{'a': 1}", "nul", "1e999", "\"\\ud800\"", "NaN", "{\"a\":1,\"\\u0061\":2}"]
        {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(parse(b"\"\xff\"").is_err());
        assert!(parse(br#"{"a": {"b": 1, "b": 1}}"#).unwrap_err().to_string().contains("\"b\" stands there twice"));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(parse(nested(MAX_DEPTH + 1).as_bytes()).unwrap_err().to_string().contains("levels deep"));
        assert!(parse(nested(100_000).as_bytes()).is_err());
        assert!(parse("{\"a\":".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn the_number_of_values_is_bounded_on_all_levels_together() {
        let lists = |each: usize| format!("[{}]", vec![format!("[{}1]", "1,".repeat(each - 1)); 1_000].join(","));
        assert!(parse(lists(MAX_VALUES / 1_000 - 1).as_bytes()).is_ok());
        let refused = parse(lists(MAX_VALUES / 1_000).as_bytes()).unwrap_err().to_string();
        assert!(refused.contains("more than 100000 values"), "{refused}");
    }

    proptest! {
        #[test]
        fn what_any_bytes_say_is_what_serde_reads(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(value) = parse(&bytes) {
                prop_assert_eq!(value, serde_json::from_slice::<Value>(&bytes).unwrap());
            }
        }
    }
}
