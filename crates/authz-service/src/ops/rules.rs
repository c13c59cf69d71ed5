//! The two rules that every write path keeps: nobody grants what they do not hold, and nobody removes the last owner.

use std::collections::BTreeSet;

use engine::{Effect, GroupId, OrganizationData, PermissionPattern, ResourceRef, Snapshot, SubjectId};
use time::{Duration, OffsetDateTime, macros::datetime};
use uuid::Uuid;

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

fn named_members(data: &OrganizationData) -> Vec<Uuid> {
    let in_groups = data.groups.iter().flat_map(|group| &group.members);
    let named = data.bindings.iter().map(|binding| &binding.subject).chain(in_groups);
    let ids = named.filter_map(|subject| if let SubjectId::Member(id) = subject { Some(*id) } else { None });
    ids.chain(data.members.iter().copied()).collect()
}

/// A deny that is yet to begin takes ownership as surely as one that has: when it begins nobody is asked.
fn begun_if_deny(binding: &engine::Binding) -> engine::Binding {
    let not_before = if binding.effect == Effect::Deny { None } else { binding.not_before };
    engine::Binding { not_before, ..binding.clone() }
}

/// Who holds the builtin `owner` itself, for ever, with no deny that takes any of it away, and was not suspended or removed.
///
/// Who holds it through all members is not counted: who the members are is not known here.
fn owners(data: &OrganizationData, now: OffsetDateTime) -> BTreeSet<SubjectId> {
    // Bindings at resources give nobody the organization, and take nothing of it.
    let whole = OrganizationData {
        catalog: data.catalog.clone(),
        active: true,
        roles: data.roles.clone(),
        groups: data.groups.clone(),
        bindings: data.bindings.iter().filter(|binding| binding.resource.is_none()).map(begun_if_deny).collect(),
        resources: Vec::new(),
        inactive_subjects: data.inactive_subjects.clone(),
        // What is denied to all members is denied to those too of whom no word has come yet.
        members: named_members(data),
    };
    let holders = Snapshot::build(&whole).holders_of(engine::OWNER, now);
    holders
        .into_iter()
        .filter(|holder| {
            let somebody = matches!(holder.subject, SubjectId::Member(_) | SubjectId::ServiceAccount(_));
            somebody && holder.effective && holder.held.role == engine::OWNER && holder.held.expire_time.is_none()
        })
        .map(|holder| holder.subject)
        .collect()
}

/// The owners who stay, where a change takes ownership from somebody; None where it takes it from nobody. One of those who stay
/// must be known to be there: see [`super::owners`]. An organization that has no owner yet may go on without.
pub(super) fn owners_left(
    before: &OrganizationData,
    after: &OrganizationData,
    now: OffsetDateTime,
) -> Option<BTreeSet<SubjectId>> {
    let left = owners(after, now);
    if owners(before, now).is_subset(&left) { None } else { Some(left) }
}

/// The group and every group that it is in, at any depth.
pub(super) fn containing(data: &OrganizationData, group: GroupId) -> Vec<GroupId> {
    outward(data, vec![group])
}

/// Every group that the subject is in, at any depth.
fn groups_of(data: &OrganizationData, subject: SubjectId) -> Vec<GroupId> {
    let directly = data.groups.iter().filter(|group| group.members.contains(&subject)).map(|group| group.id);
    outward(data, directly.collect())
}

fn outward(data: &OrganizationData, mut reached: Vec<GroupId>) -> Vec<GroupId> {
    let mut at = 0;
    while let Some(inner) = reached.get(at).copied() {
        at += 1;
        for outer in &data.groups {
            if outer.members.contains(&inner.into()) && !reached.contains(&outer.id) {
                reached.push(outer.id);
            }
        }
    }
    reached
}

/// All that somebody holds or will hold by allow bindings, their own and those of their groups, each at its resource and until its
/// end. A binding that is yet to begin counts, and no deny is taken off: denies end, and are ended.
pub(super) fn holdings(
    data: &OrganizationData,
    subject: SubjectId,
    before: &Snapshot,
    now: OffsetDateTime,
) -> Vec<Given> {
    let sets = groups_of(data, subject);
    let of_sets = bindings_of(data, &sets, Effect::Allow);
    let own = data.bindings.iter().filter(|binding| {
        // Whether the member is known to be there or not yet.
        let everyones = binding.subject == SubjectId::AllMembers && matches!(subject, SubjectId::Member(_));
        binding.effect == Effect::Allow && (binding.subject == subject || everyones)
    });
    own.chain(of_sets).filter_map(|binding| Given::by(binding, before, now)).collect()
}

/// The bindings of these groups that have an effect.
pub(super) fn bindings_of<'a>(
    data: &'a OrganizationData,
    groups: &'a [GroupId],
    effect: Effect,
) -> impl Iterator<Item = &'a engine::Binding> {
    data.bindings.iter().filter(move |binding| {
        binding.effect == effect && groups.iter().any(|group| binding.subject == (*group).into())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use engine::{ADMIN, Binding, Catalog, Group, OWNER, RoleId, SubjectState};
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

    fn left(before: &OrganizationData, after: &OrganizationData) -> Option<Vec<SubjectId>> {
        owners_left(before, after, NOW).map(|left| left.into_iter().collect())
    }

    #[test]
    fn who_is_left_is_asked_where_somebody_loses_ownership() {
        let two =
            owned_by(vec![binding(1, member(1), OWNER, Effect::Allow), binding(2, member(2), OWNER, Effect::Allow)]);
        let one = owned_by(two.bindings[..1].to_vec());
        let none = owned_by(vec![]);
        assert_eq!(left(&two, &one), Some(vec![member(1)]));
        assert_eq!(left(&one, &none), Some(vec![]));
        assert_eq!(left(&none, &none), None, "there was none to keep");
        assert_eq!(left(&none, &one), None);
        assert_eq!(left(&one, &two), None);
        let other = owned_by(two.bindings[1..].to_vec());
        assert_eq!(left(&one, &other), Some(vec![member(2)]), "whoever takes the place must be somebody");

        let mut suspended = one.clone();
        suspended.inactive_subjects.push((member(1), SubjectState::Suspended));
        assert_eq!(left(&one, &suspended), Some(vec![]));
        assert_eq!(left(&suspended, &none), None, "who is suspended is no owner to lose");
        let mut ending = one.clone();
        ending.bindings[0].expire_time = Some(FOR_EVER);
        assert_eq!(left(&one, &ending), Some(vec![]), "an owner for a time is none");
        let mut denied = one.clone();
        denied.bindings.push(binding(3, SubjectId::AllMembers, engine::MEMBER, Effect::Deny));
        assert_eq!(left(&one, &denied), Some(vec![]));
    }

    #[test]
    fn an_owner_through_a_group_counts() {
        let group = GroupId(Uuid::from_u128(9));
        let mut data = owned_by(vec![binding(1, group.into(), OWNER, Effect::Allow)]);
        data.groups.push(Group { id: group, members: vec![member(1)] });
        let mut emptied = data.clone();
        emptied.groups[0].members.clear();
        assert_eq!(left(&data, &emptied), Some(vec![]));
        assert_eq!(left(&emptied, &data), None);
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
        let held = holdings(&data, account, &before, NOW);
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

    #[test]
    fn groups_contain_each_other_in_a_circle_without_an_end() {
        let groups: Vec<GroupId> = (0..3).map(|n| GroupId(Uuid::from_u128(n))).collect();
        let mut data = owned_by(vec![]);
        data.groups = (0..3).map(|n| Group { id: groups[n], members: vec![groups[(n + 2) % 3].into()] }).collect();
        assert_eq!(containing(&data, groups[0]), [groups[0], groups[1], groups[2]]);
    }
}
