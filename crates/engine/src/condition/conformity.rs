//! Random expressions come to what the crate `cel` makes of them.
//!
//! Not compared are inputs that are missing, and what only we have (`in_cidr`) or only they have. One difference is known and kept out: to
//! the language's definition the milliseconds of a duration are those within its second, to them they are all of them.

use proptest::prelude::*;
use proptest::sample::select;
use time::macros::datetime;

use super::*;

/// Theirs, on a stack that their parser does not overflow.
fn theirs(source: &str) -> Option<bool> {
    let source = source.to_owned();
    let evaluate = move || {
        let program = cel::Program::compile(&source).unwrap_or_else(|error| panic!("{source}: {error}"));
        match program.execute(&cel::Context::default()) {
            Ok(cel::Value::Bool(value)) => Some(value),
            _ => None,
        }
    };
    std::thread::Builder::new().stack_size(64 << 20).spawn(evaluate).unwrap().join().unwrap()
}

fn ours(source: &str) -> Option<bool> {
    let condition = Condition::new(source).unwrap_or_else(|error| panic!("{source}: {error}"));
    let now = datetime!(2026-01-31 08:30:00 UTC);
    let facts = Facts { now, subject: &SubjectId::AllMembers, resource: None, context: &Context::EMPTY };
    match condition.evaluate(&facts, &Meter::default()) {
        Outcome::True => Some(true),
        Outcome::False => Some(false),
        Outcome::Failed(_) => None,
        Outcome::Missing(names) => panic!("{source}: {names:?}"),
    }
}

fn literal(of: &'static [&'static str]) -> BoxedStrategy<String> {
    select(of.to_vec()).prop_map(ToOwned::to_owned).boxed()
}

fn ints() -> BoxedStrategy<String> {
    literal(&["0", "1", "2", "7", "-1", "9223372036854775807", "-9223372036854775808", "0x10"])
}

fn texts() -> BoxedStrategy<String> {
    literal(&[
        "''",
        "'a'",
        "'ab'",
        "'b'",
        "\"it's\"",
        "'é'",
        "r'a\\n'",
        "'a\\n'",
        "'\\u00e9'",
        "'2026-01-01T00:00:00Z'",
        "'12'",
        "'1h30m'",
    ])
}

fn truths() -> BoxedStrategy<String> {
    let any = prop_oneof![ints(), texts(), literal(&["true", "null", "1.5", "2u", "[]", "[1, 2]", "{'a': 1}"])];
    let comparison = literal(&["==", "!=", "<", "<=", ">", ">="]);
    let leaf = prop_oneof![
        2 => literal(&["true", "false"]),
        4 => (ints(), literal(&["+", "-", "*", "/", "%"]), ints(), comparison.clone(), ints())
            .prop_map(|(a, sign, b, compared, c)| format!("{a} {sign} {b} {compared} {c}")),
        2 => (texts(), comparison.clone(), texts(), texts()).prop_map(|(a, compared, b, c)| format!("{a} {compared} {b} + {c}")),
        2 => (texts(), literal(&["contains", "startsWith", "endsWith"]), texts()).prop_map(|(a, name, b)| format!("{a}.{name}({b})")),
        2 => (any.clone(), literal(&["==", "!="]), any.clone()).prop_map(|(a, compared, b)| format!("{a} {compared} {b}")),
        1 => (any.clone(), literal(&["<", "in"]), any.clone()).prop_map(|(a, compared, b)| format!("{a} {compared} {b}")),
        2 => (ints(), ints(), ints()).prop_map(|(a, b, c)| format!("{a} in [{b}, {c}]")),
        1 => (ints(), ints(), ints()).prop_map(|(a, b, c)| format!("[{a}, {b}][{c}] == {a}")),
        1 => (texts(), texts(), ints()).prop_map(|(a, b, c)| format!("{{{a}: {c}}}[{b}] == {c}")),
        1 => texts().prop_map(|text| format!("int({text}) == 12")),
        1 => texts().prop_map(|text| format!("size({text}) == {text}.size() && size({text}) > 1")),
        1 => (texts(), literal(&["'a'", "'^a?b$'", "'[a-z]+'", "'.*'", "'(a|b)'"])).prop_map(|(a, b)| format!("{a}.matches({b})")),
        1 => (ints(), literal(&["double", "string", "uint"])).prop_map(|(a, name)| format!("{name}({a}) == {name}({a}) && {name}(1) != {name}({a})")),
        1 => literal(&[
            "timestamp('2026-01-31T08:30:00Z').getHours() == 8", "timestamp('2026-01-31T23:30:00Z').getDate() == 31",
            "timestamp('2026-01-31T23:30:00Z').getDayOfWeek() == 6", "timestamp('2026-01-31T23:30:00Z').getDayOfYear() == 30",
            "timestamp('2026-01-31T23:30:00Z').getHours('Europe/Berlin') == 0", "timestamp('2026-07-31T23:30:00Z').getMonth() == 6",
            "timestamp('2026-01-31T23:30:00Z') + duration('1h') > timestamp('2026-02-01T00:00:00Z')",
            "duration('1h30m') == duration('90m')", "duration('-1h') < duration('0s')",
        ]),
    ];
    leaf.prop_recursive(4, 40, 3, |inner| {
        let item = prop_oneof![literal(&["x > 1", "x == 2", "1 / x == 1", "x in [1, 2]"]), inner.clone()];
        prop_oneof![
            3 => (inner.clone(), literal(&["&&", "||"]), inner.clone()).prop_map(|(a, sign, b)| format!("({a}) {sign} ({b})")),
            2 => (inner.clone(), literal(&["&&", "||"]), inner.clone(), literal(&["&&", "||"]), inner.clone())
                .prop_map(|(a, one, b, other, c)| format!("{a} {one} {b} {other} {c}")),
            1 => inner.clone().prop_map(|a| format!("!({a})")),
            1 => (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a}) ? ({b}) : ({c})")),
            2 => (literal(&["all", "exists", "exists_one"]), ints(), ints(), item.clone())
                .prop_map(|(name, a, b, body)| format!("[{a}, {b}].{name}(x, {body})")),
            1 => (ints(), ints(), item.clone()).prop_map(|(a, b, body)| format!("[{a}, {b}].filter(x, {body}).size() == 1")),
            1 => (ints(), ints(), inner.clone()).prop_map(|(a, b, c)| format!("[{a}, {b}].map(x, x)[0] == {a} && ({c})")),
            1 => inner.prop_map(|a| format!("has({{'a': 1}}.a) && !has({{'a': 1}}.b) && ({a})")),
        ]
    }).boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn expressions_come_to_what_another_implementation_makes_of_them(source in truths()) {
        prop_assert_eq!(ours(&source), theirs(&source), "{}", source);
    }
}
