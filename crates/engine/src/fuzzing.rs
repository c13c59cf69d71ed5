//! What a fuzzer does with conditions: see the crate `seeds`.

use seeds::Choices;
use time::{Duration, OffsetDateTime, macros::datetime};
use uuid::Uuid;

use crate::{
    condition::{
        Condition, Context, Facts, Input, MAX_DEPTH, MAX_INPUTS, MAX_SOURCE_LENGTH, MAX_STEPS, Meter, Outcome,
    },
    id::SubjectId,
    resource::ResourceRef,
};

/// What one condition may take in memory, with its patterns' tables: a snapshot counts it, and so must be able to bear it.
const MOST_BYTES: usize = 1 << 20;
const SPENT: &str = "the condition takes too many steps";

/// The first line is made into what the condition asks for; the rest is the condition.
pub fn condition(input: &[u8]) {
    let mut choices = Choices::new(input);
    let mut given = Choices::new(choices.line());
    let source = choices.text();
    let condition = match Condition::new(&source) {
        Ok(condition) => condition,
        Err(refused) => {
            let lines = source.matches('\n').count() + 1;
            assert!(!refused.0.is_empty() && refused.0.len() <= 17, "{refused}");
            assert!(refused.0.iter().all(|fault| (1..=lines).contains(&fault.line) && fault.column >= 1), "{refused}");
            // What was let pass once and is none now, means nothing; it does not fail to be read.
            let stored = Condition::stored(&source);
            assert!(!stored.is_sound());
            let outcome = evaluate(&stored, &given_facts(&Context::EMPTY), u64::from(MAX_STEPS)).0;
            assert!(matches!(outcome, Outcome::Failed(_)));
            return;
        }
    };
    let names: Vec<String> = condition.inputs().map(str::to_owned).collect();
    assert!(source.len() <= MAX_SOURCE_LENGTH && names.len() <= MAX_INPUTS && condition.bytes() <= MOST_BYTES);
    assert_eq!((condition.source(), &condition), (source.as_str(), &Condition::stored(&source)));

    let mut inputs = Vec::new();
    for name in &names {
        if given.yes() {
            inputs.push((name.clone(), value(&mut given, 4)));
        }
    }
    let known: Vec<String> = inputs.iter().map(|(name, _)| name.clone()).collect();
    let Ok(context) = Context::new(inputs) else { return };
    let facts = given_facts(&context);
    let (outcome, spent) = evaluate(&condition, &facts, u64::from(MAX_STEPS));
    assert!(spent <= u64::from(MAX_STEPS));
    assert_eq!(evaluate(&condition, &facts, u64::from(MAX_STEPS)), (outcome.clone(), spent), "the same twice");
    if let Outcome::Missing(missing) = &outcome {
        assert!(missing.is_sorted() && !missing.is_empty());
        assert!(missing.iter().all(|name| names.contains(name) && !known.contains(name)), "{missing:?} of {known:?}");
    }
    fewer_steps(&condition, &facts, &outcome, spent);
    fewer_inputs(&condition, &outcome);
    in_brackets(&source, &facts, &outcome);
}

fn given_facts(context: &Context) -> Facts<'_> {
    static DOCUMENT: std::sync::LazyLock<Option<ResourceRef>> =
        std::sync::LazyLock::new(|| ResourceRef::new("document", "d1").ok());
    static ADA: SubjectId = SubjectId::Member(Uuid::from_u128(1));
    const NOW: OffsetDateTime = datetime!(2026-01-31 08:30:00 UTC);
    Facts { now: NOW + Duration::milliseconds(250), subject: &ADA, resource: DOCUMENT.as_ref(), context }
}

fn evaluate(condition: &Condition, facts: &Facts<'_>, steps: u64) -> (Outcome, u64) {
    let meter = Meter::new(steps);
    let outcome = condition.evaluate(facts, &meter);
    (outcome, steps - meter.left())
}

fn value(choices: &mut Choices<'_>, levels: usize) -> Input {
    match choices.below(if levels == 0 { 5 } else { 7 }) {
        0 => Input::Null,
        1 => Input::Bool(choices.yes()),
        2 => Input::Number(f64::from(choices.byte()) - 48.0),
        3 => Input::Number(f64::from_bits(choices.number())),
        4 => Input::Text(text(choices)),
        5 => Input::List((0..choices.below(5)).map(|_| value(choices, levels - 1)).collect()),
        _ => Input::Object((0..choices.below(4)).map(|_| (text(choices), value(choices, levels - 1))).collect()),
    }
}

fn text(choices: &mut Choices<'_>) -> String {
    let length = choices.below(24);
    String::from_utf8_lossy(&(0..length).map(|_| choices.byte()).collect::<Vec<_>>()).into_owned()
}

/// With fewer steps than it took, it says so and nothing else.
fn fewer_steps(condition: &Condition, facts: &Facts<'_>, outcome: &Outcome, spent: u64) {
    if spent == 0 || is_spent(outcome) {
        return;
    }
    assert_eq!(evaluate(condition, facts, spent).0, *outcome, "just enough is enough");
    let meter = Meter::new(spent - 1);
    let with_less = condition.evaluate(facts, &meter);
    assert!(is_spent(&with_less) && meter.is_exhausted(), "{with_less:?}");
}

/// What is decided while everything is missing stays so, whatever is given.
fn fewer_inputs(condition: &Condition, outcome: &Outcome) {
    let without = evaluate(condition, &given_facts(&Context::EMPTY), u64::from(MAX_STEPS)).0;
    // Whoever asks whether an input is given, gets another answer when it is.
    if is_spent(&without) || is_spent(outcome) || condition.source().contains("has") {
        return;
    }
    match without {
        Outcome::True | Outcome::False => assert_eq!(without, *outcome),
        Outcome::Failed(_) => assert!(matches!(outcome, Outcome::Failed(_)), "{without:?} became {outcome:?}"),
        Outcome::Missing(_) => {}
    }
}

/// Written another way it comes to the same.
fn in_brackets(source: &str, facts: &Facts<'_>, outcome: &Outcome) {
    for (open, close) in
        [("(", "\n)"), ("!(!(", "\n))"), ("true && (", "\n)"), ("(", "\n) || false"), ("(", "\n) ? true : false")]
    {
        let Ok(other) = Condition::new(&format!("{open}{source}{close}")) else { continue };
        let (other, _) = evaluate(&other, facts, u64::from(MAX_STEPS));
        if is_spent(&other) || is_spent(outcome) {
            continue;
        }
        match (&other, outcome) {
            (Outcome::Failed(_), Outcome::Failed(_)) => {}
            (other, outcome) => assert_eq!(other, outcome, "{open}{source}{close}"),
        }
    }
    // Brackets are refused for their depth or number alone: what has room for them is a condition with them.
    let signs = source.bytes().filter(|byte| !byte.is_ascii_alphanumeric()).count();
    let roomy = source.len() + 3 <= MAX_SOURCE_LENGTH && signs + 4 < MAX_DEPTH;
    assert!(!roomy || Condition::new(&format!("({source}\n)")).is_ok(), "({source})");
}

fn is_spent(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(text) if text == SPENT)
}

#[cfg(test)]
mod tests {
    #[test]
    fn condition() {
        seeds::each("condition", super::condition);
    }
}
