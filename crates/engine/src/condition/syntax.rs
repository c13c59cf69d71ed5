//! An expression as it is evaluated: names are resolved, literals read, functions known.

use std::sync::Arc;

use super::function::Function;
use super::pattern::Pattern;
use super::value::Value;

#[derive(Debug)]
pub(super) enum Node {
    Literal(Value),
    /// The variable of a macro, counted from the outermost.
    Local(u8),
    /// `context.name`, by the name's place among the condition's inputs.
    Input(u8),
    /// `has(context.name)`.
    HasInput(u8),
    Now,
    ResourceType,
    ResourceId,
    SubjectType,
    SubjectId,
    Select(Box<Node>, Arc<str>),
    Has(Box<Node>, Arc<str>),
    Index(Box<[Node; 2]>),
    Not(Box<Node>),
    Negate(Box<Node>),
    Binary(Binary, Box<[Node; 2]>),
    And(Vec<Node>),
    Or(Vec<Node>),
    If(Box<[Node; 3]>),
    List(Vec<Node>),
    Map(Vec<[Node; 2]>),
    /// The receiver comes first.
    Call(Function, Vec<Node>),
    Matches(Box<Node>, Pattern),
    Loop(Box<Loop>),
}

/// A macro over a list, or over the keys of a map.
#[derive(Debug)]
pub(super) struct Loop {
    pub(super) kind: LoopKind,
    pub(super) range: Node,
    /// Which local the element is.
    pub(super) local: u8,
    pub(super) body: Node,
    /// Only `map` with three arguments: the body decides, this is what is kept.
    pub(super) transform: Option<Node>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoopKind {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}

impl LoopKind {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "all" => Self::All,
            "exists" => Self::Exists,
            "exists_one" | "existsOne" => Self::ExistsOne,
            "filter" => Self::Filter,
            "map" => Self::Map,
            _ => return None,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Binary {
    pub(super) fn relation(sign: &str) -> Option<Self> {
        Some(match sign {
            "==" => Self::Equal,
            "!=" => Self::NotEqual,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            "in" => Self::In,
            _ => return None,
        })
    }

    pub(super) fn sum(sign: &str) -> Option<Self> {
        Some(match sign {
            "+" => Self::Add,
            "-" => Self::Subtract,
            _ => return None,
        })
    }

    pub(super) fn product(sign: &str) -> Option<Self> {
        Some(match sign {
            "*" => Self::Multiply,
            "/" => Self::Divide,
            "%" => Self::Remainder,
            _ => return None,
        })
    }

    pub(super) fn is_boolean(self) -> bool {
        Self::relation(self.sign()).is_some()
    }

    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::In => "in",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        }
    }
}
