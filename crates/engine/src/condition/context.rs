use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use super::value::{Key, Value};

/// The largest context, counted as JSON would be written: names, texts, and for each value some bytes of its own.
pub const MAX_CONTEXT_BYTES: usize = 16 * 1024;
/// How many levels a context has: one for its names, one more for each list or object inside another.
pub const MAX_CONTEXT_DEPTH: usize = 8;
/// The length of the longest name of an input, in bytes.
const MAX_NAME: usize = 256;

/// One input as JSON knows it.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Input>),
    Object(Vec<(String, Input)>),
}

/// Why inputs are no context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidContext {
    #[error("must be at most 16 KiB as JSON")]
    TooLarge,
    #[error("must be at most 8 levels deep")]
    TooDeep,
    #[error("a name must be at most 256 bytes")]
    LongName,
}

/// The inputs of conditions, by name, in the form that is computed with. What it holds is bounded, so that whoever computes with it
/// may walk through it.
#[derive(Debug, Clone, Default)]
pub struct Context {
    inputs: BTreeMap<String, Value>,
}

impl Context {
    /// Not one input.
    pub const EMPTY: Self = Self { inputs: BTreeMap::new() };

    pub fn new(inputs: impl IntoIterator<Item = (String, Input)>) -> Result<Self, InvalidContext> {
        let mut room = Room { bytes: MAX_CONTEXT_BYTES };
        let mut taken = BTreeMap::new();
        for (name, input) in inputs {
            room.name(&name)?;
            taken.insert(name, room.value(input, MAX_CONTEXT_DEPTH - 1)?);
        }
        Ok(Self { inputs: taken })
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.inputs.get(name)
    }
}

struct Room {
    bytes: usize,
}

impl Room {
    fn take(&mut self, bytes: usize) -> Result<(), InvalidContext> {
        self.bytes = self.bytes.checked_sub(bytes).ok_or(InvalidContext::TooLarge)?;
        Ok(())
    }

    fn name(&mut self, name: &str) -> Result<(), InvalidContext> {
        if name.len() > MAX_NAME {
            return Err(InvalidContext::LongName);
        }
        // Two quotes, a colon and a comma.
        self.take(name.len() + 4)
    }

    fn value(&mut self, input: Input, levels: usize) -> Result<Value, InvalidContext> {
        self.take(2)?;
        let inner = || levels.checked_sub(1).ok_or(InvalidContext::TooDeep);
        Ok(match input {
            Input::Null => Value::Null,
            Input::Bool(value) => Value::Bool(value),
            Input::Number(value) => Value::Double(value),
            Input::Text(text) => {
                self.take(text.len())?;
                Value::Text(text.into())
            }
            Input::List(values) => {
                let levels = inner()?;
                let values: Result<Vec<_>, _> = values.into_iter().map(|value| self.value(value, levels)).collect();
                Value::List(values?.into())
            }
            Input::Object(fields) => {
                let levels = inner()?;
                let mut taken = BTreeMap::new();
                for (name, value) in fields {
                    self.name(&name)?;
                    taken.insert(Key::Text(name.into()), self.value(value, levels)?);
                }
                Value::Map(Arc::new(taken))
            }
        })
    }
}
