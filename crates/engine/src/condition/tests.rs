//! What conditions come to, and that nothing that comes from outside makes them fail otherwise than by saying so.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use time::macros::datetime;
use uuid::Uuid;

use super::*;

const NOW: OffsetDateTime = datetime!(2026-01-31 08:30:00.250 UTC);

fn context(inputs: &[(&str, Input)]) -> Context {
    Context::new(inputs.iter().map(|(name, input)| ((*name).to_owned(), input.clone()))).unwrap()
}

fn evaluated(source: &str, context: &Context) -> Outcome {
    let condition = Condition::new(source).unwrap_or_else(|faults| panic!("{source}: {faults}"));
    let resource = ResourceRef::new("document", "42").unwrap();
    let subject = SubjectId::Member(Uuid::from_u128(0x0189_0a5d_ac96_774b_bcce_b302_099a_8057));
    let facts = Facts { now: NOW, subject: &subject, resource: Some(&resource), context };
    condition.evaluate(&facts, &Meter::default())
}

fn outcome(source: &str) -> Outcome {
    let words = Input::List(vec![Input::Text("red".to_owned()), Input::Text("green".to_owned())]);
    let person = Input::Object(vec![("age".to_owned(), Input::Number(40.0)), ("tags".to_owned(), words.clone())]);
    let known = [
        ("ip", Input::Text("10.1.2.3".to_owned())),
        ("mapped", Input::Text("::ffff:10.1.2.3".to_owned())),
        ("level", Input::Number(3.0)),
        ("yes", Input::Bool(true)),
        ("nothing", Input::Null),
        ("words", words),
        ("person", person),
    ];
    evaluated(source, &context(&known))
}

fn is_true(sources: &[&str]) {
    for source in sources {
        assert_eq!(outcome(source), Outcome::True, "{source}");
    }
}

fn fails(sources: &[&str]) {
    for source in sources {
        assert!(matches!(outcome(source), Outcome::Failed(_)), "{source}: {:?}", outcome(source));
    }
}

#[test]
fn operators_follow_the_language() {
    is_true(&[
        "1 + 2 * 3 == 7 && (1 + 2) * 3 == 9 && 7 / 2 == 3 && -7 % 3 == -1 && 7.0 / 2.0 == 3.5",
        "1 == 1.0 && 1u == 1 && 2 > 1.5 && 1u < 2 && 9007199254740993 > 9007199254740992.0",
        "'a' + 'b' == 'ab' && 'a' < 'b' && [1] + [2] == [1, 2] && {'a': 1} == {'a': 1.0}",
        "1 != '1' && null != false && [] != {}",
        "2 in [1, 2] && !(3 in [1, 2]) && 'a' in {'a': 1} && 1.0 in {1: 2}",
        "true ? true : 1 / 0 == 1",
        "-9223372036854775808 < 0 && 0xff == 255 && 1e3 == 1000.0 && .5 == 0.5",
        "[1, 2, 3][1] == 2 && {'a': 1}['a'] == 1 && {'a': {'b': 1}}.a.b == 1 && [1][0.0] == 1",
        "'\\u00e9' == 'é' && r'\\n' == '\\\\n' && '''a\nb''' == 'a\\nb' && \"it's\" == 'it\\'s' && '\\101' == 'A'",
        "1 < 2 == true // a remark",
    ]);
    fails(&[
        "9223372036854775807 + 1 > 0",
        "-(-9223372036854775808) > 0",
        "-9223372036854775808 / -1 > 0",
        "-9223372036854775808 % -1 > 0",
        "0u - 1u > 0u",
        "1 / 0 == 1",
        "1 % 0 == 1",
        "1 + 1.0 == 2",
        "'a' < 1",
        "[1][1] == 1",
        "[1][-1] == 1",
        "{'a': 1}.b == 1",
        "{'a': 1, 'a': 2}.a == 1",
        "!context.level",
        "context.level ? true : false",
        "context.person.name == 'x'",
    ]);
}

#[test]
fn macros_go_through_lists_and_maps() {
    is_true(&[
        "[1, 2].all(x, x > 0) && [1, 2].exists(x, x > 1) && [1, 2].exists_one(x, x > 1)",
        "[1, 2, 3].filter(x, x > 1) == [2, 3] && [1, 2].map(x, x * 2) == [2, 4]",
        "[1, 2, 3].map(x, x > 1, x * 2) == [4, 6] && {'a': 1}.all(k, k == 'a')",
        "[[1], [2]].all(x, x.exists(y, y > 0)) && [1].all(x, [2].all(y, [3].all(x, x == 3) && x == 1 && y == 2))",
        "context.words.exists(word, word == 'green') && context.person.tags.size() == 2",
        "[].all(x, x) && ![].exists(x, x)",
        "['a', 1].exists(x, x == 1) && [1, 0].exists(x, 1 / x == 1) && ![0, 1].all(x, 1 / x == 2)",
        "has(context.person.age) && !has(context.person.name) && has(context.nothing) && !has(context.unknown)",
    ]);
    fails(&["[1].all(x, x)", "1.0.all(x, true)", "[1, 0].all(x, 1 / x == 1)", "[1, 0].exists_one(x, 1 / x == 1)"]);
}

#[test]
fn functions_read_texts_times_and_addresses() {
    is_true(&[
        "'héllo'.size() == 5 && size([1]) == 1 && 'abc'.contains('b') && 'abc'.startsWith('a') && 'abc'.endsWith('c')",
        "'ABC'.lowerAscii() == 'abc' && 'abc'.upperAscii() == 'ABC'",
        "int('12') == 12 && int(1.9) == 1 && uint(1) == 1u && double('1.5') == 1.5 && string(1) == '1' && bool('true')",
        "context.ip.in_cidr('10.0.0.0/8') && !context.ip.in_cidr('10.2.0.0/16') && context.mapped.in_cidr('10.0.0.0/8')",
        "'2001:db8::1'.in_cidr('2001:db8::/32') && !'2001:db8::1'.in_cidr('0.0.0.0/0') && '1.2.3.4'.in_cidr('0.0.0.0/0')",
        "now.getHours() == 8 && now.getHours('Europe/Berlin') == 9 && now.getHours('-08:30') == 0 && now.getMinutes() == 30",
        "now.getFullYear() == 2026 && now.getMonth() == 0 && now.getDate() == 31 && now.getDayOfMonth() == 30",
        "now.getDayOfWeek() == 6 && now.getDayOfYear() == 30 && now.getMilliseconds() == 250",
        "timestamp('2026-07-01T12:00:00Z').getHours('Europe/Berlin') == 14",
        "now > timestamp('2026-01-01T00:00:00Z') && now < timestamp('2026-01-31T10:00:00+01:00')",
        "now - timestamp('2026-01-31T08:00:00Z') > duration('30m') && duration('1h30m').getMinutes() == 90",
        "timestamp('2026-01-01T00:00:00Z') + duration('24h') == timestamp('2026-01-02T00:00:00Z')",
        "duration('-1.5s') < duration('0') && string(duration('1m0.5s')) == '60.5s' && int(timestamp(5)) == 5",
        "'ada@acme.test'.matches('^[a-z]+@acme[.]test$') && matches('x1', '\\\\d') && !'٣'.matches('\\\\d')",
        "'é'.matches('^.$') && 'a b'.matches('\\\\bb') && 'AB'.matches('(?i)ab')",
        "resource.type == 'document' && resource.id == '42' && subject.type == 'member'",
        "subject.id == 'member_01h455vb4pex5vsknk084sn02q'",
        "dyn(context['level']) == 3",
    ]);
    fails(&[
        "'x'.in_cidr('10.0.0.0/8')",
        "'10.0.0.1 '.in_cidr('10.0.0.0/8')",
        "'010.0.0.1'.in_cidr('10.0.0.0/8')",
        "context.level.in_cidr('10.0.0.0/8')",
        "int('x') == 1",
        "int(9223372036854775807.0) == 1",
        "int(double('NaN')) == 0",
        "uint(-1) == 0u",
        "timestamp('9999-12-31T23:59:59Z') + duration('1h') > now",
        "timestamp(253402300800) > now",
        "now.getHours(context.ip) == 1",
        "context.level.matches('x')",
    ]);
}

#[test]
fn what_is_missing_is_named_unless_it_does_not_matter() {
    let missing = |names: &[&str]| Outcome::Missing(names.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(outcome("context.b && context.a"), missing(&["a", "b"]));
    assert_eq!(outcome("context.a == context.b"), missing(&["a", "b"]));
    assert_eq!(outcome("context.yes || context.a"), Outcome::True);
    assert_eq!(outcome("context.a || context.yes"), Outcome::True);
    assert_eq!(outcome("context.a && !context.yes"), Outcome::False);
    assert_eq!(outcome("context.a && context.yes"), missing(&["a"]));
    assert_eq!(outcome("context.a ? context.b : context.c"), missing(&["a"]));
    assert_eq!(outcome("has(context.a) && context.a > 1"), Outcome::False);
    assert_eq!(outcome("context.a.b.c == 1"), missing(&["a"]));
    assert_eq!(outcome("[context.a].exists(x, x == 1)"), missing(&["a"]));
    assert_eq!(outcome("[1, 2].exists(x, x == context.a || x == 2)"), Outcome::True);
    assert_eq!(outcome("[1, 2].all(x, x == context.a && x == 3)"), Outcome::False);
    assert_eq!(outcome("1 / 0 == 1 || context.a"), missing(&["a"]), "a true value would decide");
    assert_eq!(outcome("1 / 0 == 1 || context.yes"), Outcome::True);
    assert!(matches!(outcome("1 / 0 == context.a"), Outcome::Failed(_)), "no value would");
}

#[test]
fn every_fault_is_named_with_its_place() {
    let faults = |source: &str| Condition::new(source).unwrap_err().to_string();
    assert_eq!(
        faults("contxt.a &&\n  foo(1) && 'x'.getHours(1, 2) == 1"),
        "line 1, column 1: `contxt` is not known; known are `context`, `now`, `resource` and `subject`; \
         line 2, column 3: there is no function `foo`; \
         line 2, column 17: the function takes another number of arguments"
    );
    assert_eq!(faults("'é' == )"), "line 1, column 8: expected a value, found `)`");
    assert_eq!(faults(""), "line 1, column 1: expected a value, found the end");
    assert_eq!(faults("1 + 1"), "line 1, column 1: a condition is true or false, and this never is");
    for source in [
        "true true",
        "'",
        "'\\q'",
        "'\\ud800'",
        "'\\U00110000'",
        "b'x'",
        "1x",
        "99999999999999999999",
        "1e999",
        "a.b{c: 1}",
        "context",
        "context.all(x, true)",
        "context[now]",
        "resource",
        "resource.kind == 'x'",
        "subject.id.size()",
        "let == 1",
        "[1].all(1, true)",
        "[1].all(context, true)",
        "[1].map(x)",
        "has(now)",
        "has(context)",
        "'x'.matches(context.a)",
        "'x'.matches('(')",
        "'x'.matches('[a&&b]')",
        "'x'.matches('(a{1000}){1000}')",
        "timestamp('x') < now",
        "now.getHours('Mars/Olympus') == 1",
        "'1.1.1.1'.in_cidr('10.0.0.1/8')",
        "'1.1.1.1'.in_cidr('::ffff:0:0/96')",
        "now.getHours(\"+25:00\") == 1",
        "true ? true",
        "\u{0}",
        "=",
        "a = b",
        "true &",
        "@",
        "in",
    ] {
        assert!(Condition::new(source).is_err(), "{source}");
    }
}

#[test]
fn a_stored_text_that_is_no_condition_fails_always() {
    let condition = Condition::stored("1 +");
    let subject = SubjectId::AllMembers;
    let facts = Facts { now: NOW, subject: &subject, resource: None, context: &Context::EMPTY };
    assert!(!condition.is_sound() && condition.source() == "1 +");
    assert!(matches!(condition.evaluate(&facts, &Meter::default()), Outcome::Failed(_)));
}

/// Runs it where the stack is as small as a server's threads have it.
fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(1 << 20).spawn(test).unwrap().join().unwrap();
}

#[test]
fn no_text_exhausts_the_stack() {
    on_a_small_stack(|| {
        let full = |part: &str| part.repeat(MAX_SOURCE_LENGTH / part.len());
        let parts = [
            "(",
            "[",
            "{",
            "!",
            "-",
            "a?",
            "a?a:",
            "f(",
            "a[",
            "a.b(",
            "{1:",
            "!(",
            "-(",
            "[1].map(x,",
            "[1].all(x,",
            "'",
            "\\",
            "\"",
            "+",
            "true?(",
            "has(",
            "context[",
        ];
        for part in parts {
            assert!(Condition::new(&full(part)).is_err(), "{part}");
        }
        for (first, chain) in [("1", "+1"), ("now", ".a"), ("now", "[0]"), ("1", "<1"), ("'a'", "+'a'")] {
            assert!(Condition::new(&format!("{first}{}", chain.repeat(500))).is_err(), "{chain}");
        }
        let chain = format!("true{}", "||context.a".repeat(200));
        assert_eq!(evaluated(&chain, &Context::EMPTY), Outcome::True);
        let deep = |inner: &str| format!("{}{inner}{}", "(".repeat(MAX_DEPTH - 1), ")".repeat(MAX_DEPTH - 1));
        assert_eq!(evaluated(&deep("true"), &Context::EMPTY), Outcome::True);
        let nested = |levels: usize| format!("{}true{}", "[1].all(x,".repeat(levels), ")".repeat(levels));
        assert_eq!(evaluated(&nested(MAX_DEPTH - 2), &Context::EMPTY), Outcome::True);
        assert!(Condition::new(&nested(MAX_DEPTH + 1)).is_err());
        assert!(Condition::new(&"x".repeat(MAX_SOURCE_LENGTH + 1)).is_err());
    });
}

/// As much of everything as a context may hold.
fn large() -> Context {
    let many = Input::List(vec![Input::Number(1.0); 3_000]);
    let long = Input::Text("ab".repeat(3_000));
    context(&[("many", many), ("long", long)])
}

#[test]
fn no_expression_runs_long_whatever_the_context_holds() {
    on_a_small_stack(|| {
        let context = large();
        let many = "context.many";
        let twice = |text: &str, times: usize| (0..times).fold(text.to_owned(), |text, _| format!("[{text}, {text}]"));
        let doubled =
            format!("[{}].map(a, a + a).map(a, a + a).map(a, a + a).size() > 0", vec!["context.long"; 60].join(","));
        for source in [
            format!("{many}.all(a, {many}.all(b, {many}.all(c, a == b && b == c)))"),
            format!("{many}.map(a, {many}).map(a, {many} == a).size() == 1"),
            format!("{many}.map(a, {many} + {many}).all(a, a == a)"),
            format!("{many}.all(a, !('b' in {many}))"),
            format!("{many}.all(a, context.long.contains('c') || true)"),
            format!("{many}.all(a, context.long.matches('(a|b)*c') || true)"),
            format!("{many}.map(a, context.long + context.long).size() > 0"),
            format!("{many}.all(a, string(1.0e308).size() > 0)"),
            format!("{many}.map(a, {many}.map(b, {{'x': a, 'y': b}})).size() > 0"),
            format!("{} == {}", twice(many, 5), twice(many, 5)),
            doubled,
        ] {
            let took = quickest(|| {
                let outcome = evaluated(&source, &context);
                assert!(matches!(outcome, Outcome::Failed(_)), "{source}: {outcome:?}");
            });
            assert!(took < Duration::from_millis(500), "{source}: {took:?}");
        }
    });
}

#[test]
fn a_meter_that_is_empty_says_so() {
    let condition = Condition::new("[1, 2, 3].all(x, x > 0)").unwrap();
    let subject = SubjectId::AllMembers;
    let facts = Facts { now: NOW, subject: &subject, resource: None, context: &Context::EMPTY };
    let meter = Meter::new(100);
    let outcomes: Vec<Outcome> = (0..20).map(|_| condition.evaluate(&facts, &meter)).collect();
    assert_eq!(outcomes[0], Outcome::True);
    assert!(meter.is_exhausted() && matches!(outcomes[19], Outcome::Failed(_)));
    let roomy = Meter::default();
    let endless = Condition::new(
        "[1,1,1,1,1,1,1,1].all(a,[1,1,1,1,1,1,1,1].all(b,[1,1,1,1,1,1,1,1].all(c,[1,1,1,1,1,1,1,1].all(d,\
        [1,1,1,1,1,1,1,1].all(e,[1,1,1,1,1,1,1,1].all(f, true))))))",
    )
    .unwrap();
    assert!(matches!(endless.evaluate(&facts, &roomy), Outcome::Failed(_)));
    assert!(!roomy.is_exhausted(), "one that is too long by itself is no fault of the others");
}

/// The shortest of some times: a busy machine makes some of them long.
fn quickest(work: impl Fn()) -> Duration {
    let timed = || {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    (0..3).map(|_| timed()).min().unwrap_or_default()
}

#[test]
fn patterns_are_compiled_in_bounded_time() {
    for pattern in [
        "\\pL{100}",
        "(?i)\\PL{50}x",
        "(.*){30}",
        "((a?){30}){30}",
        "[^x]{200}",
        "(a|b|c|d){100}",
        ".*.*.*.*.*.*x.{20}",
    ] {
        let took = quickest(|| drop(Condition::new(&format!("context.a.matches(r'{pattern}')"))));
        assert!(took < Duration::from_millis(1500), "{pattern}: {took:?}");
    }
}

#[test]
fn a_context_is_bounded() {
    let text = |length: usize| [("x".to_owned(), Input::Text("x".repeat(length)))];
    assert!(Context::new(text(16_000)).is_ok());
    assert_eq!(Context::new(text(MAX_CONTEXT_BYTES)).unwrap_err(), InvalidContext::TooLarge);
    let nested = |levels| (0..levels).fold(Input::Null, |inner, _| Input::List(vec![inner]));
    assert!(Context::new([("x".to_owned(), nested(MAX_CONTEXT_DEPTH - 1))]).is_ok());
    assert_eq!(Context::new([("x".to_owned(), nested(MAX_CONTEXT_DEPTH))]).unwrap_err(), InvalidContext::TooDeep);
}

fn words() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "context",
        ".a",
        "now",
        "resource",
        ".type",
        "subject",
        ".id",
        "true",
        "false",
        "null",
        "1",
        "2u",
        "1.5",
        "-",
        "'x'",
        "\"y\"",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "?",
        ":",
        ",",
        "&&",
        "||",
        "==",
        "!=",
        "<",
        ">=",
        "in",
        "+",
        "*",
        "/",
        "%",
        "!",
        ".all(x,",
        ".map(x,",
        ".exists(y,",
        "x",
        "y",
        "has(",
        "size(",
        "timestamp(",
        "duration(",
        ".getHours(",
        "'Europe/Berlin'",
        ".matches(",
        "'a*'",
        ".in_cidr(",
        "'10.0.0.0/8'",
        "int(",
        "string(",
        ".contains(",
        " ",
        "\n",
        "//",
        "\\",
        "é",
        "0x",
        "1e",
        "r'",
        "'''",
    ]);
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn no_text_panics(source in prop_oneof![words(), "\\PC{0,60}", ".{0,60}"]) {
        if let Ok(condition) = Condition::new(&source) {
            let _ = evaluated(condition.source(), &large());
        }
    }
}
