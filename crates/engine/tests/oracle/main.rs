//! Random organizations: the engine and the reference must agree on everything that can be asked.

#![expect(clippy::unwrap_used, reason = "a test may fail by panic")]

mod history;
mod reference;
mod steps;
mod world;

use engine::{Decision, Permission, PermissionPattern, ResourceRef, Snapshot, SubjectId};
use proptest::collection::vec;
use proptest::prelude::*;
use reference::Reference;

/// A hundred worlds each, or as many as `PROPTEST_CASES` says.
fn config() -> ProptestConfig {
    let from_environment = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => from_environment,
        None => ProptestConfig { cases: 100, ..from_environment },
    }
}

fn places() -> Vec<Option<ResourceRef>> {
    let unheard_of = ResourceRef::new("document", "unheard-of").unwrap();
    world::resources().into_iter().chain([unheard_of]).map(Some).chain([None]).collect()
}

fn everyone() -> Vec<SubjectId> {
    let stranger = uuid::Uuid::from_u128(999);
    let strangers = [SubjectId::Member(stranger), SubjectId::ServiceAccount(stranger), SubjectId::Group(stranger)];
    world::subjects().into_iter().chain(strangers).collect()
}

fn asked() -> Vec<Permission> {
    let concrete = world::PATTERNS.iter().filter(|text| !text.contains('*'));
    concrete.map(|text| text.parse().unwrap()).collect()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn check_lists_and_explanations_agree_with_the_reference(data in world::organization(), now in world::moment()) {
        let snapshot = Snapshot::build(&data);
        let reference = Reference(&data);
        for subject in everyone() {
            for place in places() {
                for permission in asked() {
                    let expected = reference.allowed(subject, permission.as_str(), place.as_ref(), now);
                    let question = format!("{subject} {permission} {place:?}");
                    let decision = snapshot.check(&subject, &permission, place.as_ref(), now);
                    prop_assert_eq!(decision.is_allowed(), expected, "{}", question);
                    let derivation = snapshot.explain(&subject, &permission, place.as_ref(), now);
                    prop_assert_eq!(derivation.decision(), decision, "{}", question);
                    steps::verify(&reference, &derivation);
                }
            }
        }
    }

    #[test]
    fn listed_permissions_are_exactly_the_allowed_ones(data in world::organization(), now in world::moment()) {
        let snapshot = Snapshot::build(&data);
        let reference = Reference(&data);
        for subject in world::subjects() {
            for place in [None, Some(world::resources().swap_remove(3))] {
                let listed = snapshot.list_permissions(&subject, place.as_ref(), now);
                let listed: Vec<String> = listed.into_iter().map(ToString::to_string).collect();
                let mut expected = reference.known();
                expected.retain(|known| reference.allowed(subject, known, place.as_ref(), now));
                prop_assert_eq!(listed, expected, "{} {:?}", subject, place);
            }
        }
    }

    #[test]
    fn what_may_be_granted_agrees_with_the_reference(
        data in world::organization(), now in world::moment(), many in world::patterns(),
    ) {
        let snapshot = Snapshot::build(&data);
        let reference = Reference(&data);
        let each: Vec<PermissionPattern> = world::PATTERNS.iter().map(|text| text.parse().unwrap()).collect();
        for subject in everyone() {
            for place in places() {
                let missing = snapshot.not_held(&subject, &each, place.as_ref(), now);
                let missing: Vec<String> = missing.into_iter().map(ToString::to_string).collect();
                let mut expected: Vec<String> = world::PATTERNS.iter().map(ToString::to_string).collect();
                expected.retain(|pattern| !reference.holds(subject, pattern, place.as_ref(), now));
                prop_assert_eq!(missing, expected, "{} {:?}", subject, place);
                let all = many.iter().all(|one| reference.holds(subject, &one.to_string(), place.as_ref(), now));
                prop_assert_eq!(snapshot.holds_all(&subject, &many, place.as_ref(), now), all);
            }
        }
    }

    #[test]
    fn roles_and_their_holders_agree_with_the_reference(data in world::organization(), now in world::moment()) {
        let snapshot = Snapshot::build(&data);
        let reference = Reference(&data);
        for subject in everyone() {
            let mut held: Vec<_> = snapshot.roles_of(&subject, now).iter().map(|held| held.binding).collect();
            held.sort();
            let mut expected: Vec<_> = steps::organization_grants(&data)
                .filter(|binding| reference.applies(binding, subject, None, now))
                .map(|binding| binding.id)
                .collect();
            expected.sort();
            prop_assert_eq!(held, expected, "{}", subject);
        }
        for role in world::roles() {
            for holder in snapshot.holders_of(role, now) {
                let lines = snapshot.roles_of(&holder.subject, now);
                prop_assert!(lines.contains(&holder.held), "{:?}", holder);
                prop_assert!(steps::includes(&data, holder.held.role, role, &mut Vec::new()), "{:?}", holder);
            }
            let listed: Vec<_> = snapshot.holders_of(role, now).into_iter().map(|holder| holder.subject).collect();
            for subject in world::subjects() {
                let active = !data.inactive_subjects.iter().any(|(inactive, _)| *inactive == subject);
                let has = snapshot
                    .roles_of(&subject, now)
                    .iter()
                    .any(|held| steps::includes(&data, held.role, role, &mut Vec::new()));
                let as_member = world::is_member(&data, subject) && listed.contains(&SubjectId::AllMembers);
                let expected = match subject {
                    SubjectId::Group(_) => false,
                    SubjectId::AllMembers => has,
                    SubjectId::Member(_) | SubjectId::ServiceAccount(_) => has && active,
                };
                if as_member {
                    prop_assert!(has, "{} has {} as every member does", subject, role);
                } else {
                    prop_assert_eq!(listed.contains(&subject), expected, "{} {}", subject, role);
                }
            }
        }
    }
}

/// How many steps of history are taken: few with every test, as many as `GUILDHALL_PROOF_STEPS` says in a long run.
fn history_cases() -> u32 {
    const STEPS: u32 = 3_000;
    let asked = std::env::var("GUILDHALL_PROOF_STEPS").ok().map(|steps| steps.parse().unwrap());
    asked.unwrap_or(STEPS).div_ceil(STEPS_OF_HISTORY as u32)
}

/// How long each history is.
const STEPS_OF_HISTORY: usize = 50;

proptest! {
    #![proptest_config(ProptestConfig { cases: history_cases(), ..config() })]

    #[test]
    fn changed_and_rebuilt_snapshots_agree_with_the_reference_after_every_change(
        first in world::organization(), history in vec(history::step(), STEPS_OF_HISTORY),
    ) {
        let mut data = first;
        let mut snapshot = Snapshot::build(&data);
        for (changes, asked) in history {
            let before = (snapshot.clone(), data.clone());
            changes.iter().for_each(|change| data.apply(change));
            snapshot = snapshot.apply(&changes);
            history::verify(&snapshot, &data, &asked)?;
            history::verify(&before.0, &before.1, &asked[..1])?;
        }
        prop_assert_eq!(history::sorted(snapshot.data()), history::sorted(data));
    }
}

#[test]
fn the_random_worlds_reach_every_verdict() {
    use engine::{Missing, Verdict};
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = [0u32; 11];
    for _ in 0..150 {
        let data = world::organization().new_tree(&mut runner).unwrap().current();
        let snapshot = Snapshot::build(&data);
        for (subject, place) in
            everyone().iter().flat_map(|subject| places().into_iter().map(move |place| (subject, place)))
        {
            for permission in asked() {
                let derivation = snapshot.explain(subject, &permission, place.as_ref(), world::at(2));
                let kind = match &derivation.verdict {
                    Verdict::Granted { .. } => 0,
                    Verdict::DeniedBy { .. } => 1,
                    Verdict::UnknownPermission => 2,
                    Verdict::OrganizationInactive => 3,
                    Verdict::SubjectInactive { .. } => 4,
                    Verdict::ResourceMisplaced => 5,
                    Verdict::NotGranted { nearest: None, .. } => 6,
                    Verdict::NotGranted { nearest: Some(near), .. } => match near.missing {
                        Missing::NotYetOpen => 7,
                        Missing::Expired => 8,
                        Missing::BoundElsewhere => 9,
                        Missing::RoleLacksPermission => 10,
                    },
                };
                seen[kind] += 1;
                assert_eq!(kind == 0, derivation.decision() == Decision::Allowed);
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 50), "{seen:?}");
}
