//! Evaluation, by a walk over the expression that pays for every step before it takes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::parse::Parsed;
use super::syntax::{Loop, LoopKind, Node};
use super::value::{Key, Value};
use super::{Facts, Meter, Outcome};
use crate::id::SubjectId;

/// Why there is no value.
#[derive(Debug, Clone)]
pub(super) enum Stop {
    /// A bit for each input that is missing.
    Missing(u64),
    Failed(String),
    /// No step is left: nothing else can be made of it, by no operator.
    Spent,
}

pub(super) type Evaluated = Result<Value, Stop>;

pub(super) fn failed<T>(text: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Failed(text.into()))
}

/// Of two stops the one that stands: no step left, then a failure, then what both miss.
fn worse(left: Stop, right: Stop) -> Stop {
    match (left, right) {
        (Stop::Spent, _) | (_, Stop::Spent) => Stop::Spent,
        (Stop::Failed(text), _) | (_, Stop::Failed(text)) => Stop::Failed(text),
        (Stop::Missing(left), Stop::Missing(right)) => Stop::Missing(left | right),
    }
}

/// The same where a value of what is missing may make up for a failure.
fn open(left: Stop, right: Stop) -> Stop {
    match (left, right) {
        (Stop::Spent, _) | (_, Stop::Spent) => Stop::Spent,
        (Stop::Missing(left), Stop::Missing(right)) => Stop::Missing(left | right),
        (Stop::Missing(missing), Stop::Failed(_)) | (Stop::Failed(_), Stop::Missing(missing)) => Stop::Missing(missing),
        (failed, Stop::Failed(_)) => failed,
    }
}

pub(super) fn evaluate(parsed: &Parsed, facts: &Facts<'_>, meter: &Meter) -> Outcome {
    let granted = meter.granted();
    let mut machine = Machine { parsed, facts, steps: granted, locals: Vec::new() };
    let outcome = machine.value(&parsed.root);
    meter.spend(granted - machine.steps);
    match outcome {
        Ok(Value::Bool(true)) => Outcome::True,
        Ok(Value::Bool(false)) => Outcome::False,
        Ok(other) => Outcome::Failed(format!("a {} is neither true nor false", other.kind())),
        Err(Stop::Missing(missing)) => {
            let inputs = (0u32..).zip(&parsed.inputs).filter(|(at, _)| missing >> at & 1 == 1);
            let mut names: Vec<String> = inputs.map(|(_, name)| (**name).to_owned()).collect();
            names.sort_unstable();
            Outcome::Missing(names)
        }
        Err(Stop::Failed(text)) => Outcome::Failed(text),
        Err(Stop::Spent) => {
            if granted < super::MAX_STEPS {
                meter.spend(granted);
            }
            Outcome::Failed("the condition takes too many steps".to_owned())
        }
    }
}

pub(super) struct Machine<'a> {
    parsed: &'a Parsed,
    facts: &'a Facts<'a>,
    steps: u32,
    locals: Vec<Value>,
}

impl Machine<'_> {
    /// Pays for steps that are about to be taken.
    pub(super) fn pay(&mut self, steps: usize) -> Result<(), Stop> {
        match u32::try_from(steps).ok().and_then(|steps| self.steps.checked_sub(steps)) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => {
                self.steps = 0;
                Err(Stop::Spent)
            }
        }
    }

    /// Pays for so many bytes to be looked at or made.
    pub(super) fn pay_bytes(&mut self, bytes: usize) -> Result<(), Stop> {
        self.pay(bytes / 16)
    }

    fn value(&mut self, node: &Node) -> Evaluated {
        self.pay(1)?;
        let facts = self.facts;
        match node {
            Node::Literal(value) => Ok(value.clone()),
            Node::Local(at) => match self.locals.get(usize::from(*at)) {
                Some(value) => Ok(value.clone()),
                None => failed("a variable is not there"),
            },
            Node::Input(at) => self.given(*at).cloned().ok_or(Stop::Missing(1 << at)),
            Node::HasInput(at) => Ok(Value::Bool(self.given(*at).is_some())),
            Node::Now => Ok(Value::Timestamp(facts.now)),
            Node::ResourceType => self.text(facts.resource.map_or("", |resource| resource.type_name())),
            Node::ResourceId => self.text(facts.resource.map_or("", |resource| resource.id())),
            Node::SubjectType => self.text(match facts.subject {
                SubjectId::Member(_) => "member",
                SubjectId::ServiceAccount(_) => "service_account",
                SubjectId::Group(_) => "group",
                SubjectId::AllMembers => "all_members",
            }),
            Node::SubjectId => self.text(&facts.subject.wire()),
            Node::Select(operand, field) => {
                let operand = self.value(operand)?;
                match self.field(&operand, field)? {
                    Some(value) => Ok(value),
                    None => failed(format!("there is no field `{field}`")),
                }
            }
            Node::Has(operand, field) => {
                let operand = self.value(operand)?;
                Ok(Value::Bool(self.field(&operand, field)?.is_some()))
            }
            Node::Index(parts) => {
                let [operand, index] = self.pair(parts)?;
                self.element(&operand, &index)
            }
            Node::Not(inner) => match self.value(inner)? {
                Value::Bool(value) => Ok(Value::Bool(!value)),
                other => failed(format!("`!` does not take a {}", other.kind())),
            },
            Node::Negate(inner) => {
                let inner = self.value(inner)?;
                super::operator::negate(&inner)
            }
            Node::Binary(operator, parts) => {
                let [left, right] = self.pair(parts)?;
                self.operate(*operator, left, right)
            }
            Node::And(parts) => self.decided_by(parts, false),
            Node::Or(parts) => self.decided_by(parts, true),
            Node::If(parts) => match self.value(&parts[0])? {
                Value::Bool(true) => self.value(&parts[1]),
                Value::Bool(false) => self.value(&parts[2]),
                other => failed(format!("`?` does not take a {}", other.kind())),
            },
            Node::List(elements) => Ok(Value::List(self.values(elements.iter())?.into())),
            Node::Map(entries) => self.map(entries),
            Node::Call(function, arguments) => {
                let arguments = self.values(arguments.iter())?;
                self.call(*function, &arguments)
            }
            Node::Matches(text, pattern) => match self.value(text)? {
                Value::Text(text) => {
                    self.pay(text.len() / 4)?;
                    pattern.is_match(&text).map(Value::Bool).map_err(Stop::Failed)
                }
                other => failed(format!("`matches` does not take a {}", other.kind())),
            },
            Node::Loop(inner) => self.repeat(inner),
        }
    }

    fn given(&self, input: u8) -> Option<&Value> {
        self.facts.context.get(self.parsed.inputs.get(usize::from(input))?)
    }

    pub(super) fn text(&mut self, text: &str) -> Evaluated {
        self.pay_bytes(text.len())?;
        Ok(Value::Text(text.into()))
    }

    /// All of them, so that everything that is missing is named.
    fn values<'n>(&mut self, nodes: impl Iterator<Item = &'n Node>) -> Result<Vec<Value>, Stop> {
        let mut values = Vec::new();
        let mut stop: Option<Stop> = None;
        for node in nodes {
            match self.value(node) {
                Ok(value) => values.push(value),
                Err(next) => stop = Some(stop.map_or(next.clone(), |before| worse(before, next))),
            }
        }
        stop.map_or(Ok(values), Err)
    }

    fn pair(&mut self, nodes: &[Node; 2]) -> Result<[Value; 2], Stop> {
        match (self.value(&nodes[0]), self.value(&nodes[1])) {
            (Ok(left), Ok(right)) => Ok([left, right]),
            (Err(stop), Ok(_)) | (Ok(_), Err(stop)) => Err(stop),
            (Err(left), Err(right)) => Err(worse(left, right)),
        }
    }

    /// `||` when one true decides, `&&` when one false does.
    fn decided_by(&mut self, parts: &[Node], decisive: bool) -> Evaluated {
        let mut stop: Option<Stop> = None;
        for part in parts {
            let outcome = self.value(part);
            if let Some(decided) = gathered(outcome, decisive, &mut stop) {
                return decided;
            }
        }
        stop.map_or(Ok(Value::Bool(!decisive)), Err)
    }

    fn map(&mut self, entries: &[[Node; 2]]) -> Evaluated {
        let flat = self.values(entries.iter().flatten())?;
        let mut map = BTreeMap::new();
        for entry in flat.chunks_exact(2) {
            let key = match &entry[0] {
                Value::Double(_) => None,
                key => key.key(),
            };
            let Some(key) = key else { return failed(format!("a {} cannot be a key", entry[0].kind())) };
            if map.insert(key, entry[1].clone()).is_some() {
                return failed("a key is there twice");
            }
        }
        Ok(Value::Map(Arc::new(map)))
    }

    fn field(&mut self, operand: &Value, field: &Arc<str>) -> Result<Option<Value>, Stop> {
        match operand {
            Value::Map(map) => {
                self.pay_bytes(field.len())?;
                Ok(map.get(&Key::Text(Arc::clone(field))).cloned())
            }
            other => failed(format!("a {} has no fields", other.kind())),
        }
    }

    fn element(&mut self, operand: &Value, index: &Value) -> Evaluated {
        match operand {
            Value::List(list) => {
                let at = index.whole().and_then(|at| usize::try_from(at).ok());
                match at.and_then(|at| list.get(at)) {
                    Some(value) => Ok(value.clone()),
                    None => failed("the list has no such element"),
                }
            }
            Value::Map(map) => {
                if let Value::Text(text) = index {
                    self.pay_bytes(text.len())?;
                }
                match index.key().and_then(|key| map.get(&key).cloned()) {
                    Some(value) => Ok(value),
                    None => failed("the map has no such key"),
                }
            }
            other => failed(format!("a {} has no elements", other.kind())),
        }
    }

    fn repeat(&mut self, inner: &Loop) -> Evaluated {
        let range = match self.value(&inner.range)? {
            Value::List(list) => list,
            Value::Map(map) => {
                self.pay(map.len())?;
                map.keys().map(Value::from).collect()
            }
            other => return failed(format!("a {} has no elements to go through", other.kind())),
        };
        // What an outer macro left there; the body may hold macros of its own, which come and go above this one.
        self.locals.truncate(usize::from(inner.local));
        let outcome = self.go_through(inner, &range);
        self.locals.truncate(usize::from(inner.local));
        outcome
    }

    fn go_through(&mut self, inner: &Loop, range: &[Value]) -> Evaluated {
        let mut stop: Option<Stop> = None;
        let (mut count, mut kept) = (0usize, Vec::new());
        for element in range {
            self.pay(1)?;
            self.locals.truncate(usize::from(inner.local));
            self.locals.push(element.clone());
            let plain_map = inner.kind == LoopKind::Map && inner.transform.is_none();
            let outcome = self.value(&inner.body);
            match inner.kind {
                LoopKind::All | LoopKind::Exists => {
                    if let Some(decided) = gathered(outcome, inner.kind == LoopKind::Exists, &mut stop) {
                        return decided;
                    }
                    continue;
                }
                LoopKind::Map if plain_map => match outcome {
                    Ok(value) => kept.push(value),
                    Err(next) => stop = Some(stop.take().map_or(next.clone(), |before| worse(before, next))),
                },
                LoopKind::ExistsOne | LoopKind::Filter | LoopKind::Map => match outcome {
                    Ok(Value::Bool(false)) => {}
                    Ok(Value::Bool(true)) => {
                        count += 1;
                        match (&inner.transform, inner.kind) {
                            (Some(transform), _) => match self.value(transform) {
                                Ok(value) => kept.push(value),
                                Err(next) => {
                                    stop = Some(stop.take().map_or(next.clone(), |before| worse(before, next)));
                                }
                            },
                            (None, LoopKind::Filter) => kept.push(element.clone()),
                            (None, _) => {}
                        }
                    }
                    Ok(other) => return failed(format!("a {} is neither true nor false", other.kind())),
                    Err(next) => stop = Some(stop.take().map_or(next.clone(), |before| worse(before, next))),
                },
            }
            if let Some(Stop::Spent | Stop::Failed(_)) = stop {
                break;
            }
        }
        if let Some(stop) = stop {
            return Err(stop);
        }
        Ok(match inner.kind {
            LoopKind::All => Value::Bool(true),
            LoopKind::Exists => Value::Bool(false),
            LoopKind::ExistsOne => Value::Bool(count == 1),
            LoopKind::Filter | LoopKind::Map => Value::List(kept.into()),
        })
    }
}

/// Takes up one of several outcomes of which one that is `decisive` decides. Some once nothing further matters.
fn gathered(outcome: Evaluated, decisive: bool, stop: &mut Option<Stop>) -> Option<Evaluated> {
    let next = match outcome {
        Ok(Value::Bool(value)) if value == decisive => return Some(Ok(Value::Bool(decisive))),
        Ok(Value::Bool(_)) => return None,
        Ok(other) => Stop::Failed(format!("a {} is neither true nor false", other.kind())),
        Err(Stop::Spent) => return Some(Err(Stop::Spent)),
        Err(next) => next,
    };
    *stop = Some(match stop.take() {
        Some(before) => open(before, next),
        None => next,
    });
    None
}
