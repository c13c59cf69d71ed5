//! Each step of an explanation is looked up again in the data.

use std::collections::BTreeSet;

use engine::{
    Binding, BindingStep, BuiltinRole, Derivation, Effect, Missing, OrganizationData, RoleId, Snapshot, SubjectId,
    Verdict,
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::reference::{Reference, text_matches};
use crate::world;

pub fn verify(reference: &Reference<'_>, derivation: &Derivation) {
    match &derivation.verdict {
        Verdict::Granted { grants } => {
            assert!(!grants.is_empty());
            verify_all(reference, derivation, grants, Effect::Allow);
        }
        Verdict::DeniedBy { denials, grants } => {
            assert!(!denials.is_empty());
            verify_all(reference, derivation, denials, Effect::Deny);
            verify_all(reference, derivation, grants, Effect::Allow);
        }
        Verdict::NotGranted { nearest, granting_roles } => {
            for role in granting_roles {
                assert!(reference.role_grants(*role, derivation.permission.as_str()));
            }
            if let Some(near) = nearest {
                let binding = verify_step(reference, derivation, &near.step);
                assert_eq!(binding.effect, Effect::Allow);
                let applies =
                    reference.applies(binding, derivation.subject, derivation.resource.as_ref(), derivation.at);
                assert_eq!(applies, near.missing == Missing::RoleLacksPermission, "{derivation:?}");
                assert_eq!(near.step.pattern.is_none(), near.missing == Missing::RoleLacksPermission);
                let not_begun = binding.not_before.is_some_and(|from| derivation.at < from);
                let ended = binding.expire_time.is_some_and(|until| derivation.at >= until);
                let in_window = !not_begun && !ended;
                match near.missing {
                    Missing::NotYetOpen => assert!(not_begun && !ended),
                    Missing::Expired => assert!(!in_window),
                    Missing::BoundElsewhere | Missing::RoleLacksPermission => assert!(in_window),
                }
            }
        }
        Verdict::UnknownPermission
        | Verdict::OrganizationInactive
        | Verdict::SubjectInactive { .. }
        | Verdict::ResourceMisplaced => {}
    }
}

fn verify_all(reference: &Reference<'_>, derivation: &Derivation, steps: &[BindingStep], effect: Effect) {
    let mut named: Vec<_> = steps.iter().map(|step| step.binding).collect();
    named.sort();
    let mut expected: Vec<_> = reference
        .0
        .bindings
        .iter()
        .filter(|binding| {
            binding.effect == effect
                && reference.applies(binding, derivation.subject, derivation.resource.as_ref(), derivation.at)
                && reference.role_grants(binding.role, derivation.permission.as_str())
        })
        .map(|binding| binding.id)
        .collect();
    expected.sort();
    assert_eq!(named, expected, "every binding that applies, once: {derivation:?}");
    for step in steps {
        verify_step(reference, derivation, step);
        assert!(step.pattern.is_some());
    }
}

fn verify_step<'a>(reference: &Reference<'a>, derivation: &Derivation, step: &BindingStep) -> &'a Binding {
    let data = reference.0;
    let binding = data.bindings.iter().find(|binding| binding.id == step.binding).unwrap();
    assert_eq!((&step.bound_to, step.effect), (&binding.resource, binding.effect));
    assert_eq!((step.not_before, step.expire_time), (binding.not_before, binding.expire_time));

    assert_eq!(
        (step.subject_path.first(), step.subject_path.last()),
        (Some(&derivation.subject), Some(&binding.subject))
    );
    for pair in step.subject_path.windows(2) {
        let listed =
            data.groups.iter().any(|group| SubjectId::from(group.id) == pair[1] && group.members.contains(&pair[0]));
        let as_member = pair[1] == SubjectId::AllMembers && world::is_member(data, pair[0]);
        assert!(listed || as_member, "{derivation:?}");
    }

    assert_eq!(step.role_path.first(), Some(&binding.role));
    for pair in step.role_path.windows(2) {
        assert!(data.roles.iter().any(|role| role.id == pair[0] && role.included_role_ids.contains(&pair[1])));
    }
    if let Some(pattern) = &step.pattern {
        assert!(text_matches(&pattern.to_string(), derivation.permission.as_str()));
        let last = *step.role_path.last().unwrap();
        let stored = data.roles.iter().find(|role| role.id == last).map(|role| role.permissions.clone());
        let listed = BuiltinRole::by_id(last).map(BuiltinRole::permissions).or(stored).unwrap();
        assert!(listed.contains(pattern));
    }

    for pair in step.resource_path.windows(2) {
        assert_eq!(reference.parent(&pair[0]), Some(&pair[1]));
    }
    if let Some(first) = step.resource_path.first() {
        assert_eq!((Some(first), step.resource_path.last()), (derivation.resource.as_ref(), binding.resource.as_ref()));
    }
    binding
}

/// Allow bindings to the whole organization whose role exists.
pub fn organization_grants(data: &OrganizationData) -> impl Iterator<Item = &Binding> {
    data.bindings
        .iter()
        .filter(|binding| exists(data, binding.role) && binding.resource.is_none() && binding.effect == Effect::Allow)
}

pub fn exists(data: &OrganizationData, role: RoleId) -> bool {
    engine::is_builtin(role) || data.roles.iter().any(|stored| stored.id == role)
}

pub fn includes(data: &OrganizationData, role: RoleId, wanted: RoleId, seen: &mut Vec<RoleId>) -> bool {
    if role == wanted {
        return exists(data, role);
    }
    if seen.contains(&role) {
        return false;
    }
    seen.push(role);
    let stored = data.roles.iter().find(|stored| stored.id == role);
    stored.is_some_and(|stored| stored.included_role_ids.iter().any(|included| includes(data, *included, wanted, seen)))
}

/// By the list of holders in an organization where every deny that is yet to begin has begun, and every member is known.
pub fn lasting_owners(data: &OrganizationData, now: OffsetDateTime) -> BTreeSet<SubjectId> {
    let mut strict = data.clone();
    strict.active = true;
    strict.members = (0..4).map(Uuid::from_u128).collect();
    for binding in strict.bindings.iter_mut().filter(|binding| binding.effect == Effect::Deny) {
        binding.not_before = None;
    }
    let holders = Snapshot::build(&strict).holders_of(engine::OWNER, now).into_iter();
    let lasting = holders.filter(|holder| {
        let somebody = matches!(holder.subject, SubjectId::Member(_) | SubjectId::ServiceAccount(_));
        somebody && holder.effective && holder.held.role == engine::OWNER && holder.held.expire_time.is_none()
    });
    lasting.map(|holder| holder.subject).collect()
}
