//! What the stream tells, as the engine takes it up. Nothing is guessed: what this version does not know is not taken for something
//! else, and not left out.

use std::{str::FromStr, sync::Arc};

use api::authz::v1::{self as proto, authorization_fact::Fact, subject::Subject as Kind};
use engine::{Binding, Catalog, Change, Condition, Effect, ResourceRef, ResourceType, Role, SubjectId, SubjectState};
use prost_types::Timestamp;
use time::OffsetDateTime;

use super::subject::uuid;

/// A newer server told something that this version does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this version does not understand {0}")]
pub struct NotUnderstood(String);

fn strange(what: &str) -> NotUnderstood {
    NotUnderstood(what.to_owned())
}

/// The change that a fact is.
pub fn change(fact: proto::AuthorizationFact) -> Result<Change, NotUnderstood> {
    Ok(match fact.fact.ok_or_else(|| strange("a kind of fact"))? {
        Fact::Catalog(told) => Change::Catalog(Arc::new(catalog(told)?)),
        Fact::OrganizationActive(active) => Change::Organization { active },
        Fact::Role(told) => Change::PutRole(role(told)?),
        Fact::RemovedRoleId(gone) => Change::DropRole(id("role", &gone)?),
        Fact::GroupId(there) => Change::PutGroup(id("group", &there)?),
        Fact::RemovedGroupId(gone) => Change::DropGroup(id("group", &gone)?),
        Fact::Membership(place) => {
            Change::PutMembership { group: id("group", &place.group_id)?, member: subject(place.subject)? }
        }
        Fact::RemovedMembership(place) => {
            Change::DropMembership { group: id("group", &place.group_id)?, member: subject(place.subject)? }
        }
        Fact::Binding(told) => Change::PutBinding(binding(told)?),
        Fact::RemovedBindingId(gone) => Change::DropBinding(id("binding", &gone)?),
        Fact::Resource(place) => Change::PutResource(engine::Resource {
            resource: resource(&place.resource.ok_or_else(|| strange("a place without a resource"))?)?,
            parent: place.parent.as_ref().map(resource).transpose()?,
        }),
        Fact::RemovedResource(gone) => Change::DropResource(resource(&gone)?),
        Fact::Subject(told) => {
            let state = match told.status() {
                proto::SubjectStatus::Active => None,
                proto::SubjectStatus::Suspended => Some(SubjectState::Suspended),
                proto::SubjectStatus::Removed => Some(SubjectState::Removed),
                proto::SubjectStatus::Unspecified => return Err(strange("a subject's status")),
            };
            Change::Subject(subject(told.subject)?, state)
        }
    })
}

fn id<T: From<uuid::Uuid>>(prefix: &'static str, text: &str) -> Result<T, NotUnderstood> {
    uuid(prefix, text).map(T::from).map_err(|_| NotUnderstood(format!("the id of a {prefix}")))
}

fn parse<T: FromStr>(text: &str, what: &str) -> Result<T, NotUnderstood> {
    text.parse().map_err(|_| strange(what))
}

fn subject(told: Option<proto::Subject>) -> Result<SubjectId, NotUnderstood> {
    Ok(match told.and_then(|told| told.subject).ok_or_else(|| strange("a kind of subject"))? {
        Kind::MemberId(text) => SubjectId::Member(id("member", &text)?),
        Kind::ServiceAccountId(text) => SubjectId::ServiceAccount(id("sa", &text)?),
        Kind::GroupId(text) => SubjectId::Group(id("group", &text)?),
        Kind::AllMembers(true) => SubjectId::AllMembers,
        Kind::AllMembers(false) => return Err(strange("a kind of subject")),
    })
}

fn resource(told: &proto::Resource) -> Result<ResourceRef, NotUnderstood> {
    ResourceRef::new(&told.r#type, &told.id).map_err(|_| strange("the name of a resource"))
}

fn catalog(told: proto::CatalogFact) -> Result<Catalog, NotUnderstood> {
    let types = told.resource_types.into_iter().map(|declared| ResourceType {
        name: declared.name,
        parent_types: declared.parent_types,
        verbs: declared.verbs,
        description: declared.description,
    });
    Catalog::new(types.collect()).map_err(|_| strange("the catalogue"))
}

fn role(told: proto::RoleFact) -> Result<Role, NotUnderstood> {
    let patterns = told.permissions.iter().map(|pattern| parse(pattern, "the pattern of a permission"));
    Ok(Role {
        id: id("role", &told.role_id)?,
        permissions: patterns.collect::<Result<_, _>>()?,
        included_role_ids: told.included_role_ids.iter().map(|text| id("role", text)).collect::<Result<_, _>>()?,
    })
}

fn binding(told: proto::Binding) -> Result<Binding, NotUnderstood> {
    let effect = match told.effect() {
        proto::BindingEffect::Allow => Effect::Allow,
        proto::BindingEffect::Deny => Effect::Deny,
        proto::BindingEffect::Unspecified => return Err(strange("the effect of a binding")),
    };
    let condition = match told.condition.as_str() {
        "" => None,
        text => Some(Condition::new(text).map_err(|_| strange("a condition"))?),
    };
    Ok(Binding {
        id: id("binding", &told.binding_id)?,
        subject: subject(told.subject)?,
        role: id("role", &told.role_id)?,
        resource: told.resource.as_ref().map(resource).transpose()?,
        effect,
        condition,
        not_before: told.not_before.map(moment).transpose()?,
        expire_time: told.expire_time.map(moment).transpose()?,
    })
}

fn moment(told: Timestamp) -> Result<OffsetDateTime, NotUnderstood> {
    let seconds = OffsetDateTime::from_unix_timestamp(told.seconds).ok();
    let nanoseconds = u32::try_from(told.nanos).ok();
    let time = seconds.zip(nanoseconds).and_then(|(seconds, nanoseconds)| seconds.replace_nanosecond(nanoseconds).ok());
    time.ok_or_else(|| strange("a time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(fact: Option<Fact>) {
        assert!(change(proto::AuthorizationFact { fact: fact.clone() }).is_err(), "{fact:?}");
    }

    #[test]
    fn what_is_not_known_is_not_guessed() {
        const ROLE: &str = "role_01h455vb4pex5vsknk084sn02q";
        let member = proto::Subject { subject: Some(Kind::MemberId("member_01h455vb4pex5vsknk084sn02q".to_owned())) };
        let sound = proto::Binding {
            binding_id: "binding_01h455vb4pex5vsknk084sn02q".to_owned(),
            subject: Some(member.clone()),
            role_id: ROLE.to_owned(),
            effect: proto::BindingEffect::Deny.into(),
            ..proto::Binding::default()
        };
        assert!(change(proto::AuthorizationFact { fact: Some(Fact::Binding(sound.clone())) }).is_ok());
        refused(None);
        refused(Some(Fact::Binding(proto::Binding { effect: 7, ..sound.clone() })));
        refused(Some(Fact::Binding(proto::Binding { subject: None, ..sound.clone() })));
        refused(Some(Fact::Binding(proto::Binding { condition: "a ??? b".to_owned(), ..sound })));
        refused(Some(Fact::Subject(proto::SubjectFact { subject: Some(member), status: 9 })));
        refused(Some(Fact::RemovedRoleId("rule_01h455vb4pex5vsknk084sn02q".to_owned())));
        let role = |pattern: &str| {
            let permissions = vec![pattern.to_owned()];
            Some(Fact::Role(proto::RoleFact { role_id: ROLE.to_owned(), permissions, included_role_ids: Vec::new() }))
        };
        refused(role("document:~read"));
        assert!(change(proto::AuthorizationFact { fact: role("document:*") }).is_ok());
    }
}
