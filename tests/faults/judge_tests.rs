use super::*;
use crate::history::{Effect, Kind, Logged};

const ADA: &str = "ada@acme.test";

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn member(state: State) -> Effect {
    Effect { thing: Thing::new(Kind::Member, ADA), state }
}

fn right(state: State) -> Effect {
    Effect { thing: Thing::new(Kind::Right, ADA), state }
}

fn operation(method: &'static str, from: u64, outcome: Outcome, effects: Vec<Effect>) -> Operation {
    Operation {
        method,
        request_id: format!("r{from}"),
        sent: at(from),
        ended: at(from + 1),
        attempts: 1,
        outcome,
        effects,
        id: "member_1".to_owned(),
        event: None,
    }
}

fn create(from: u64, outcome: Outcome) -> Operation {
    operation("create", from, outcome, vec![member(State::Live), right(State::Live)])
}

fn remove(from: u64, outcome: Outcome) -> Operation {
    operation("remove", from, outcome, vec![member(State::Gone), right(State::Gone)])
}

fn found(kind: Kind, state: State) -> Found {
    let id = if kind == Kind::Member { "member_1" } else { "" };
    Found { thing: Thing::new(kind, ADA), id: id.to_owned(), state }
}

fn wholly() -> Vec<Found> {
    vec![found(Kind::Member, State::Live), found(Kind::Right, State::Live)]
}

fn faults(operations: Vec<Operation>, found: Vec<Found>) -> Vec<String> {
    let finally = Finally { found, looked: [Kind::Member, Kind::Right].into(), ..Finally::default() };
    judge(&Noted { operations, ..Noted::default() }, &finally)
}

#[track_caller]
fn one(faults: &[String], words: &str) {
    assert!(faults.len() == 1 && faults[0].contains(words), "{words}: {faults:#?}");
}

#[test]
fn what_fits_has_no_faults() {
    use Outcome::{Acknowledged, Unknown};
    assert!(faults(vec![create(0, Acknowledged)], wholly()).is_empty());
    assert!(faults(vec![create(0, Acknowledged), remove(5, Acknowledged)], Vec::new()).is_empty());
    // What went unanswered is there or not.
    for end in [wholly(), Vec::new()] {
        assert!(faults(vec![create(0, Unknown)], end.clone()).is_empty());
        assert!(faults(vec![create(0, Acknowledged), remove(5, Unknown)], end).is_empty());
    }
}

#[test]
fn a_lost_write_is_found() {
    let lost = faults(vec![create(0, Outcome::Acknowledged)], Vec::new());
    assert_eq!(lost.iter().filter(|fault| fault.contains("is lost")).count(), 2, "{lost:#?}");
    one(&faults(vec![create(0, Outcome::Acknowledged)], vec![found(Kind::Member, State::Live)]), "is lost");
}

#[test]
fn a_doubled_write_is_found() {
    let mut twice = wholly();
    twice.push(Found { id: "member_2".to_owned(), ..found(Kind::Member, State::Live) });
    let faults_of_two = faults(vec![create(0, Outcome::Acknowledged)], twice.clone());
    assert!(faults_of_two.iter().any(|fault| fault.contains("2 times")), "{faults_of_two:#?}");
    // Unanswered is no leave to do it twice.
    let faults_of_two = faults(vec![create(0, Outcome::Unknown)], twice);
    assert!(faults_of_two.iter().any(|fault| fault.contains("2 times")), "{faults_of_two:#?}");
    // Another than was answered.
    let other =
        vec![Found { id: "member_9".to_owned(), ..found(Kind::Member, State::Live) }, found(Kind::Right, State::Live)];
    one(&faults(vec![create(0, Outcome::Acknowledged)], other), "more than one id");
}

#[test]
fn a_half_write_is_found() {
    for end in [Kind::Member, Kind::Right] {
        one(&faults(vec![create(0, Outcome::Unknown)], vec![found(end, State::Live)]), "half done");
        let removed = vec![create(0, Outcome::Acknowledged), remove(5, Outcome::Unknown)];
        one(&faults(removed, vec![found(end, State::Live)]), "half done");
    }
}

#[test]
fn what_nobody_asked_for_is_found() {
    one(&faults(Vec::new(), vec![found(Kind::Right, State::Live)]), "nobody asked");
}

#[test]
fn a_revocation_that_came_back_is_found() {
    let history = vec![create(0, Outcome::Acknowledged), remove(5, Outcome::Acknowledged)];
    // At the end.
    let back = faults(history.clone(), wholly());
    assert_eq!(back.iter().filter(|fault| fault.contains("at the end")).count(), 2, "{back:#?}");
    // And on the way there, though it is gone at the end.
    let look = |sent: u64, in_force, grace| Look {
        thing: Thing::new(Kind::Right, ADA),
        sent: at(sent),
        ended: at(sent + 1),
        in_force,
        grace: at(grace),
    };
    let judged = |look| {
        judge(&Noted { operations: history.clone(), looks: vec![look], ..Noted::default() }, &Finally::default())
    };
    one(&judged(look(7, true, 0)), "was in force");
    assert!(judged(look(7, false, 0)).is_empty());
    assert!(judged(look(5, true, 0)).is_empty(), "the removal was still under way");
    assert!(judged(look(7, true, 3)).is_empty(), "it may be believed for so long");
    one(&judged(look(10, true, 3)), "was in force");
    // Given again, it is in force again.
    let again = [history.clone(), vec![create(8, Outcome::Unknown)]].concat();
    let judged =
        |look| judge(&Noted { operations: again.clone(), looks: vec![look], ..Noted::default() }, &Finally::default());
    assert!(judged(look(9, true, 0)).is_empty());
    one(&judged(look(6, true, 0)), "was in force");
}

fn event(operation: Operation, kind: &str) -> Operation {
    let (organization, subject) = ("org_1".to_owned(), operation.id.clone());
    Operation { event: Some(EventKey { organization, kind: kind.to_owned(), subject }), ..operation }
}

fn line(kind: &str, revision: i64) -> Logged {
    let key = EventKey { organization: "org_1".to_owned(), kind: kind.to_owned(), subject: "member_1".to_owned() };
    Logged { key, service: "member-service".to_owned(), revision }
}

#[test]
fn a_log_that_says_otherwise_is_found() {
    let operations = vec![
        event(create(0, Outcome::Acknowledged), "member.created"),
        event(remove(5, Outcome::Acknowledged), "member.removed"),
    ];
    let judged = |log| {
        judge(
            &Noted { operations: operations.clone(), ..Noted::default() },
            &Finally { log, logs: ["org_1".to_owned()].into(), ..Finally::default() },
        )
    };
    assert!(judged(vec![line("member.created", 1), line("member.removed", 2)]).is_empty());
    one(&judged(vec![line("member.created", 1)]), "0 times");
    one(&judged(vec![line("member.created", 1), line("member.removed", 2), line("member.removed", 3)]), "2 times");
    one(&judged(vec![line("member.created", 2), line("member.removed", 1)]), "sent later");
}

#[test]
fn a_broken_chain_and_a_wrong_answer_are_found() {
    let chains = vec![("org_1".to_owned(), "authz-service".to_owned(), false)];
    one(&judge(&Noted::default(), &Finally { chains, ..Finally::default() }), "is broken");
    let wrong = vec!["another answer".to_owned()];
    one(&judge(&Noted { wrong, ..Noted::default() }, &Finally::default()), "another answer");
}
