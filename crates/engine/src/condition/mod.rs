//! Conditions of bindings, in CEL.
//!
//! The text is read once, and evaluated at each question that reaches its binding. Both come from outside, and so does the context;
//! none of them can make this fail otherwise than by an answer that says so:
//!
//! - **Reading.** A text has at most [`MAX_SOURCE_LENGTH`] bytes; the descent through it and the expression that comes of it have at
//!   most [`MAX_DEPTH`] levels and [`MAX_NODES`] nodes. Patterns are written out and become tables of bounded size ([`pattern`]).
//! - **Evaluating.** Each node that is visited costs a step, each element and each 16 bytes that are looked at or made another, all of
//!   them before they are spent; at [`MAX_STEPS`] the evaluation ends as an error. Macros go through lists that the context or the
//!   expression holds, or that earlier steps made, so that there is nothing in the language that is not counted. Memory is made by
//!   steps only, and a value is as deep as the context's eight levels and the expression's own nesting together, so that comparing and
//!   dropping one recurses no deeper.
//! - **Together.** Who asks many questions at once gives them one [`Meter`].
//!
//! We read and evaluate the language ourselves. The crate `cel` counts no steps, knows no unknown inputs, and its parser overflows a
//! thread's stack on expressions of a few hundred bytes; it is the reference that our tests agree with.
//!
//! # The language
//!
//! CEL's literals but bytes, all its operators, field selection, indexing, lists, maps, `has` and the macros `all`, `exists`,
//! `exists_one`, `filter` and `map`; the functions in [`function`]; no types as values, no messages. Names are resolved when the text
//! is read, and one that is not known is refused then:
//!
//! - `context.name` (or `context["name"]`): an input. A number is a `double`, as JSON has it.
//! - `now`: a timestamp. `now.getHours("Europe/Berlin")` reads the clocks there.
//! - `resource.type`, `resource.id`: what is asked about; both empty when it is the organization.
//! - `subject.type`, `subject.id`: who is asked about: `member`, `service_account`, `group` or `all_members`.
//!
//! # What comes of it
//!
//! An input that is not given is *missing*, and an expression that needs it is neither true nor false. `&&` and `||` are decided by
//! one side wherever one side decides, whatever is missing or fails on the other; every other operator fails if a side fails, and
//! else misses what its sides miss. So an outcome of true, false or failure stands whatever would have been given: but for an
//! expression that asks just that, by `has(context.name)`, which is true or false and never missing itself. A field within an input
//! that is not there is a failure, as in CEL, and `has` tells.

#[cfg(test)]
mod conformity;
mod context;
mod conversion;
mod evaluate;
mod fault;
mod function;
mod moment;
mod network;
mod operator;
mod parse;
mod pattern;
mod syntax;
mod term;
#[cfg(test)]
mod tests;
mod token;
mod value;

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

pub use context::{Context, Input, InvalidContext, MAX_CONTEXT_BYTES, MAX_CONTEXT_DEPTH};
pub use fault::{ConditionFault, InvalidCondition};

use crate::id::SubjectId;
use crate::resource::ResourceRef;

/// The longest text of a condition, in bytes.
pub const MAX_SOURCE_LENGTH: usize = 4096;
/// The levels of an expression, and of the brackets and operators in its text.
pub const MAX_DEPTH: usize = 32;
/// The parts of an expression.
pub const MAX_NODES: usize = 512;
/// The different inputs that one condition names.
pub const MAX_INPUTS: usize = 64;
/// What one evaluation may cost.
pub const MAX_STEPS: u32 = 20_000;

/// An expression that was read. Cloning shares it.
#[derive(Clone)]
pub struct Condition(Arc<Compiled>);

struct Compiled {
    source: Box<str>,
    /// None: the text that was stored is no condition any more, so that every evaluation fails.
    expression: Option<parse::Parsed>,
}

/// What an evaluation comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    True,
    False,
    /// The names of the inputs that it lacks, sorted.
    Missing(Vec<String>),
    /// Why it is neither. For people; the wording may change.
    Failed(String),
}

/// What an expression is evaluated over, besides the context.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) now: OffsetDateTime,
    pub(crate) subject: &'a SubjectId,
    pub(crate) resource: Option<&'a ResourceRef>,
    pub(crate) context: &'a Context,
}

/// The steps that the conditions of many questions may take together.
#[derive(Debug)]
pub struct Meter(Cell<u64>);

impl Meter {
    /// What one call may cost: some tens of milliseconds.
    pub const STEPS: u64 = 1_000_000;

    pub fn new(steps: u64) -> Self {
        Self(Cell::new(steps))
    }

    /// True once a condition failed for want of steps in the meter: the answers must not be used.
    pub fn is_exhausted(&self) -> bool {
        self.0.get() == 0
    }

    /// What one evaluation may take.
    fn granted(&self) -> u32 {
        u32::try_from(self.0.get()).unwrap_or(u32::MAX).min(MAX_STEPS)
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn left(&self) -> u64 {
        self.0.get()
    }

    fn spend(&self, steps: u32) {
        self.0.set(self.0.get().saturating_sub(u64::from(steps)));
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self::new(Self::STEPS)
    }
}

impl Condition {
    /// Reads the text, or names what is wrong with it.
    pub fn new(source: &str) -> Result<Self, InvalidCondition> {
        let told = |faults: Vec<fault::Fault>| {
            InvalidCondition(faults.into_iter().map(|fault| ConditionFault::of(fault, source)).collect())
        };
        if source.len() > MAX_SOURCE_LENGTH {
            let text = format!("a condition has at most {MAX_SOURCE_LENGTH} bytes");
            return Err(told(vec![fault::Fault::new(fault::Place(0), text)]));
        }
        let expression = parse::parse(source).map_err(told)?;
        Ok(Self(Arc::new(Compiled { source: source.into(), expression: Some(expression) })))
    }

    /// A stored text. One that is no condition, as another version may have let pass, fails at every evaluation: what it would
    /// allow is not allowed, what it would deny is denied.
    pub fn stored(source: &str) -> Self {
        Self::new(source).unwrap_or_else(|_| Self(Arc::new(Compiled { source: source.into(), expression: None })))
    }

    /// False for a stored text that is no condition.
    pub fn is_sound(&self) -> bool {
        self.0.expression.is_some()
    }

    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The inputs that it names, in the order of their appearance.
    pub fn inputs(&self) -> impl Iterator<Item = &str> {
        self.0.expression.iter().flat_map(|expression| expression.inputs.iter().map(|name| &**name))
    }

    /// About what it takes in memory, in bytes.
    pub fn bytes(&self) -> usize {
        let parsed = self.0.expression.as_ref().map_or(0, |parsed| parsed.bytes);
        size_of::<Compiled>() + 2 * self.0.source.len() + parsed
    }

    /// How many hold it now: at least one.
    pub(crate) fn shared_by(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    pub(crate) fn evaluate(&self, facts: &Facts<'_>, meter: &Meter) -> Outcome {
        match &self.0.expression {
            Some(expression) => evaluate::evaluate(expression, facts, meter),
            None => Outcome::Failed("the stored text is not a condition".to_owned()),
        }
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.0.source == other.0.source
    }
}

impl Eq for Condition {}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.0.source).finish()
    }
}

impl Serialize for Condition {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.source())
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::stored(&String::deserialize(deserializer)?))
    }
}
