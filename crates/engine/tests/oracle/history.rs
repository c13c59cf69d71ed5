//! Histories: after every change the snapshot that was changed, the one built anew and the reference agree.

use engine::{
    Binding, BindingId, Change, Decision, GroupId, Listed, OrganizationData, Permission, Resource, ResourceRef,
    Snapshot, SubjectId, SubjectState,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::reference::Reference;
use crate::{steps, world};

/// Bindings are put under few ids, so that they are replaced and dropped as often as added.
const BINDINGS: u128 = 24;

pub fn change() -> impl Strategy<Value = Change> {
    let group = || (0u128..4).prop_map(|id| GroupId(Uuid::from_u128(id)));
    let subject = || select(world::subjects());
    let resource = || select(world::resources());
    let id = || (0..BINDINGS).prop_map(|id| BindingId(Uuid::from_u128(id)));
    let state = option::weighted(0.3, prop_oneof![Just(SubjectState::Suspended), Just(SubjectState::Removed)]);
    let parent = option::weighted(0.7, resource());
    prop_oneof![
        12 => (id(), world::binding()).prop_map(|(id, binding)| Change::PutBinding(Binding { id, ..binding })),
        6 => id().prop_map(Change::DropBinding),
        8 => (group(), subject()).prop_map(|(group, member)| Change::PutMembership { group, member }),
        5 => (group(), subject()).prop_map(|(group, member)| Change::DropMembership { group, member }),
        6 => (resource(), parent).prop_map(|(resource, parent)| Change::PutResource(Resource { resource, parent })),
        4 => resource().prop_map(Change::DropResource),
        4 => (subject(), state).prop_map(|(subject, state)| Change::Subject(subject, state)),
        4 => select(world::stored_roles()).prop_flat_map(world::role).prop_map(Change::PutRole),
        2 => select(world::stored_roles()).prop_map(Change::DropRole),
        1 => group().prop_map(Change::PutGroup),
        1 => group().prop_map(Change::DropGroup),
        1 => (0..world::CATALOGS).prop_map(|nth| Change::Catalog(world::catalog(nth))),
        1 => prop::bool::weighted(0.8).prop_map(|active| Change::Organization { active }),
    ]
}

/// In one order, so that two of them can be compared.
pub fn sorted(mut data: OrganizationData) -> impl PartialEq + std::fmt::Debug {
    data.roles.retain(|role| !engine::is_builtin(role.id));
    data.roles.sort_by_key(|role| role.id);
    data.groups.sort_by_key(|group| group.id);
    for group in &mut data.groups {
        group.members.sort();
        group.members.dedup();
    }
    data.bindings.sort_by_key(|binding| binding.id);
    data.resources.sort_by(|one, other| one.resource.cmp(&other.resource));
    data.inactive_subjects.sort_by_key(|(subject, _)| *subject);
    data.members.sort();
    let permissions: Vec<String> = data.catalog.permissions().iter().map(ToString::to_string).collect();
    let lists = (data.roles, data.groups, data.bindings, data.resources, data.inactive_subjects, data.members);
    (permissions, data.active, lists)
}

/// One question of each kind that a single subject, permission and place can be asked with.
#[derive(Debug, Clone)]
pub struct Question {
    subject: SubjectId,
    permission: Permission,
    place: Option<ResourceRef>,
    now: OffsetDateTime,
}

pub fn question() -> impl Strategy<Value = Question> {
    (select(crate::everyone()), select(crate::asked()), select(crate::places()), world::moment())
        .prop_map(|(subject, permission, place, now)| Question { subject, permission, place, now })
}

/// What comes next: some changes at once, and what is asked then.
pub type Step = (Vec<Change>, Vec<Question>);

pub fn step() -> impl Strategy<Value = Step> {
    (vec(change(), 1..3), vec(question(), 1..4))
}

/// All that is asked after a step is answered alike by the snapshot that was changed, by one built anew, and by the reference.
pub fn verify(changed: &Snapshot, data: &OrganizationData, asked: &[Question]) -> Result<(), TestCaseError> {
    let (built, reference) = (Snapshot::build(data), Reference(data));
    for question in asked {
        let Question { subject, permission, place, now } = question;
        let (place, now) = (place.as_ref(), *now);
        let expected = reference.allowed(*subject, permission.as_str(), place, now);
        for snapshot in [changed, &built] {
            let decision = snapshot.check(subject, permission, place, now);
            prop_assert_eq!(decision.is_allowed(), expected, "{} {} {:?}", subject, permission, place);
            let listed = snapshot.list_permissions(subject, place, now);
            prop_assert_eq!(listed.contains(&permission), expected, "{} {} {:?}", subject, permission, place);
        }
        let derivation = changed.explain(subject, permission, place, now);
        prop_assert_eq!(derivation.decision().is_allowed(), expected);
        prop_assert_eq!(&derivation, &built.explain(subject, permission, place, now), "explained alike, in each step");
        steps::verify(&reference, &derivation);
        prop_assert_eq!(changed.list_permissions(subject, place, now), built.list_permissions(subject, place, now));
        verify_lists(changed, data, question)?;
        prop_assert_eq!(changed.roles_of(subject, now), built.roles_of(subject, now));
        prop_assert_eq!(changed.lasting_owners(now), steps::lasting_owners(data, now));
        prop_assert_eq!(changed.holders_of(engine::OWNER, now), built.holders_of(engine::OWNER, now));
    }
    Ok(())
}

/// The lists hold exactly what the reference allows, page for page.
fn verify_lists(snapshot: &Snapshot, data: &OrganizationData, question: &Question) -> Result<(), TestCaseError> {
    let Question { subject, permission, place, now } = question;
    let reference = Reference(data);
    let is_known = |resource: &ResourceRef| {
        data.resources.iter().any(|stored| stored.resource == *resource)
            || data.bindings.iter().any(|binding| binding.resource.as_ref() == Some(resource))
    };
    for resource_type in ["document", "folder"] {
        let mut expected = world::resources();
        expected.retain(|resource| {
            resource.type_name() == resource_type
                && is_known(resource)
                && reference.allowed(*subject, permission.as_str(), Some(resource), *now)
        });
        expected.sort();
        let page = |after: Option<&ResourceRef>, limit| {
            snapshot.list_resources(subject, permission, resource_type, *now, after, limit)
        };
        prop_assert_eq!(paged(page), expected, "{} {} {}", subject, permission, resource_type);
    }
    // Nobody else can be allowed anything: who is neither named nor known is given nothing.
    let mut expected = world::subjects();
    expected.retain(|other| {
        matches!(other, SubjectId::Member(_) | SubjectId::ServiceAccount(_))
            && reference.allowed(*other, permission.as_str(), place.as_ref(), *now)
    });
    expected.sort();
    let page =
        |after: Option<&SubjectId>, limit| snapshot.list_subjects(permission, place.as_ref(), *now, after, limit);
    prop_assert_eq!(paged(page), expected, "{} {:?}", permission, place);
    Ok(())
}

/// Read two at a time, which is what reading all at once gives.
fn paged<T: Clone + PartialEq + std::fmt::Debug>(page: impl Fn(Option<&T>, usize) -> Vec<Listed<T>>) -> Vec<T> {
    let mut all: Vec<Listed<T>> = Vec::new();
    loop {
        let next = page(all.last().map(|last| &last.item), 2);
        let is_last = next.len() < 2;
        all.extend(next);
        if is_last {
            break;
        }
    }
    assert_eq!(all, page(None, usize::MAX));
    assert!(all.iter().all(|listed| listed.decision != Decision::Denied));
    all.into_iter().map(|listed| listed.item).collect()
}
