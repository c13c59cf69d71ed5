use std::path::Path;

use serde_json::{Value, json};

use super::file::{Assertion, Expected};
use crate::Failure;
use crate::render::{self, Format, Tree};

/// How the assertions of a file went, in its order.
pub struct Report {
    pub outcomes: Vec<Outcome>,
}

pub struct Outcome {
    name: String,
    check: String,
    expected: Expected,
    /// None: it was not asked.
    actual: Option<Expected>,
    /// What a conditional answer lacks.
    pub missing: Vec<String>,
    pub why: Option<Tree>,
}

impl Outcome {
    pub fn new(asked: &Assertion, actual: Option<Expected>) -> Self {
        Self {
            name: asked.name.clone(),
            check: asked.check.split_whitespace().collect::<Vec<_>>().join(" "),
            expected: asked.expected,
            actual,
            missing: Vec::new(),
            why: None,
        }
    }

    pub fn failed(&self) -> bool {
        self.actual.is_some_and(|actual| actual != self.expected)
    }

    fn title(&self) -> String {
        if self.name.is_empty() { self.check.clone() } else { format!("{} ({})", self.name, self.check) }
    }

    /// What was expected and what is.
    pub fn headline(&self) -> String {
        let actual = self.actual.map_or("", Expected::word);
        let lacks =
            if self.missing.is_empty() { String::new() } else { format!(", for want of {}", self.missing.join(", ")) };
        format!("{}: expected {}, is {actual}{lacks}", self.title(), self.expected.word())
    }

    fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "check": self.check,
            "expected": self.expected.word(),
            "actual": self.actual.map(Expected::word),
            "missing_context": self.missing,
            "passed": self.actual.map(|_| !self.failed()),
        })
    }
}

impl Report {
    pub fn print(&self, format: Format, path: &Path) -> Result<(), Failure> {
        if format != Format::Table {
            let passed = !self.outcomes.iter().any(Outcome::failed);
            let results: Vec<Value> = self.outcomes.iter().map(Outcome::to_json).collect();
            return render::value(format, &json!({"passed": passed, "results": results}));
        }
        let mut text = format!("{}\n", path.display());
        for outcome in &self.outcomes {
            text += &match (outcome.failed(), &outcome.why, outcome.actual) {
                (false, _, None) => drawn("skip  ", &Tree::leaf(outcome.title())),
                (false, _, Some(_)) => drawn("ok    ", &Tree::leaf(outcome.title())),
                (true, Some(why), _) => drawn("FAIL  ", why),
                (true, None, _) => drawn("FAIL  ", &Tree::leaf(outcome.headline())),
            };
        }
        let asked = self.outcomes.iter().filter(|outcome| outcome.actual.is_some()).count();
        let failed = self.outcomes.iter().filter(|outcome| outcome.failed()).count();
        text += &format!("{} of {asked} assertions hold", asked - failed);
        if asked < self.outcomes.len() {
            text +=
                &format!("; {} have a time of their own, which a server does not take", self.outcomes.len() - asked);
        }
        render::text(&(text + "\n"))
    }
}

/// The mark before the first line, and the rest below it.
fn drawn(mark: &str, tree: &Tree) -> String {
    let lines = tree.draw();
    let below = " ".repeat(mark.len() + 2);
    let mut drawn = String::new();
    for (at, line) in lines.lines().enumerate() {
        drawn += &if at == 0 { format!("  {mark}{line}\n") } else { format!("{below}{line}\n") };
    }
    drawn
}
