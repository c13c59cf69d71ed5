//! Nobody grants what they do not hold.

use engine::{Effect, PermissionPattern, ResourceRef, Snapshot, SubjectId};
use time::{Duration, OffsetDateTime, macros::datetime};

use super::Refused;
use crate::model::Grantor;

/// A time at which every grant with an end has ended.
const FOR_EVER: OffsetDateTime = datetime!(9999-12-31 23:59:59 UTC);

/// What a write hands out: permissions at a scope, until a time. Lifting a deny hands out what it forbade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) patterns: Vec<PermissionPattern>,
    /// None: the organization.
    pub(super) scope: Option<ResourceRef>,
    /// None: for ever.
    pub(super) until: Option<OffsetDateTime>,
}

impl Given {
    /// At the organization, for ever.
    pub(super) fn everywhere(patterns: Vec<PermissionPattern>) -> Self {
        Self { patterns, scope: None, until: None }
    }

    /// What a binding gives, or by its end a deny gives back. None once it has expired.
    pub(super) fn by(binding: &engine::Binding, before: &Snapshot, now: OffsetDateTime) -> Option<Self> {
        if binding.expire_time.is_some_and(|end| end <= now) {
            return None;
        }
        Some(Self {
            patterns: before.patterns_of(binding.role).unwrap_or_default(),
            scope: binding.resource.clone(),
            until: binding.expire_time,
        })
    }
}

/// Nobody grants what they do not hold, nor for longer than they hold it. `before` is what decides before the write.
pub(super) fn may_give(
    grantor: Grantor,
    given: &[Given],
    before: &Snapshot,
    now: OffsetDateTime,
) -> Result<(), Refused> {
    let Grantor::Bound(grantor) = grantor else { return Ok(()) };
    let grantor = SubjectId::from(grantor);
    let mut excess: Vec<String> = Vec::new();
    for Given { patterns, scope, until } in given {
        let end = until.map_or(FOR_EVER, |until| until - Duration::MICROSECOND).max(now);
        for moment in [now, end] {
            let lacking = before.not_held(&grantor, patterns, scope.as_ref(), moment);
            excess.extend(lacking.into_iter().map(ToString::to_string));
        }
    }
    excess.sort_unstable();
    excess.dedup();
    if excess.is_empty() { Ok(()) } else { Err(Refused::ExceedsGrantor(excess)) }
}

/// All that somebody holds or will hold by allow bindings, their own and those of their groups, each at its resource and until its
/// end. A binding that is yet to begin counts, and no deny is taken off: denies end, and are ended.
pub(super) fn holdings(subject: SubjectId, before: &Snapshot, now: OffsetDateTime) -> Vec<Given> {
    let mut sets: Vec<SubjectId> = before.groups_of(&subject).into_iter().map(SubjectId::from).collect();
    sets.insert(0, subject);
    // Whether the member is known to be there or not yet.
    if matches!(subject, SubjectId::Member(_)) {
        sets.push(SubjectId::AllMembers);
    }
    let held = sets.iter().flat_map(|set| before.bindings_of(set)).filter(|binding| binding.effect == Effect::Allow);
    held.filter_map(|binding| Given::by(&binding, before, now)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use engine::{ADMIN, Binding, Catalog, Group, GroupId, OWNER, OrganizationData, RoleId};
    use tenancy::MemberId;
    use uuid::Uuid;

    use super::*;
    use crate::model::Subject;

    const NOW: OffsetDateTime = datetime!(2030-01-01 00:00 UTC);

    fn member(n: u128) -> SubjectId {
        SubjectId::Member(Uuid::from_u128(n))
    }

    fn binding(n: u128, subject: SubjectId, role: RoleId, effect: Effect) -> Binding {
        Binding {
            id: Uuid::from_u128(n).into(),
            subject,
            role,
            resource: None,
            effect,
            condition: None,
            not_before: None,
            expire_time: None,
        }
    }

    fn owned_by(bindings: Vec<Binding>) -> OrganizationData {
        OrganizationData { bindings, ..OrganizationData::empty(Arc::new(Catalog::system())) }
    }

    #[test]
    fn holdings_are_by_any_allow_binding_own_or_of_a_group_at_any_time_not_over() {
        let account = SubjectId::ServiceAccount(Uuid::from_u128(7));
        let groups: Vec<GroupId> = (20..23).map(|n| GroupId(Uuid::from_u128(n))).collect();
        let place: ResourceRef = ResourceRef::new("document", "42").unwrap();
        let end = NOW + Duration::DAY;
        let mut data = owned_by(vec![
            binding(1, account, OWNER, Effect::Allow),
            binding(2, account, ADMIN, Effect::Deny),
            binding(3, groups[1].into(), ADMIN, Effect::Allow),
            binding(4, groups[2].into(), OWNER, Effect::Allow),
            binding(5, SubjectId::AllMembers, OWNER, Effect::Allow),
            binding(6, account, ADMIN, Effect::Allow),
        ]);
        data.bindings[0].resource = Some(place.clone());
        data.bindings[2].not_before = Some(end);
        data.bindings[5].expire_time = Some(NOW);
        // The account is in group 0, which is in group 1. It is not in group 2.
        data.groups = vec![
            Group { id: groups[0], members: vec![account] },
            Group { id: groups[1], members: vec![groups[0].into()] },
            Group { id: groups[2], members: vec![member(1)] },
        ];
        let before = Snapshot::build(&data);
        let admin = before.patterns_of(ADMIN).unwrap();
        let held = holdings(account, &before, NOW);
        assert_eq!(
            held,
            [
                Given { patterns: vec![PermissionPattern::All], scope: Some(place), until: None },
                Given { patterns: admin, scope: None, until: None },
            ]
        );
    }

    #[test]
    fn nobody_gives_for_longer_than_they_hold() {
        let end = NOW + Duration::DAY;
        let mut data = owned_by(vec![binding(1, member(1), OWNER, Effect::Allow)]);
        data.bindings[0].expire_time = Some(end);
        let before = Snapshot::build(&data);
        let grantor = Grantor::Bound(Subject::Member(MemberId::from_uuid(Uuid::from_u128(1))));
        let given = |until| [Given { patterns: vec![PermissionPattern::All], scope: None, until }];
        assert!(may_give(grantor, &given(Some(end)), &before, NOW).is_ok());
        for until in [Some(end + Duration::SECOND), None] {
            assert!(matches!(may_give(grantor, &given(until), &before, NOW), Err(Refused::ExceedsGrantor(_))));
        }
        assert!(may_give(Grantor::Free, &given(None), &before, NOW).is_ok());
    }
}
