//! The engine's reference against an engine that is fed by facts, as the stream tells them.

#![expect(clippy::unwrap_used, reason = "a test may fail by panic")]
#![expect(dead_code, reason = "the engine's own tests use more of their world")]

#[path = "../../engine/tests/oracle/conditions.rs"]
mod conditions;
#[path = "../../engine/tests/oracle/history.rs"]
mod history;
#[path = "../../engine/tests/oracle/reference.rs"]
mod reference;
#[path = "../../engine/tests/oracle/steps.rs"]
mod steps;
#[path = "../../engine/tests/oracle/world.rs"]
mod world;

use api::authz::v1::{self as proto, authorization_fact::Fact, subject::Subject as Kind};
use client::embedded;
use engine::{Change, Effect, OrganizationData, Permission, ResourceRef, Snapshot, SubjectId, SubjectState};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;
use prost_types::Timestamp;
use time::OffsetDateTime;
use uuid::Uuid;

fn places() -> Vec<Option<ResourceRef>> {
    world::resources().into_iter().map(Some).chain([None]).collect()
}

fn everyone() -> Vec<SubjectId> {
    world::subjects()
}

fn asked() -> Vec<Permission> {
    let concrete = world::PATTERNS.iter().filter(|text| !text.contains('*'));
    concrete.map(|text| text.parse().unwrap()).collect()
}

fn id(prefix: &str, id: impl std::fmt::Display) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let bits = id.to_string().parse::<Uuid>().unwrap().as_u128();
    let digits = (0..26).rev().map(|at| char::from(ALPHABET[(bits >> (5 * at) & 31) as usize]));
    prefix.chars().chain(['_']).chain(digits).collect()
}

fn subject(subject: SubjectId) -> Option<proto::Subject> {
    let kind = match subject {
        SubjectId::Member(uuid) => Kind::MemberId(id("member", uuid)),
        SubjectId::ServiceAccount(uuid) => Kind::ServiceAccountId(id("sa", uuid)),
        SubjectId::Group(uuid) => Kind::GroupId(id("group", uuid)),
        SubjectId::AllMembers => Kind::AllMembers(true),
    };
    Some(proto::Subject { subject: Some(kind) })
}

fn resource(resource: &ResourceRef) -> proto::Resource {
    proto::Resource { r#type: resource.type_name().to_owned(), id: resource.id().to_owned() }
}

fn time(time: OffsetDateTime) -> Timestamp {
    Timestamp { seconds: time.unix_timestamp(), nanos: time.nanosecond().try_into().unwrap() }
}

/// As the contract says it.
fn fact(change: &Change) -> proto::AuthorizationFact {
    let place = |group, member| proto::MembershipFact { group_id: id("group", group), subject: subject(member) };
    let fact = match change {
        Change::Catalog(catalog) => {
            let types = catalog.project_types().iter().map(|declared| proto::ResourceType {
                name: declared.name.clone(),
                parent_types: declared.parent_types.clone(),
                verbs: declared.verbs.clone(),
                description: declared.description.clone(),
            });
            Fact::Catalog(proto::CatalogFact { resource_types: types.collect() })
        }
        Change::Organization { active } => Fact::OrganizationActive(*active),
        Change::PutRole(role) => Fact::Role(proto::RoleFact {
            role_id: id("role", role.id),
            permissions: role.permissions.iter().map(ToString::to_string).collect(),
            included_role_ids: role.included_role_ids.iter().map(|included| id("role", included)).collect(),
        }),
        Change::DropRole(role) => Fact::RemovedRoleId(id("role", role)),
        Change::PutGroup(group) => Fact::GroupId(id("group", group)),
        Change::DropGroup(group) => Fact::RemovedGroupId(id("group", group)),
        Change::PutMembership { group, member } => Fact::Membership(place(*group, *member)),
        Change::DropMembership { group, member } => Fact::RemovedMembership(place(*group, *member)),
        Change::PutBinding(binding) => Fact::Binding(proto::Binding {
            binding_id: id("binding", binding.id),
            subject: subject(binding.subject),
            role_id: id("role", binding.role),
            resource: binding.resource.as_ref().map(resource),
            effect: match binding.effect {
                Effect::Allow => proto::BindingEffect::Allow.into(),
                Effect::Deny => proto::BindingEffect::Deny.into(),
            },
            condition: binding.condition.as_ref().map(|condition| condition.source().to_owned()).unwrap_or_default(),
            not_before: binding.not_before.map(time),
            expire_time: binding.expire_time.map(time),
            ..proto::Binding::default()
        }),
        Change::DropBinding(binding) => Fact::RemovedBindingId(id("binding", binding)),
        Change::PutResource(place) => Fact::Resource(proto::ResourceFact {
            resource: Some(resource(&place.resource)),
            parent: place.parent.as_ref().map(resource),
        }),
        Change::DropResource(gone) => Fact::RemovedResource(resource(gone)),
        Change::Subject(of, state) => Fact::Subject(proto::SubjectFact {
            subject: subject(*of),
            status: match state {
                None => proto::SubjectStatus::Active.into(),
                Some(SubjectState::Suspended) => proto::SubjectStatus::Suspended.into(),
                Some(SubjectState::Removed) => proto::SubjectStatus::Removed.into(),
            },
        }),
    };
    proto::AuthorizationFact { fact: Some(fact) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_engine_that_is_fed_by_facts_agrees_with_the_reference(steps in vec(history::step(), 1..20)) {
        let mut data = OrganizationData::empty(world::catalog(0));
        let mut fed = Snapshot::build(&data);
        for (changes, asked) in steps {
            // Over the wire, and taken up twice: each says what is.
            let told = changes.iter().map(|change| fact(change).encode_to_vec());
            let told = told.map(|bytes| proto::AuthorizationFact::decode(bytes.as_slice()).unwrap());
            let taken: Vec<Change> = told.map(|told| embedded::change(told).unwrap()).collect();
            fed = fed.apply(&taken).apply(&taken);
            changes.iter().for_each(|change| data.apply(change));
            history::verify(&fed, &data, &asked)?;
        }
    }
}
