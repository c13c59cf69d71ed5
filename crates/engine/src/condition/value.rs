use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use time::{Duration, OffsetDateTime};

/// What an expression computes with. Cloning shares what is large.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Arc<str>),
    Timestamp(OffsetDateTime),
    Duration(Duration),
    List(Arc<[Value]>),
    Map(Arc<BTreeMap<Key, Value>>),
}

/// What a map is looked up by. A whole number is one key, whatever its type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Bool(bool),
    Int(i64),
    Text(Arc<str>),
}

impl Value {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::Text(_) => "string",
            Self::Timestamp(_) => "timestamp",
            Self::Duration(_) => "duration",
            Self::List(_) => "list",
            Self::Map(_) => "map",
        }
    }

    /// What it would be as a key; None for what no key equals.
    pub(super) fn key(&self) -> Option<Key> {
        match self {
            Self::Bool(value) => Some(Key::Bool(*value)),
            Self::Text(text) => Some(Key::Text(Arc::clone(text))),
            _ => self.whole().map(Key::Int),
        }
    }

    /// A number without a fraction that an `int` holds.
    pub(super) fn whole(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            Self::Uint(value) => i64::try_from(*value).ok(),
            Self::Double(value) => {
                let whole = *value as i64;
                // 2^63 rounds to itself as a double, and is no `int`.
                (whole as f64 == *value && whole != i64::MAX).then_some(whole)
            }
            _ => None,
        }
    }
}

impl From<&Key> for Value {
    fn from(key: &Key) -> Self {
        match key {
            Key::Bool(value) => Self::Bool(*value),
            Key::Int(value) => Self::Int(*value),
            Key::Text(text) => Self::Text(Arc::clone(text)),
        }
    }
}

/// Numbers of any type by their value; None beside a NaN, and where one of them is no number.
pub(super) fn compare_numbers(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Double(left), Value::Double(right)) => left.partial_cmp(right),
        (Value::Double(left), right) => compare_double(*left, integer(right)?),
        (left, Value::Double(right)) => compare_double(*right, integer(left)?).map(Ordering::reverse),
        (left, right) => Some(integer(left)?.cmp(&integer(right)?)),
    }
}

fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::Int(value) => Some((*value).into()),
        Value::Uint(value) => Some((*value).into()),
        _ => None,
    }
}

/// Exact, also where the integer has more digits than a double.
fn compare_double(left: f64, right: i128) -> Option<Ordering> {
    if left.is_nan() {
        return None;
    }
    // Beyond what a double holds in whole numbers of 64 bits the cast ends at the nearest bound, which is still the right side.
    let whole = left.trunc() as i128;
    Some(whole.cmp(&right).then_with(|| left.partial_cmp(&left.trunc()).unwrap_or(Ordering::Equal)))
}
