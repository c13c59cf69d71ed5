use std::collections::HashSet;

use api::{
    authz::v1::{self as proto, subject::Subject as Kind},
    event::v1::Actor as ProtoActor,
    org::v1::{OrganizationState as ProtoState, ProjectState},
};
use runtime::Violations;
use tenancy::{Actor, GroupId, OrganizationState, mask};

use super::{role, text, time, tokens::Tokens};
use crate::{
    model::{Grantor, RoleName, RoleSource, Standing, Subject, SubjectStatus},
    ops::subject_roles::Held,
};

/// How many subjects one batch may name.
const MAX_GRANTS: usize = 1000;

pub fn to_proto(subject: Subject) -> proto::Subject {
    let kind = match subject {
        Subject::Member(id) => Kind::MemberId(id.to_string()),
        Subject::ServiceAccount(id) => Kind::ServiceAccountId(id.to_string()),
        Subject::Group(id) => Kind::GroupId(id.to_string()),
        Subject::AllMembers => Kind::AllMembers(true),
    };
    proto::Subject { subject: Some(kind) }
}

/// Any subject.
pub fn any(subject: Option<&proto::Subject>) -> Result<Subject, String> {
    match subject.and_then(|subject| subject.subject.as_ref()) {
        Some(Kind::MemberId(id)) => id.parse().map(Subject::Member).map_err(|e: tenancy::IdError| e.to_string()),
        Some(Kind::ServiceAccountId(id)) => {
            id.parse().map(Subject::ServiceAccount).map_err(|e: tenancy::IdError| e.to_string())
        }
        Some(Kind::GroupId(id)) => id.parse::<GroupId>().map(Subject::Group).map_err(|e| e.to_string()),
        Some(Kind::AllMembers(true)) => Ok(Subject::AllMembers),
        Some(Kind::AllMembers(false)) => Err("all_members is always true when set".to_owned()),
        None => Err("must name one subject".to_owned()),
    }
}

/// A member or a service account.
pub fn one(subject: Option<&proto::Subject>) -> Result<Subject, String> {
    match any(subject)? {
        subject if subject.is_one() => Ok(subject),
        _ => Err("must be a member or a service account".to_owned()),
    }
}

/// Whom a group may contain.
pub fn groupable(subject: &proto::Subject) -> Result<Subject, String> {
    match any(Some(subject))? {
        Subject::AllMembers => Err("must be a member, a service account or a group".to_owned()),
        subject => Ok(subject),
    }
}

/// On whose behalf a service grants. `is_project`: the calling service vouches that it is a service account of the project.
pub fn grantor(actor: Option<&ProtoActor>, is_project: bool) -> Result<Grantor, &'static str> {
    let actor = actor.and_then(feed::actor_from_proto).ok_or("must name one actor by a well-formed id")?;
    match (actor, is_project) {
        (Actor::ServiceAccount(_), true) => Ok(Grantor::Free),
        (_, true) => Err("must be a service account where grantor_is_project is set"),
        (Actor::Member(id), false) => Ok(Grantor::Bound(Subject::Member(id))),
        (Actor::ServiceAccount(id), false) => Ok(Grantor::Bound(Subject::ServiceAccount(id))),
        (Actor::Operator | Actor::Workload(_), false) => Ok(Grantor::Free),
        (Actor::Anonymous, false) => Err("must not be anonymous"),
    }
}

/// The grants of a batch: no subject twice, and no more different roles than one request may name.
pub fn grants(violations: &mut Violations, asked: &[proto::SubjectGrant]) -> Vec<(Subject, Vec<RoleName>)> {
    text::count(violations, "grants", asked.len(), 1, MAX_GRANTS);
    let (mut seen, mut named, mut grants) = (HashSet::new(), HashSet::new(), Vec::new());
    for (at, grant) in asked.iter().take(MAX_GRANTS).enumerate() {
        let subject = violations.check(format!("grants[{at}].subject"), one(grant.subject.as_ref()));
        let roles = role::names(violations, &format!("grants[{at}].roles"), &grant.roles);
        named.extend(&grant.roles);
        if let Some(subject) = subject {
            violations.require(seen.insert(subject), format!("grants[{at}].subject"), "is there twice");
            grants.push((subject, roles));
        }
    }
    violations.require(named.len() <= role::MAX_NAMED, "grants", "must name at most 50 different roles");
    grants
}

/// None for the sources that no binding has.
pub fn source_from_proto(source: proto::RoleSource) -> Option<RoleSource> {
    match source {
        proto::RoleSource::Direct => Some(RoleSource::Direct),
        proto::RoleSource::Invitation => Some(RoleSource::Invitation),
        proto::RoleSource::Jit => Some(RoleSource::Jit),
        proto::RoleSource::EmailDomain => Some(RoleSource::EmailDomain),
        proto::RoleSource::ConnectionGroup => Some(RoleSource::ConnectionGroup),
        proto::RoleSource::ScimGroup => Some(RoleSource::ScimGroup),
        proto::RoleSource::Unspecified | proto::RoleSource::Group => None,
    }
}

pub fn source_to_proto(source: Option<RoleSource>) -> proto::RoleSource {
    match source {
        Some(RoleSource::Direct) => proto::RoleSource::Direct,
        Some(RoleSource::Invitation) => proto::RoleSource::Invitation,
        Some(RoleSource::Jit) => proto::RoleSource::Jit,
        Some(RoleSource::EmailDomain) => proto::RoleSource::EmailDomain,
        Some(RoleSource::ConnectionGroup) => proto::RoleSource::ConnectionGroup,
        Some(RoleSource::ScimGroup) => proto::RoleSource::ScimGroup,
        None => proto::RoleSource::Group,
    }
}

pub fn held(held: Held) -> proto::SubjectRole {
    proto::SubjectRole {
        role_id: held.role_id.to_string(),
        key: held.key,
        sources: held.sources.into_iter().map(|source| source_to_proto(source).into()).collect(),
    }
}

pub fn standing(standing: Standing, tokens: &Tokens<'_>) -> proto::SubjectState {
    let status = match standing.status {
        SubjectStatus::Active => proto::SubjectStatus::Active,
        SubjectStatus::Suspended => proto::SubjectStatus::Suspended,
        SubjectStatus::Removed => proto::SubjectStatus::Removed,
    };
    proto::SubjectState {
        organization_id: standing.organization_id.to_string(),
        subject: Some(to_proto(standing.subject)),
        status: status.into(),
        member_revision: standing.member_revision,
        create_time: Some(time::to_proto(standing.create_time)),
        update_time: Some(time::to_proto(standing.update_time)),
        revision: tokens.own(standing.revision),
        etag: mask::etag(standing.revision),
    }
}

pub fn organization_state(state: ProtoState) -> Option<OrganizationState> {
    match state {
        ProtoState::Active => Some(OrganizationState::Active),
        ProtoState::Suspended => Some(OrganizationState::Suspended),
        ProtoState::Deleted => Some(OrganizationState::Deleted),
        ProtoState::Unspecified => None,
    }
}

/// What a project's own head says of the project.
pub fn project_state_to_proto(state: OrganizationState) -> ProjectState {
    match state {
        OrganizationState::Active => ProjectState::Active,
        OrganizationState::Suspended | OrganizationState::Deleted => ProjectState::Archived,
    }
}

pub fn organization_state_to_proto(state: OrganizationState) -> ProtoState {
    match state {
        OrganizationState::Active => ProtoState::Active,
        OrganizationState::Suspended => ProtoState::Suspended,
        OrganizationState::Deleted => ProtoState::Deleted,
    }
}
