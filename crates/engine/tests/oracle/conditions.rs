//! A handful of conditions, each with what it comes to in words of our own: the reference reads no CEL.

use engine::{Condition, Context, Input, ResourceRef, SubjectId};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use time::OffsetDateTime;

use crate::world;

/// What is known: `a`, a number, and `b`, a truth. Each may be absent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known {
    pub a: Option<i32>,
    pub b: Option<bool>,
}

impl Known {
    pub fn context(self) -> Context {
        let a = self.a.map(|a| ("a".to_owned(), Input::Number(a.into())));
        let b = self.b.map(|b| ("b".to_owned(), Input::Bool(b)));
        Context::new(a.into_iter().chain(b)).unwrap()
    }
}

pub fn known() -> impl Strategy<Value = Known> {
    (option::weighted(0.6, 0..3), option::weighted(0.6, any::<bool>())).prop_map(|(a, b)| Known { a, b })
}

/// True, false, failed, or what is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Truth {
    Is(bool),
    Fails,
    Needs(Vec<&'static str>),
}

use Truth::{Fails, Is, Needs};

type Meaning = fn(Known, OffsetDateTime, SubjectId, Option<&ResourceRef>) -> Truth;

const CONDITIONS: [(&str, Meaning); 8] = [
    ("context.b", |known, _, _, _| known.b.map_or(Needs(vec!["b"]), Is)),
    ("context.a > 0 && context.b", |known, _, _, _| match (known.a, known.b) {
        (Some(..=0), _) | (_, Some(false)) => Is(false),
        (Some(_), Some(true)) => Is(true),
        (None, Some(true)) => Needs(vec!["a"]),
        (Some(_), None) => Needs(vec!["b"]),
        (None, None) => Needs(vec!["a", "b"]),
    }),
    ("10 / int(context.a) == 5", |known, _, _, _| match known.a {
        None => Needs(vec!["a"]),
        Some(0) => Fails,
        Some(a) => Is(a == 2),
    }),
    ("has(context.b) ? context.b : context.a == 1", |known, _, _, _| match (known.b, known.a) {
        (Some(b), _) => Is(b),
        (None, Some(a)) => Is(a == 1),
        (None, None) => Needs(vec!["a"]),
    }),
    ("resource.type == 'folder'", |_, _, _, resource| {
        Is(resource.is_some_and(|resource| resource.to_string().starts_with("folder/")))
    }),
    ("now < timestamp(1800000002) || context.b", |known, now, _, _| match known.b {
        _ if now < world::at(2) => Is(true),
        Some(b) => Is(b),
        None => Needs(vec!["b"]),
    }),
    ("subject.type == 'member'", |_, _, subject, _| Is(matches!(subject, SubjectId::Member(_)))),
    ("[0][1] == 0", |_, _, _, _| Fails),
];

pub fn condition() -> impl Strategy<Value = Option<Condition>> {
    let one = select(CONDITIONS.map(|(source, _)| source).to_vec()).prop_map(|source| Condition::new(source).unwrap());
    option::weighted(0.4, one)
}

pub fn truth(
    condition: &Condition,
    known: Known,
    now: OffsetDateTime,
    subject: SubjectId,
    resource: Option<&ResourceRef>,
) -> Truth {
    let (_, meaning) = CONDITIONS.iter().find(|(source, _)| *source == condition.source()).unwrap();
    meaning(known, now, subject, resource)
}
