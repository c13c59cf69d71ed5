//! From text to an expression, by descent. The descent is counted, and so is what it makes: neither the source's shape nor its
//! size can exhaust the stack here, nor later when the expression is evaluated or dropped.

use std::sync::Arc;

use super::fault::{Fault, Place};
use super::syntax::{Binary, LoopKind, Node};
use super::token::{Token, Tokens};
use super::value::Value;
use super::{MAX_DEPTH, MAX_NODES};

/// Faults after this many are not collected.
const MAX_FAULTS: usize = 16;

pub(super) struct Parsed {
    pub(super) root: Node,
    pub(super) inputs: Vec<Arc<str>>,
    /// What the nodes and the tables of patterns take in memory, about.
    pub(super) bytes: usize,
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
    let bytes = parser.nodes * 2 * size_of::<Node>() + parser.pattern_bytes;
    if parser.faults.is_empty() { Ok(Parsed { root, inputs: parser.inputs, bytes }) } else { Err(parser.faults) }
}

pub(super) struct Parser<'s> {
    tokens: Tokens<'s>,
    pub(super) token: Token<'s>,
    pub(super) place: Place,
    /// How far down the descent is.
    depth: usize,
    nodes: usize,
    pub(super) pattern_bytes: usize,
    pub(super) locals: Vec<&'s str>,
    pub(super) inputs: Vec<Arc<str>>,
    /// What is wrong but does not keep the rest from being read.
    faults: Vec<Fault>,
}

/// A node, and how deep it is.
pub(super) struct Built {
    pub(super) node: Node,
    pub(super) depth: usize,
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

    pub(super) fn advance(&mut self) -> Result<Token<'s>, Fault> {
        let (token, place) = self.tokens.next()?;
        self.place = place;
        Ok(std::mem::replace(&mut self.token, token))
    }

    pub(super) fn fault(&mut self, place: Place, text: String) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault::new(place, text));
        }
    }

    pub(super) fn unexpected(&self, wanted: &str) -> Fault {
        let found = match &self.token {
            Token::Name(name) => format!("`{name}`"),
            Token::Sign(sign) => format!("`{sign}`"),
            Token::Int(_) | Token::Uint(_) | Token::Double(_) => "a number".to_owned(),
            Token::Text(_) => "a string".to_owned(),
            Token::End => "the end".to_owned(),
        };
        Fault::new(self.place, format!("expected {wanted}, found {found}"))
    }

    pub(super) fn at(&self, sign: &str) -> bool {
        matches!(&self.token, Token::Sign(found) if *found == sign)
    }

    pub(super) fn take(&mut self, sign: &str) -> Result<bool, Fault> {
        let there = self.at(sign);
        if there {
            self.advance()?;
        }
        Ok(there)
    }

    pub(super) fn expect(&mut self, sign: &str) -> Result<(), Fault> {
        if self.take(sign)? { Ok(()) } else { Err(self.unexpected(&format!("`{sign}`"))) }
    }

    pub(super) fn built(&mut self, place: Place, node: Node, below: usize) -> Result<Built, Fault> {
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

    pub(super) fn expression(&mut self) -> Result<Built, Fault> {
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

    pub(super) fn name(&mut self, wanted: &str) -> Result<&'s str, Fault> {
        let Token::Name(name) = self.token else { return Err(self.unexpected(wanted)) };
        self.advance()?;
        Ok(name)
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
