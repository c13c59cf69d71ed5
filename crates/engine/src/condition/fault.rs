use std::fmt;

use serde::Serialize;
use thiserror::Error;

/// Where something is in a source text, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(pub(super) usize);

/// Something wrong with an expression, before it is told where in lines and columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) place: Place,
    pub(super) text: String,
}

impl Fault {
    pub(super) fn new(place: Place, text: String) -> Self {
        Self { place, text }
    }
}

/// One thing that is wrong with the text of a condition. Lines and columns count from one, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConditionFault {
    pub line: usize,
    pub column: usize,
    pub text: String,
}

impl ConditionFault {
    pub(super) fn of(fault: Fault, source: &str) -> Self {
        let before = source.get(..fault.place.0).unwrap_or(source);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            text: fault.text,
        }
    }
}

impl fmt::Display for ConditionFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.text)
    }
}

/// Why a text is no condition: everything that is wrong with it, or the first thing that keeps the rest from being read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct InvalidCondition(pub Vec<ConditionFault>);
