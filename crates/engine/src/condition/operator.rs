//! What operators and functions do with values.

use std::cmp::Ordering;

use time::{Duration, OffsetDateTime};

use super::conversion;
use super::evaluate::{Evaluated, Machine, Stop, failed};
use super::function::{Function, Part};
use super::moment;
use super::network;
use super::syntax::Binary;
use super::value::{Value, compare_numbers};

const OVERFLOW: &str = "the number is too large for its type";

pub(super) fn negate(value: &Value) -> Evaluated {
    match value {
        Value::Int(value) => value.checked_neg().map_or_else(|| failed(OVERFLOW), |value| Ok(Value::Int(value))),
        Value::Double(value) => Ok(Value::Double(-value)),
        other => failed(format!("`-` does not take a {}", other.kind())),
    }
}

impl Machine<'_> {
    pub(super) fn operate(&mut self, operator: Binary, left: Value, right: Value) -> Evaluated {
        match operator {
            Binary::Equal => self.equal(&left, &right).map(Value::Bool),
            Binary::NotEqual => self.equal(&left, &right).map(|equal| Value::Bool(!equal)),
            Binary::Less => self.ordered(operator, &left, &right, Ordering::is_lt),
            Binary::LessOrEqual => self.ordered(operator, &left, &right, Ordering::is_le),
            Binary::Greater => self.ordered(operator, &left, &right, Ordering::is_gt),
            Binary::GreaterOrEqual => self.ordered(operator, &left, &right, Ordering::is_ge),
            Binary::In => self.is_in(&left, &right).map(Value::Bool),
            Binary::Add => self.add(left, right),
            Binary::Subtract | Binary::Multiply | Binary::Divide | Binary::Remainder => {
                arithmetic(operator, &left, &right)
            }
        }
    }

    /// Values of different types are not equal, but numbers are compared by what they are.
    fn equal(&mut self, left: &Value, right: &Value) -> Result<bool, Stop> {
        self.pay(1)?;
        Ok(match (left, right) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(left), Value::Bool(right)) => left == right,
            (Value::Text(left), Value::Text(right)) => {
                self.pay_bytes(left.len().min(right.len()))?;
                left == right
            }
            (Value::Timestamp(left), Value::Timestamp(right)) => left == right,
            (Value::Duration(left), Value::Duration(right)) => left == right,
            (Value::List(left), Value::List(right)) => {
                if left.len() != right.len() {
                    return Ok(false);
                }
                for (left, right) in left.iter().zip(right.iter()) {
                    if !self.equal(left, right)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::Map(left), Value::Map(right)) => {
                if left.len() != right.len() {
                    return Ok(false);
                }
                for ((left_key, left), (right_key, right)) in left.iter().zip(right.iter()) {
                    let same_key = self.equal(&left_key.into(), &right_key.into())?;
                    if !same_key || !self.equal(left, right)? {
                        return Ok(false);
                    }
                }
                true
            }
            (left, right) => compare_numbers(left, right) == Some(Ordering::Equal),
        })
    }

    fn ordered(&mut self, operator: Binary, left: &Value, right: &Value, test: fn(Ordering) -> bool) -> Evaluated {
        let ordering = match (left, right) {
            (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
            (Value::Text(left), Value::Text(right)) => {
                self.pay_bytes(left.len().min(right.len()))?;
                left.cmp(right)
            }
            (Value::Timestamp(left), Value::Timestamp(right)) => left.cmp(right),
            (Value::Duration(left), Value::Duration(right)) => left.cmp(right),
            (Value::Int(_) | Value::Uint(_) | Value::Double(_), Value::Int(_) | Value::Uint(_) | Value::Double(_)) => {
                match compare_numbers(left, right) {
                    Some(ordering) => ordering,
                    None => return Ok(Value::Bool(false)),
                }
            }
            _ => return mismatch(operator, left, right),
        };
        Ok(Value::Bool(test(ordering)))
    }

    fn is_in(&mut self, element: &Value, within: &Value) -> Result<bool, Stop> {
        match within {
            Value::List(list) => {
                for other in list.iter() {
                    if self.equal(element, other)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Value::Map(map) => {
                if let Value::Text(text) = element {
                    self.pay_bytes(text.len())?;
                }
                match (element.key(), element) {
                    (Some(key), _) => Ok(map.contains_key(&key)),
                    // A number that no key equals.
                    (None, Value::Uint(_) | Value::Double(_)) => Ok(false),
                    (None, other) => failed(format!("a {} is no key", other.kind())),
                }
            }
            other => failed(format!("`in` does not take a {}", other.kind())),
        }
    }

    fn add(&mut self, left: Value, right: Value) -> Evaluated {
        match (&left, &right) {
            (Value::Text(first), Value::Text(second)) => {
                self.pay_bytes(first.len() + second.len())?;
                Ok(Value::Text([&**first, &**second].concat().into()))
            }
            (Value::List(first), Value::List(second)) => {
                self.pay(first.len() + second.len())?;
                Ok(Value::List(first.iter().chain(second.iter()).cloned().collect()))
            }
            _ => arithmetic(Binary::Add, &left, &right),
        }
    }

    pub(super) fn call(&mut self, function: Function, arguments: &[Value]) -> Evaluated {
        match (function, arguments) {
            (Function::Dyn, [value]) => Ok(value.clone()),
            (Function::Size, [Value::Text(text)]) => {
                self.pay_bytes(text.len())?;
                whole(text.chars().count())
            }
            (Function::Size, [Value::List(list)]) => whole(list.len()),
            (Function::Size, [Value::Map(map)]) => whole(map.len()),
            (
                Function::Contains | Function::StartsWith | Function::EndsWith,
                [Value::Text(text), Value::Text(part)],
            ) => {
                self.pay_bytes(text.len() + part.len())?;
                Ok(Value::Bool(match function {
                    Function::Contains => text.contains(&**part),
                    Function::StartsWith => text.starts_with(&**part),
                    _ => text.ends_with(&**part),
                }))
            }
            (Function::LowerAscii, [Value::Text(text)]) => self.text(&text.to_ascii_lowercase()),
            (Function::UpperAscii, [Value::Text(text)]) => self.text(&text.to_ascii_uppercase()),
            (Function::InCidr, [Value::Text(address), Value::Text(range)]) => {
                self.pay_bytes(address.len() + range.len())?;
                let range = network::range(range).map_err(Stop::Failed)?;
                let address = network::address(address).map_err(Stop::Failed)?;
                Ok(Value::Bool(range.contains(address)))
            }
            (Function::Part(part), [of]) => part_of(part, of, None),
            (Function::Part(part), [of @ Value::Timestamp(_), Value::Text(zone)]) => {
                part_of(part, of, Some(moment::zone(zone).map_err(Stop::Failed)?))
            }
            (Function::ToBool, [value]) => conversion::to_bool(value),
            (Function::ToInt, [value]) => conversion::to_int(value),
            (Function::ToUint, [value]) => conversion::to_uint(value),
            (Function::ToDouble, [value]) => conversion::to_double(value),
            (Function::ToText, [value @ Value::Text(_)]) => Ok(value.clone()),
            (Function::ToText, [value]) => {
                // The largest double is written out in three hundred digits.
                self.pay(32)?;
                self.text(&conversion::to_text(value)?)
            }
            (Function::ToTimestamp, [Value::Text(text)]) => {
                moment::timestamp(text).map(Value::Timestamp).map_err(Stop::Failed)
            }
            (Function::ToTimestamp, [value @ Value::Timestamp(_)]) => Ok(value.clone()),
            (Function::ToTimestamp, [Value::Int(seconds)]) => {
                let at = OffsetDateTime::from_unix_timestamp(*seconds).ok().and_then(moment::in_range);
                at.map_or_else(|| failed(OVERFLOW), |at| Ok(Value::Timestamp(at)))
            }
            (Function::ToDuration, [Value::Text(text)]) => {
                moment::duration(text).map(Value::Duration).map_err(Stop::Failed)
            }
            (Function::ToDuration, [value @ Value::Duration(_)]) => Ok(value.clone()),
            (_, arguments) => {
                let kinds: Vec<&str> = arguments.iter().map(Value::kind).collect();
                failed(format!("a function does not take {}", kinds.join(", ")))
            }
        }
    }
}

fn mismatch(operator: Binary, left: &Value, right: &Value) -> Evaluated {
    failed(format!("`{}` does not take a {} and a {}", operator.sign(), left.kind(), right.kind()))
}

fn whole(count: usize) -> Evaluated {
    i64::try_from(count).map_or_else(|_| failed(OVERFLOW), |count| Ok(Value::Int(count)))
}

fn part_of(part: Part, of: &Value, zone: Option<moment::Zone>) -> Evaluated {
    let read = match of {
        Value::Timestamp(at) => moment::part(part, *at, zone),
        Value::Duration(length) => moment::part_of_duration(part, *length),
        _ => None,
    };
    read.map_or_else(|| failed(format!("a {} has no such part", of.kind())), |value| Ok(Value::Int(value)))
}

fn arithmetic(operator: Binary, left: &Value, right: &Value) -> Evaluated {
    let overflow = |value: Option<Value>| value.map_or_else(|| failed(OVERFLOW), Ok);
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => {
            if *right == 0 && matches!(operator, Binary::Divide | Binary::Remainder) {
                return failed("division by zero");
            }
            overflow(
                match operator {
                    Binary::Add => left.checked_add(*right),
                    Binary::Subtract => left.checked_sub(*right),
                    Binary::Multiply => left.checked_mul(*right),
                    Binary::Divide => left.checked_div(*right),
                    _ => left.checked_rem(*right),
                }
                .map(Value::Int),
            )
        }
        (Value::Uint(left), Value::Uint(right)) => {
            if *right == 0 && matches!(operator, Binary::Divide | Binary::Remainder) {
                return failed("division by zero");
            }
            overflow(
                match operator {
                    Binary::Add => left.checked_add(*right),
                    Binary::Subtract => left.checked_sub(*right),
                    Binary::Multiply => left.checked_mul(*right),
                    Binary::Divide => left.checked_div(*right),
                    _ => left.checked_rem(*right),
                }
                .map(Value::Uint),
            )
        }
        (Value::Double(first), Value::Double(second)) => match operator {
            Binary::Add => Ok(Value::Double(first + second)),
            Binary::Subtract => Ok(Value::Double(first - second)),
            Binary::Multiply => Ok(Value::Double(first * second)),
            Binary::Divide => Ok(Value::Double(first / second)),
            _ => mismatch(operator, left, right),
        },
        _ => overflow(match (operator, left, right) {
            (Binary::Add, Value::Timestamp(at), Value::Duration(length))
            | (Binary::Add, Value::Duration(length), Value::Timestamp(at)) => moved(*at, Some(*length)),
            (Binary::Subtract, Value::Timestamp(at), Value::Duration(length)) => {
                moved(*at, Duration::ZERO.checked_sub(*length))
            }
            (Binary::Subtract, Value::Timestamp(left), Value::Timestamp(right)) => {
                moment::in_duration_range(*left - *right).map(Value::Duration)
            }
            (Binary::Add, Value::Duration(left), Value::Duration(right)) => {
                left.checked_add(*right).and_then(moment::in_duration_range).map(Value::Duration)
            }
            (Binary::Subtract, Value::Duration(left), Value::Duration(right)) => {
                left.checked_sub(*right).and_then(moment::in_duration_range).map(Value::Duration)
            }
            _ => return mismatch(operator, left, right),
        }),
    }
}

fn moved(at: OffsetDateTime, length: Option<Duration>) -> Option<Value> {
    at.checked_add(length?).and_then(moment::in_range).map(Value::Timestamp)
}
