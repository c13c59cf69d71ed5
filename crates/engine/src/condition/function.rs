//! The functions that a condition can call, with what their literal arguments must be.

use super::syntax::Node;
use super::value::Value;
use super::{moment, network};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    Contains,
    StartsWith,
    EndsWith,
    LowerAscii,
    UpperAscii,
    InCidr,
    ToInt,
    ToUint,
    ToDouble,
    ToText,
    ToBool,
    ToTimestamp,
    ToDuration,
    Dyn,
    Part(Part),
}

/// A part of a timestamp, or of a duration where it makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    FullYear,
    Month,
    DayOfMonth,
    Date,
    DayOfWeek,
    DayOfYear,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

impl Function {
    /// `name(argument)`.
    pub(super) fn global(name: &str) -> Option<Self> {
        Some(match name {
            "size" => Self::Size,
            "int" => Self::ToInt,
            "uint" => Self::ToUint,
            "double" => Self::ToDouble,
            "string" => Self::ToText,
            "bool" => Self::ToBool,
            "timestamp" => Self::ToTimestamp,
            "duration" => Self::ToDuration,
            "dyn" => Self::Dyn,
            _ => return None,
        })
    }

    /// `receiver.name(argument)`.
    pub(super) fn method(name: &str) -> Option<Self> {
        Some(match name {
            "size" => Self::Size,
            "contains" => Self::Contains,
            "startsWith" => Self::StartsWith,
            "endsWith" => Self::EndsWith,
            "lowerAscii" => Self::LowerAscii,
            "upperAscii" => Self::UpperAscii,
            "in_cidr" => Self::InCidr,
            "getFullYear" => Self::Part(Part::FullYear),
            "getMonth" => Self::Part(Part::Month),
            "getDayOfMonth" => Self::Part(Part::DayOfMonth),
            "getDate" => Self::Part(Part::Date),
            "getDayOfWeek" => Self::Part(Part::DayOfWeek),
            "getDayOfYear" => Self::Part(Part::DayOfYear),
            "getHours" => Self::Part(Part::Hours),
            "getMinutes" => Self::Part(Part::Minutes),
            "getSeconds" => Self::Part(Part::Seconds),
            "getMilliseconds" => Self::Part(Part::Milliseconds),
            _ => return None,
        })
    }

    pub(super) fn may_be_boolean(self) -> bool {
        match self {
            Self::Contains | Self::StartsWith | Self::EndsWith | Self::InCidr | Self::ToBool | Self::Dyn => true,
            Self::Size
            | Self::LowerAscii
            | Self::UpperAscii
            | Self::ToInt
            | Self::ToUint
            | Self::ToDouble
            | Self::ToText
            | Self::ToTimestamp
            | Self::ToDuration
            | Self::Part(_) => false,
        }
    }

    /// How many arguments it takes, a receiver among them.
    fn takes(self) -> std::ops::RangeInclusive<usize> {
        match self {
            Self::Contains | Self::StartsWith | Self::EndsWith | Self::InCidr => 2..=2,
            Self::Part(_) => 1..=2,
            Self::Size
            | Self::LowerAscii
            | Self::UpperAscii
            | Self::ToInt
            | Self::ToUint
            | Self::ToDouble
            | Self::ToText
            | Self::ToBool
            | Self::ToTimestamp
            | Self::ToDuration
            | Self::Dyn => 1..=1,
        }
    }
}

/// What can be told to be wrong with a call before it is made.
pub(super) fn check(function: Function, arguments: &[Node]) -> Result<(), String> {
    if !function.takes().contains(&arguments.len()) {
        return Err("the function takes another number of arguments".to_owned());
    }
    let literal = |at: usize| match arguments.get(at) {
        Some(Node::Literal(Value::Text(text))) => Some(&**text),
        _ => None,
    };
    match function {
        Function::ToTimestamp => literal(0).map_or(Ok(()), |text| moment::timestamp(text).map(drop)),
        Function::ToDuration => literal(0).map_or(Ok(()), |text| moment::duration(text).map(drop)),
        Function::Part(_) => literal(1).map_or(Ok(()), |text| moment::zone(text).map(drop)),
        Function::InCidr => literal(1).map_or(Ok(()), |text| network::range(text).map(drop)),
        _ => Ok(()),
    }
}
