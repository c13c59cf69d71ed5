//! Random organizations, small enough that everything meets: cycles, diamonds, dangling ids, overlapping windows.

use std::sync::Arc;

use engine::{
    ADMIN, Binding, BindingId, Catalog, Effect, Group, GroupId, MEMBER, OWNER, OrganizationData, PermissionPattern,
    Resource, ResourceRef, ResourceType, Role, RoleId, SubjectId, SubjectState,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use time::OffsetDateTime;
use uuid::Uuid;

pub const PATTERNS: [&str; 14] = [
    "*",
    "document:*",
    "document:read",
    "document:write",
    "document:shred",
    "folder:*",
    "folder:read",
    "box:*",
    "paper:*",
    "paper:read",
    "guildhall.member:*",
    "guildhall.member:read",
    "guildhall.organization:read",
    "guildhall.organization:delete",
];
const RESOURCES: u32 = 7;
const ROLES: u128 = 5;

pub fn at(second: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000 + second).unwrap()
}

/// All subjects there can be; the last of each kind are named less often, some in no data at all.
pub fn subjects() -> Vec<SubjectId> {
    let ids = |range: std::ops::Range<u128>| range.map(Uuid::from_u128);
    ids(0..4)
        .map(SubjectId::Member)
        .chain(ids(0..2).map(SubjectId::ServiceAccount))
        .chain(ids(0..4).map(SubjectId::Group))
        .chain([SubjectId::AllMembers])
        .collect()
}

/// Whether all members stands for it.
pub fn is_member(data: &OrganizationData, subject: SubjectId) -> bool {
    matches!(subject, SubjectId::Member(id) if data.members.contains(&id))
}

pub fn resources() -> Vec<ResourceRef> {
    let kind = |i| if i % 2 == 0 { "folder" } else { "document" };
    (0..RESOURCES).map(|i| ResourceRef::new(kind(i), &i.to_string()).unwrap()).collect()
}

pub fn roles() -> Vec<RoleId> {
    // One more than is ever stored, so that bindings dangle.
    (0..=ROLES).map(|i| RoleId(Uuid::from_u128(100 + i))).chain([OWNER, ADMIN, MEMBER]).collect()
}

pub fn patterns() -> impl Strategy<Value = Vec<PermissionPattern>> {
    vec(select(PATTERNS.to_vec()).prop_map(|text| text.parse().unwrap()), 0..4)
}

pub fn moment() -> impl Strategy<Value = OffsetDateTime> {
    (0i64..5).prop_map(at)
}

/// How many catalogs there are: the usual one, one that lacks a type, one that knows a verb more.
pub const CATALOGS: usize = 3;

pub fn catalog(nth: usize) -> Arc<Catalog> {
    let written = |name: &str, verbs: &[&str]| ResourceType {
        name: name.to_owned(),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        ..ResourceType::default()
    };
    let types = match nth {
        0 => vec![written("document", &["read", "write"]), written("folder", &["read"]), written("box", &[])],
        1 => vec![written("folder", &["read"])],
        _ => vec![written("paper", &["read"]), written("document", &["shred", "write", "read"])],
    };
    Arc::new(Catalog::new(types).unwrap())
}

/// The roles that may be stored.
pub fn stored_roles() -> Vec<RoleId> {
    roles().into_iter().take(ROLES as usize).collect()
}

pub fn role(id: RoleId) -> impl Strategy<Value = Role> {
    (patterns(), vec(select(roles()), 0..3)).prop_map(move |(permissions, included_role_ids)| Role {
        id,
        permissions,
        included_role_ids,
    })
}

fn group(id: u128) -> impl Strategy<Value = Group> {
    vec(select(subjects()), 0..4).prop_map(move |members| Group { id: GroupId(Uuid::from_u128(id)), members })
}

pub fn binding() -> impl Strategy<Value = Binding> {
    let effect = prop_oneof![5 => Just(Effect::Allow), 1 => Just(Effect::Deny)];
    let edge = || option::weighted(0.2, moment());
    let resource = option::weighted(0.6, select(resources()));
    (select(subjects()), select(roles()), resource, effect, edge(), edge()).prop_map(
        |(subject, role, resource, effect, not_before, expire_time)| Binding {
            id: BindingId(Uuid::nil()),
            subject,
            role,
            resource,
            effect,
            not_before,
            expire_time,
        },
    )
}

/// Each resource is registered or not, under any other or none: mostly trees, at times a cycle.
fn hierarchy() -> impl Strategy<Value = Vec<Resource>> {
    vec(option::weighted(0.8, option::weighted(0.7, 0..RESOURCES as usize)), RESOURCES as usize).prop_map(|parents| {
        let all = resources();
        let registered = parents.into_iter().enumerate().filter_map(|(i, parent)| Some((i, parent?)));
        // Mostly upwards; a parent of higher number may close a cycle and is kept one time in three.
        registered
            .map(|(i, parent)| Resource {
                resource: all[i].clone(),
                parent: parent.filter(|parent| *parent < i || (parent + i) % 3 == 0).map(|parent| all[parent].clone()),
            })
            .collect()
    })
}

pub fn organization() -> impl Strategy<Value = OrganizationData> {
    let stored_roles: Vec<_> = stored_roles().into_iter().map(role).collect();
    // The last group is never stored, only named.
    let stored_groups: Vec<_> = (0..3).map(group).collect();
    let state = prop_oneof![Just(SubjectState::Suspended), Just(SubjectState::Removed)];
    let inactive = vec((select(subjects()), state), 0..2);
    // Now and then enough bindings that one subject's are searched rather than scanned.
    let bindings = prop_oneof![4 => vec(binding(), 0..12), 1 => vec(binding(), 100..300)];
    let members = subsequence((0..4).map(Uuid::from_u128).collect::<Vec<_>>(), 0..=4);
    (stored_roles, stored_groups, bindings, hierarchy(), inactive, members, prop::bool::weighted(0.95)).prop_map(
        |(roles, groups, mut bindings, resources, inactive_subjects, members, active)| {
            for (id, binding) in (0u128..).zip(&mut bindings) {
                binding.id = BindingId(Uuid::from_u128(id));
            }
            OrganizationData {
                catalog: catalog(0),
                active,
                roles,
                groups,
                bindings,
                resources,
                inactive_subjects,
                members,
            }
        },
    )
}
