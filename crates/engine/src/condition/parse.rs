//! From text to an expression, by descent. The descent is counted, and so is what it makes: neither the source's shape nor its
//! size can exhaust the stack here, nor later when the expression is evaluated or dropped.

use std::sync::Arc;

use super::fault::{Fault, Place};
use super::function::{self, Function};
use super::pattern::Pattern;
use super::syntax::{Binary, Loop, LoopKind, Node};
use super::token::{Token, Tokens};
use super::value::Value;
use super::{MAX_DEPTH, MAX_INPUTS, MAX_NODES};

/// Faults after this many are not collected.
const MAX_FAULTS: usize = 16;

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

pub(super) struct Parsed {
    pub(super) root: Node,
    pub(super) inputs: Vec<Arc<str>>,
}

pub(super) fn parse(source: &str) -> Result<Parsed, Vec<Fault>> {
    let mut parser = Parser {
        tokens: Tokens::new(source),
        token: Token::End,
        place: Place(0),
        depth: 0,
        nodes: 0,
        pattern_bytes: 0,
        locals: Vec::new(),
        inputs: Vec::new(),
        faults: Vec::new(),
    };
    let root = match parser.whole() {
        Ok(root) => root,
        Err(fault) => {
            parser.faults.push(fault);
            return Err(parser.faults);
        }
    };
    if parser.faults.is_empty() { Ok(Parsed { root, inputs: parser.inputs }) } else { Err(parser.faults) }
}

struct Parser<'s> {
    tokens: Tokens<'s>,
    token: Token<'s>,
    place: Place,
    /// How far down the descent is, and in loops how far up the chain built so far would reach.
    depth: usize,
    nodes: usize,
    pattern_bytes: usize,
    locals: Vec<&'s str>,
    inputs: Vec<Arc<str>>,
    /// What is wrong but does not keep the rest from being read.
    faults: Vec<Fault>,
}

/// A node, and how deep it is.
struct Built {
    node: Node,
    depth: usize,
}

impl<'s> Parser<'s> {
    fn whole(&mut self) -> Result<Node, Fault> {
        self.advance()?;
        let place = self.place;
        let built = self.expression()?;
        if self.token != Token::End {
            return Err(self.unexpected("the end"));
        }
        if never_boolean(&built.node) {
            self.fault(place, "a condition is true or false, and this never is".to_owned());
        }
        Ok(built.node)
    }

    fn advance(&mut self) -> Result<Token<'s>, Fault> {
        let (token, place) = self.tokens.next()?;
        self.place = place;
        Ok(std::mem::replace(&mut self.token, token))
    }

    fn fault(&mut self, place: Place, text: String) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault::new(place, text));
        }
    }

    fn unexpected(&self, wanted: &str) -> Fault {
        let found = match &self.token {
            Token::Name(name) => format!("`{name}`"),
            Token::Sign(sign) => format!("`{sign}`"),
            Token::Int(_) | Token::Uint(_) | Token::Double(_) => "a number".to_owned(),
            Token::Text(_) => "a string".to_owned(),
            Token::End => "the end".to_owned(),
        };
        Fault::new(self.place, format!("expected {wanted}, found {found}"))
    }

    fn at(&self, sign: &str) -> bool {
        matches!(&self.token, Token::Sign(found) if *found == sign)
    }

    fn take(&mut self, sign: &str) -> Result<bool, Fault> {
        let there = self.at(sign);
        if there {
            self.advance()?;
        }
        Ok(there)
    }

    fn expect(&mut self, sign: &str) -> Result<(), Fault> {
        if self.take(sign)? { Ok(()) } else { Err(self.unexpected(&format!("`{sign}`"))) }
    }

    fn built(&mut self, place: Place, node: Node, below: usize) -> Result<Built, Fault> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Fault::new(place, format!("the expression has more than {MAX_NODES} parts")));
        }
        if below + 1 > MAX_DEPTH {
            return Err(Fault::new(place, format!("the expression is more than {MAX_DEPTH} levels deep")));
        }
        Ok(Built { node, depth: below + 1 })
    }

    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Fault::new(self.place, format!("the expression is more than {MAX_DEPTH} levels deep")));
        }
        let outcome = inner(self);
        self.depth -= 1;
        outcome
    }

    fn expression(&mut self) -> Result<Built, Fault> {
        self.deeper(|parser| {
            let place = parser.place;
            let condition = parser.any_of()?;
            if !parser.take("?")? {
                return Ok(condition);
            }
            let then = parser.deeper(Self::any_of)?;
            parser.expect(":")?;
            let otherwise = parser.expression()?;
            let below = condition.depth.max(then.depth).max(otherwise.depth);
            parser.built(place, Node::If(Box::new([condition.node, then.node, otherwise.node])), below)
        })
    }

    fn any_of(&mut self) -> Result<Built, Fault> {
        self.chain("||", Self::all_of, Node::Or)
    }

    fn all_of(&mut self) -> Result<Built, Fault> {
        self.chain("&&", Self::relation, Node::And)
    }

    /// However long, one node: a chain is no depth.
    fn chain(
        &mut self,
        sign: &str,
        part: impl Fn(&mut Self) -> Result<Built, Fault>,
        node: impl FnOnce(Vec<Node>) -> Node,
    ) -> Result<Built, Fault> {
        let place = self.place;
        let first = part(self)?;
        if !self.at(sign) {
            return Ok(first);
        }
        let (mut parts, mut below) = (vec![first.node], first.depth);
        while self.take(sign)? {
            let next = part(self)?;
            below = below.max(next.depth);
            parts.push(next.node);
        }
        self.built(place, node(parts), below)
    }

    fn relation(&mut self) -> Result<Built, Fault> {
        self.binary(Self::sum, Binary::relation)
    }

    fn sum(&mut self) -> Result<Built, Fault> {
        self.binary(Self::product, Binary::sum)
    }

    fn product(&mut self) -> Result<Built, Fault> {
        self.binary(Self::unary, Binary::product)
    }

    fn binary(
        &mut self,
        part: impl Fn(&mut Self) -> Result<Built, Fault>,
        of: impl Fn(&str) -> Option<Binary>,
    ) -> Result<Built, Fault> {
        let place = self.place;
        let mut left = part(self)?;
        loop {
            let operator = match &self.token {
                Token::Sign(sign) => of(sign),
                Token::Name("in") => of("in"),
                _ => None,
            };
            let Some(operator) = operator else { return Ok(left) };
            self.advance()?;
            let right = part(self)?;
            let below = left.depth.max(right.depth);
            left = self.built(place, Node::Binary(operator, Box::new([left.node, right.node])), below)?;
        }
    }

    fn unary(&mut self) -> Result<Built, Fault> {
        let place = self.place;
        if self.take("!")? {
            let inner = self.deeper(Self::unary)?;
            return self.built(place, Node::Not(Box::new(inner.node)), inner.depth);
        }
        if !self.take("-")? {
            return self.member();
        }
        // The smallest integer has no positive counterpart to negate.
        if self.token == Token::Int(i64::MIN.unsigned_abs()) {
            self.advance()?;
            return self.built(place, Node::Literal(Value::Int(i64::MIN)), 0);
        }
        let inner = self.deeper(Self::unary)?;
        self.built(place, Node::Negate(Box::new(inner.node)), inner.depth)
    }

    fn member(&mut self) -> Result<Built, Fault> {
        let mut operand = self.primary()?;
        loop {
            let place = self.place;
            if self.take("[")? {
                let index = self.expression()?;
                self.expect("]")?;
                let below = operand.depth.max(index.depth);
                operand = self.built(place, Node::Index(Box::new([operand.node, index.node])), below)?;
            } else if self.take(".")? {
                let name_at = self.place;
                let name = self.name("a field or a function")?;
                operand = if self.at("(") {
                    self.method(operand, name, name_at)?
                } else {
                    self.built(name_at, Node::Select(Box::new(operand.node), name.into()), operand.depth)?
                };
            } else {
                return Ok(operand);
            }
        }
    }

    fn name(&mut self, wanted: &str) -> Result<&'s str, Fault> {
        let Token::Name(name) = self.token else { return Err(self.unexpected(wanted)) };
        self.advance()?;
        Ok(name)
    }

    fn primary(&mut self) -> Result<Built, Fault> {
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

    fn method(&mut self, operand: Built, name: &'s str, place: Place) -> Result<Built, Fault> {
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

fn never_boolean(node: &Node) -> bool {
    match node {
        Node::Literal(value) => !matches!(value, Value::Bool(_)),
        Node::Now
        | Node::ResourceType
        | Node::ResourceId
        | Node::SubjectType
        | Node::SubjectId
        | Node::List(_)
        | Node::Map(_)
        | Node::Negate(_) => true,
        Node::Binary(operator, _) => !operator.is_boolean(),
        Node::Call(function, _) => !function.may_be_boolean(),
        Node::Loop(inner) => matches!(inner.kind, LoopKind::Filter | LoopKind::Map),
        Node::If(parts) => never_boolean(&parts[1]) && never_boolean(&parts[2]),
        Node::Local(_)
        | Node::Input(_)
        | Node::HasInput(_)
        | Node::Select(..)
        | Node::Has(..)
        | Node::Index(_)
        | Node::Not(_)
        | Node::And(_)
        | Node::Or(_)
        | Node::Matches(..) => false,
    }
}
