//! The parts that operators join: literals, names, calls, and the macros.

use std::sync::Arc;

use super::MAX_INPUTS;
use super::fault::{Fault, Place};
use super::function::{self, Function};
use super::parse::{Built, Parser};
use super::pattern::Pattern;
use super::syntax::{Loop, LoopKind, Node};
use super::token::Token;
use super::value::Value;

const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];
const VARIABLES: [&str; 4] = ["context", "now", "resource", "subject"];

impl<'s> Parser<'s> {
    pub(super) fn primary(&mut self) -> Result<Built, Fault> {
        let place = self.place;
        match self.advance()? {
            Token::Int(value) => match i64::try_from(value) {
                Ok(value) => self.built(place, Node::Literal(Value::Int(value)), 0),
                Err(_) => Err(Fault::new(place, format!("`{value}` is not a number that can be held"))),
            },
            Token::Uint(value) => self.built(place, Node::Literal(Value::Uint(value)), 0),
            Token::Double(value) => self.built(place, Node::Literal(Value::Double(value)), 0),
            Token::Text(text) => self.built(place, Node::Literal(Value::Text(text.into())), 0),
            Token::Sign("(") => {
                let inner = self.expression()?;
                self.expect(")")?;
                Ok(inner)
            }
            Token::Sign("[") => self.list(place),
            Token::Sign("{") => self.map(place),
            Token::Name(name) if self.at("(") => self.function(name, place),
            Token::Name(name) => self.variable(name, place),
            other => {
                (self.token, self.place) = (other, place);
                Err(self.unexpected("a value"))
            }
        }
    }

    fn list(&mut self, place: Place) -> Result<Built, Fault> {
        let (elements, below) = self.arguments("]")?;
        self.built(place, Node::List(elements), below)
    }

    /// What stands between commas until the closing bracket, which is taken. One comma at the end is allowed.
    fn arguments(&mut self, close: &str) -> Result<(Vec<Node>, usize), Fault> {
        let (mut parts, mut below) = (Vec::new(), 0);
        while !self.take(close)? {
            let part = self.expression()?;
            below = below.max(part.depth);
            parts.push(part.node);
            if !self.at(close) {
                self.expect(",")?;
                if close == ")" && self.at(close) {
                    return Err(self.unexpected("a value"));
                }
            }
        }
        Ok((parts, below))
    }

    fn map(&mut self, place: Place) -> Result<Built, Fault> {
        let (mut entries, mut below) = (Vec::new(), 0);
        while !self.take("}")? {
            let key = self.expression()?;
            self.expect(":")?;
            let value = self.expression()?;
            below = below.max(key.depth).max(value.depth);
            entries.push([key.node, value.node]);
            if !self.at("}") {
                self.expect(",")?;
            }
        }
        self.built(place, Node::Map(entries), below)
    }

    fn variable(&mut self, name: &'s str, place: Place) -> Result<Built, Fault> {
        if let Some(local) = self.locals.iter().rposition(|local| *local == name) {
            return self.built(place, Node::Local(local as u8), 0);
        }
        let node = match name {
            "true" => Node::Literal(Value::Bool(true)),
            "false" => Node::Literal(Value::Bool(false)),
            "null" => Node::Literal(Value::Null),
            "now" => Node::Now,
            "context" => return self.input(place),
            "resource" | "subject" => {
                let field = if self.take(".")? { self.name("a field")? } else { "" };
                match (name, field) {
                    ("resource", "type") => Node::ResourceType,
                    ("resource", "id") => Node::ResourceId,
                    ("subject", "type") => Node::SubjectType,
                    ("subject", "id") => Node::SubjectId,
                    _ => {
                        self.fault(place, format!("`{name}` has `type` and `id`, and is nothing without them"));
                        Node::Now
                    }
                }
            }
            reserved if RESERVED.contains(&reserved) || reserved == "in" => {
                return Err(Fault::new(place, format!("`{reserved}` is a reserved word")));
            }
            unknown => {
                let known = "known are `context`, `now`, `resource` and `subject`";
                self.fault(place, format!("`{unknown}` is not known; {known}"));
                Node::Now
            }
        };
        self.built(place, node, 0)
    }

    /// What follows `context`: one name, so that what a condition asks for can be read off it.
    fn input(&mut self, place: Place) -> Result<Built, Fault> {
        let name: Arc<str> = if self.take(".")? {
            let name = self.name("the name of an input")?;
            if self.at("(") {
                self.fault(place, "`context` is used by the name of an input: `context.name`".to_owned());
            }
            name.into()
        } else if self.take("[")? {
            let Token::Text(name) = self.advance()? else {
                return Err(Fault::new(place, "an input is named by a string: `context[\"name\"]`".to_owned()));
            };
            self.expect("]")?;
            name.into()
        } else {
            self.fault(place, "`context` is used by the name of an input: `context.name`".to_owned());
            return self.built(place, Node::Now, 0);
        };
        let known = self.inputs.iter().position(|input| *input == name);
        let at = known.unwrap_or_else(|| {
            self.inputs.push(name);
            self.inputs.len() - 1
        });
        if at >= MAX_INPUTS {
            return Err(Fault::new(place, format!("the expression has more than {MAX_INPUTS} inputs")));
        }
        self.built(place, Node::Input(at as u8), 0)
    }

    fn function(&mut self, name: &'s str, place: Place) -> Result<Built, Fault> {
        self.expect("(")?;
        if name == "has" {
            return self.has(place);
        }
        let (arguments, below) = self.arguments(")")?;
        if name == "matches" {
            return self.matches(arguments, below, place);
        }
        self.call(Function::global(name), name, arguments, below, place)
    }

    fn call(
        &mut self,
        function: Option<Function>,
        name: &str,
        arguments: Vec<Node>,
        below: usize,
        place: Place,
    ) -> Result<Built, Fault> {
        let Some(function) = function else {
            self.fault(place, format!("there is no function `{name}`"));
            return self.built(place, Node::Now, below);
        };
        if let Err(text) = function::check(function, &arguments) {
            self.fault(place, text);
        }
        self.built(place, Node::Call(function, arguments), below)
    }

    fn has(&mut self, place: Place) -> Result<Built, Fault> {
        let inner = self.expression()?;
        self.expect(")")?;
        let node = match inner.node {
            Node::Input(at) => Node::HasInput(at),
            Node::Select(operand, field) => Node::Has(operand, field),
            _ => {
                self.fault(place, "`has` takes a field: `has(context.name)`".to_owned());
                Node::Now
            }
        };
        self.built(place, node, inner.depth)
    }

    pub(super) fn method(&mut self, operand: Built, name: &'s str, place: Place) -> Result<Built, Fault> {
        self.expect("(")?;
        if let Some(kind) = LoopKind::named(name) {
            return self.repeated(kind, operand, place);
        }
        let (rest, below) = self.arguments(")")?;
        let below = below.max(operand.depth);
        let arguments: Vec<Node> = std::iter::once(operand.node).chain(rest).collect();
        if name == "matches" {
            return self.matches(arguments, below, place);
        }
        self.call(Function::method(name), name, arguments, below, place)
    }

    fn matches(&mut self, arguments: Vec<Node>, below: usize, place: Place) -> Result<Built, Fault> {
        let Ok([text, pattern]) = <[Node; 2]>::try_from(arguments) else {
            self.fault(place, "`matches` takes a text and a pattern".to_owned());
            return self.built(place, Node::Now, below);
        };
        let Node::Literal(Value::Text(pattern)) = pattern else {
            self.fault(place, "the pattern of `matches` is written out, as a string".to_owned());
            return self.built(place, Node::Now, below);
        };
        match Pattern::compile(&pattern, &mut self.pattern_bytes) {
            Ok(pattern) => self.built(place, Node::Matches(Box::new(text), pattern), below),
            Err(text) => {
                self.fault(place, text);
                self.built(place, Node::Now, below)
            }
        }
    }

    fn repeated(&mut self, kind: LoopKind, range: Built, place: Place) -> Result<Built, Fault> {
        let name_at = self.place;
        let name = self.name("the name of a variable")?;
        if VARIABLES.contains(&name) || RESERVED.contains(&name) || ["true", "false", "null", "in"].contains(&name) {
            self.fault(name_at, format!("`{name}` cannot be the name of a variable"));
        }
        self.expect(",")?;
        self.locals.push(name);
        let local = (self.locals.len() - 1) as u8;
        let body = self.expression()?;
        let transform = if kind == LoopKind::Map && self.take(",")? { Some(self.expression()?) } else { None };
        self.locals.pop();
        self.expect(")")?;
        let below = range.depth.max(body.depth).max(transform.as_ref().map_or(0, |transform| transform.depth));
        let inner =
            Loop { kind, range: range.node, local, body: body.node, transform: transform.map(|built| built.node) };
        self.built(place, Node::Loop(Box::new(inner)), below)
    }
}
