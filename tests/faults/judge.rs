//! Whether what is there fits what was answered. Pure: a history and an end in, faults out.

use std::{collections::BTreeMap, time::Duration};

use crate::history::{EventKey, Finally, Found, Look, Noted, Operation, Outcome, State, Thing};

/// The changes of one thing, in the order in which its one writer made them.
type Changes<'a> = Vec<(&'a Operation, State)>;

/// Every way in which the end, or an answer on the way there, does not fit what was acknowledged.
pub fn judge(noted: &Noted, finally: &Finally) -> Vec<String> {
    let mut changes: BTreeMap<&Thing, Changes<'_>> = BTreeMap::new();
    for operation in &noted.operations {
        for effect in &operation.effects {
            changes.entry(&effect.thing).or_default().push((operation, effect.state));
        }
    }
    changes.values_mut().for_each(|changes| changes.sort_by_key(|(operation, _)| operation.sent));
    let mut found: BTreeMap<&Thing, Vec<&Found>> = BTreeMap::new();
    finally.found.iter().for_each(|one| found.entry(&one.thing).or_default().push(one));

    let mut faults = noted.wrong.clone();
    for (thing, changes) in changes.iter().filter(|(thing, _)| finally.looked.contains(&thing.kind)) {
        faults.extend(at_the_end(thing, changes, found.get(thing).map_or(&[], Vec::as_slice)));
    }
    let strangers = found.keys().filter(|thing| !changes.contains_key(*thing));
    faults.extend(strangers.map(|thing| format!("{thing:?} is there, and nobody asked for it")));
    let halves = noted.operations.iter().filter(|operation| operation.outcome == Outcome::Unknown);
    faults.extend(halves.filter_map(|operation| half(operation, &changes, &found, finally)));
    faults.extend(noted.looks.iter().filter_map(|look| came_back(look, changes.get(&look.thing)?)));
    faults.extend(logged(&noted.operations, finally));
    let broken = finally.chains.iter().filter(|(.., whole)| !whole);
    faults
        .extend(broken.map(|(organization, service, _)| format!("the chain of {organization} in {service} is broken")));
    faults
}

/// The states that something may be in at a moment from `from` to `to`: that of the last change which had been acknowledged by then, and
/// those of all that were under way.
fn possible(changes: &[(&Operation, State)], from: Duration, to: Duration) -> Vec<State> {
    let known =
        |(operation, _): &(&Operation, State)| operation.outcome == Outcome::Acknowledged && operation.ended <= from;
    let last = changes.iter().rposition(known);
    let mut states = vec![last.map_or(State::Gone, |at| changes[at].1)];
    let later = &changes[last.map_or(0, |at| at + 1)..];
    states.extend(later.iter().filter(|(operation, _)| operation.sent <= to).map(|(_, state)| *state));
    states
}

fn state_of(found: &[&Found]) -> State {
    found.first().map_or(State::Gone, |one| one.state)
}

fn at_the_end(thing: &Thing, changes: &Changes<'_>, found: &[&Found]) -> Vec<String> {
    let mut faults = Vec::new();
    if found.len() > 1 {
        faults.push(format!("{thing:?} is there {} times: {found:?}", found.len()));
    }
    let (state, possible) = (state_of(found), possible(changes, Duration::MAX, Duration::MAX));
    let by = changes.last().map(|(operation, _)| (operation.method, &operation.request_id, operation.outcome));
    match state {
        _ if possible.contains(&state) => {}
        State::Gone => faults.push(format!("{thing:?} is lost: it should be {possible:?} by {by:?}")),
        _ => faults.push(format!("{thing:?} is {state:?} at the end, and should be {possible:?} by {by:?}")),
    }
    // Whoever asked again got the first answer, and so one id.
    let first_of = |operation: &&Operation| operation.effects.first().is_some_and(|effect| effect.thing == *thing);
    let mut ids: Vec<&str> =
        changes.iter().map(|(operation, _)| *operation).filter(first_of).map(|o| o.id.as_str()).collect();
    ids.extend(found.iter().map(|one| one.id.as_str()));
    ids.retain(|id| !id.is_empty());
    ids.sort_unstable();
    ids.dedup();
    if ids.len() > 1 {
        faults.push(format!("{thing:?} has more than one id: {ids:?}"));
    }
    faults
}

/// Of what went unanswered all is there, or nothing.
fn half(
    operation: &Operation,
    changes: &BTreeMap<&Thing, Changes<'_>>,
    found: &BTreeMap<&Thing, Vec<&Found>>,
    finally: &Finally,
) -> Option<String> {
    let (mut done, mut undone) = (Vec::new(), Vec::new());
    for effect in operation.effects.iter().filter(|effect| finally.looked.contains(&effect.thing.kind)) {
        let changes = &changes[&effect.thing];
        let at = changes.iter().position(|(other, _)| std::ptr::eq(*other, operation))?;
        let before = at.checked_sub(1).map_or(State::Gone, |before| changes[before].1);
        let state = state_of(found.get(&effect.thing).map_or(&[], Vec::as_slice));
        // Where it makes no difference, or something later was done, nothing can be told by it.
        if before == effect.state || at + 1 < changes.len() {
            continue;
        }
        if state == effect.state { done.push(&effect.thing) } else { undone.push(&effect.thing) }
    }
    let half = !done.is_empty() && !undone.is_empty();
    half.then(|| format!("{} {} is half done: {done:?} but not {undone:?}", operation.method, operation.request_id))
}

/// What had been taken back before somebody asked was answered as if it had not.
fn came_back(look: &Look, changes: &Changes<'_>) -> Option<String> {
    let from = look.sent.saturating_sub(look.grace);
    let may = possible(changes, from, look.ended).contains(&State::Live);
    // Before its first change was sent nobody could know of it.
    (look.in_force && !may).then(|| {
        let last = changes.iter().rfind(|(operation, _)| operation.ended <= from);
        let ended =
            last.map(|(operation, state)| (operation.method, *state, look.sent.saturating_sub(operation.ended)));
        format!("{:?} was in force at {:?}, after {ended:?} had been acknowledged", look.thing, look.sent)
    })
}

/// Each acknowledged write stands in the audit log once, one that went unanswered at most once; and of two writes of one tenant in one service,
/// of which one was acknowledged before the other was sent, the first has the lower revision.
fn logged(operations: &[Operation], finally: &Finally) -> Vec<String> {
    let mut expected: BTreeMap<&EventKey, (usize, usize, Option<&Operation>)> = BTreeMap::new();
    for operation in operations {
        let Some(key) = &operation.event else { continue };
        if !finally.logs.contains(&key.organization) {
            continue;
        }
        let (known, sent, one) = expected.entry(key).or_default();
        *known += usize::from(operation.outcome == Outcome::Acknowledged);
        *sent += 1;
        *one = Some(operation);
    }
    let mut lines: BTreeMap<&EventKey, Vec<(&str, i64)>> = BTreeMap::new();
    for line in &finally.log {
        lines.entry(&line.key).or_default().push((&line.service, line.revision));
    }
    let mut faults = Vec::new();
    let mut ordered: BTreeMap<(&str, &str), Vec<(i64, &Operation)>> = BTreeMap::new();
    for (key, (known, sent, one)) in &expected {
        let lines = lines.get(key).map_or(&[][..], Vec::as_slice);
        if lines.len() < *known || lines.len() > *sent {
            faults
                .push(format!("{key:?} stands in the log {} times: {known} were acknowledged of {sent}", lines.len()));
        }
        if let ([(service, revision)], 1, Some(operation)) = (lines, *sent, one) {
            ordered.entry((&key.organization, service)).or_default().push((*revision, operation));
        }
    }
    for ((organization, service), mut operations) in ordered {
        operations.sort_by_key(|(revision, _)| *revision);
        let mut latest: Option<(i64, &Operation)> = None;
        for (revision, operation) in operations {
            if let Some((earlier, other)) = latest
                && operation.outcome == Outcome::Acknowledged
                && operation.ended < other.sent
            {
                let when = |operation: &Operation| {
                    let Operation { method, request_id, sent, ended, attempts, .. } = operation;
                    format!("{method} {request_id} ({sent:?} to {ended:?} in {attempts} attempts)")
                };
                faults.push(format!(
                    "in the log of {organization} in {service}, {} has revision {revision}, behind {earlier} of {}, which was sent later",
                    when(operation),
                    when(other)
                ));
            }
            if latest.is_none_or(|(_, other)| other.sent < operation.sent) {
                latest = Some((revision, operation));
            }
        }
    }
    faults
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
