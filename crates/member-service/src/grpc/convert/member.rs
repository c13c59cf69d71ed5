//! Members.

use std::collections::BTreeSet;

use api::{
    authz::v1::{RoleSource as SpokenSource, SubjectRole},
    member::v1::{self as proto, CreateMemberRequest, LookupMemberRequest, UpdateMemberRequest, lookup_member_request},
};
use runtime::Violations;
use tenancy::{
    MemberId,
    mask::{self, Mask},
};
use tonic::Status;

use super::{metadata, read_roles_at, timestamp};
use crate::{
    grpc::refusal::for_projects_only,
    model::{
        Changes, EmailAddress, ExternalId, Fault, Member, MemberDraft, MemberState, MemberWithRoles, Name, RoleHeld,
        RoleSource,
    },
    ops::member::Key,
};

const WRITABLE: &[&str] = &["display_name", "external_id", "is_breakglass", "trusted_metadata", "untrusted_metadata"];
/// What only a project's credential writes.
const OF_THE_PROJECT: &[&str] = &["is_breakglass", "trusted_metadata"];

pub fn member(member: &MemberWithRoles) -> proto::Member {
    let roles = member.roles.iter().map(role).collect();
    proto::Member { roles, email_verified: member.email_verified, ..member_alone(&member.member) }
}

/// As events show it: roles are bindings, and theirs are authz-service's events; that an address is proven is the identity's.
pub fn member_alone(member: &Member) -> proto::Member {
    let state = match member.state {
        MemberState::Active => proto::MemberState::Active,
        MemberState::Suspended => proto::MemberState::Suspended,
    };
    proto::Member {
        member_id: member.member_id.to_string(),
        organization_id: member.organization_id.to_string(),
        identity_id: member.identity_id.to_string(),
        email_address: member.email_address.as_str().to_owned(),
        email_verified: false,
        display_name: member.display_name.as_str().to_owned(),
        external_id: member.external_id.as_ref().map(|id| id.as_str().to_owned()).unwrap_or_default(),
        state: state.into(),
        is_breakglass: member.is_breakglass,
        roles: Vec::new(),
        trusted_metadata: metadata::metadata(&member.trusted_metadata),
        untrusted_metadata: metadata::metadata(&member.untrusted_metadata),
        last_sign_in_time: member.last_sign_in_time.map(timestamp),
        create_time: Some(timestamp(member.create_time)),
        update_time: Some(timestamp(member.update_time)),
        etag: mask::etag(member.revision),
    }
}

fn role(role: &RoleHeld) -> SubjectRole {
    let source = |source: &RoleSource| match source {
        RoleSource::Direct => SpokenSource::Direct,
        RoleSource::Invitation => SpokenSource::Invitation,
        RoleSource::Jit => SpokenSource::Jit,
        RoleSource::EmailDomain => SpokenSource::EmailDomain,
        RoleSource::ConnectionGroup => SpokenSource::ConnectionGroup,
        RoleSource::ScimGroup => SpokenSource::ScimGroup,
        RoleSource::Group => SpokenSource::Group,
    };
    SubjectRole {
        role_id: role.role_id.clone(),
        key: role.key.clone(),
        sources: role.sources.iter().map(|s| source(s).into()).collect(),
    }
}

fn optional_external_id(text: &str) -> Result<Option<ExternalId>, Fault> {
    if text.is_empty() { Ok(None) } else { ExternalId::parse(text).map(Some) }
}

/// Refuses fields that only a project's credential writes to every other caller.
fn check_audience<'a>(named: impl Iterator<Item = &'a str>, by_project: bool) -> Result<(), Status> {
    let fields: Vec<&str> = named.filter(|_| !by_project).collect();
    if fields.is_empty() { Ok(()) } else { Err(for_projects_only(&fields.join(","))) }
}

/// The fields that a message fills.
fn filled(member: &proto::Member) -> Vec<&'static str> {
    let fills = |path: &str| match path {
        "display_name" => !member.display_name.is_empty(),
        "external_id" => !member.external_id.is_empty(),
        "is_breakglass" => member.is_breakglass,
        "trusted_metadata" => member.trusted_metadata.is_some(),
        _ => member.untrusted_metadata.is_some(),
    };
    WRITABLE.iter().copied().filter(|path| fills(path)).collect()
}

pub fn read_create(request: CreateMemberRequest, by_project: bool) -> Result<(MemberDraft, Vec<String>), Status> {
    let mut violations = Violations::default();
    check_new(request.member.iter(), by_project)?;
    let new = read_new("", request.member, request.roles, &mut violations);
    let (new,) = violations.all((new,))?;
    Ok(new)
}

/// Refuses fields of new members that the caller may not give.
pub fn check_new<'a>(members: impl Iterator<Item = &'a proto::Member>, by_project: bool) -> Result<(), Status> {
    let named: BTreeSet<&str> = members.flat_map(filled).filter(|path| OF_THE_PROJECT.contains(path)).collect();
    check_audience(named.into_iter(), by_project)
}

/// `path` stands before the names of the fields. None with a violation.
pub fn read_new(
    path: &str,
    member: Option<proto::Member>,
    roles: Vec<String>,
    violations: &mut Violations,
) -> Option<(MemberDraft, Vec<String>)> {
    let Some(member) = member else {
        violations.add(format!("{path}member"), "is required");
        return None;
    };
    let field = |name: &str| format!("{path}member.{name}");
    let email_address = violations.check(field("email_address"), EmailAddress::parse(&member.email_address));
    let display_name = violations.check(field("display_name"), Name::parse(&member.display_name));
    let external_id = violations.check(field("external_id"), optional_external_id(&member.external_id));
    let trusted = violations.check(field("trusted_metadata"), metadata::read(member.trusted_metadata));
    let untrusted = violations.check(field("untrusted_metadata"), metadata::read(member.untrusted_metadata));
    let roles = read_roles_at(&format!("{path}roles"), roles, violations);
    let draft = MemberDraft {
        email_address: email_address?,
        display_name: display_name?,
        external_id: external_id?,
        is_breakglass: member.is_breakglass,
        trusted_metadata: trusted?,
        untrusted_metadata: untrusted?,
    };
    Some((draft, roles))
}

/// Which member, the etag that was decided on, and what to set.
pub fn read_update(request: UpdateMemberRequest, by_project: bool) -> Result<(MemberId, String, Changes), Status> {
    let member = request.member.ok_or_else(|| access::invalid_field("member", "is required"))?;
    let mut violations = Violations::default();
    let id = violations.check("member.member_id", member.member_id.parse::<MemberId>());
    let paths = request.update_mask.map(|mask| mask.paths).unwrap_or_default();
    let paths = match paths.as_slice() {
        [] => filled(&member).into_iter().map(str::to_owned).collect(),
        _ => paths,
    };
    // With nothing named and nothing filled there is nothing to do, which is no error.
    let mask = if paths.is_empty() { None } else { violations.check("update_mask", Mask::parse(&paths, WRITABLE)) };
    let has = |path: &str| mask.as_ref().is_some_and(|mask| mask.has(path));
    check_audience(OF_THE_PROJECT.iter().copied().filter(|path| has(path)), by_project)?;
    let mut changes = Changes::default();
    if has("display_name") {
        changes.display_name = violations.check("member.display_name", Name::parse(&member.display_name));
    }
    if has("external_id") {
        changes.external_id = violations.check("member.external_id", optional_external_id(&member.external_id));
    }
    if has("is_breakglass") {
        changes.is_breakglass = Some(member.is_breakglass);
    }
    if has("trusted_metadata") {
        changes.trusted_metadata = violations.check("member.trusted_metadata", metadata::read(member.trusted_metadata));
    }
    if has("untrusted_metadata") {
        changes.untrusted_metadata =
            violations.check("member.untrusted_metadata", metadata::read(member.untrusted_metadata));
    }
    let (id,) = violations.all((id,))?;
    Ok((id, member.etag, changes))
}

pub fn read_key(request: LookupMemberRequest) -> Result<Key, Status> {
    let mut violations = Violations::default();
    let key = match request.key {
        None => {
            violations.add("key", "must name the email_address or the external_id");
            None
        }
        Some(lookup_member_request::Key::EmailAddress(text)) => {
            violations.check("email_address", EmailAddress::parse(&text)).map(Key::Email)
        }
        Some(lookup_member_request::Key::ExternalId(text)) => {
            violations.check("external_id", ExternalId::parse(&text)).map(Key::ExternalId)
        }
    };
    let (key,) = violations.all((key,))?;
    Ok(key)
}

/// None for all states.
pub fn read_state(state: i32) -> Result<Option<MemberState>, Fault> {
    match proto::MemberState::try_from(state) {
        Ok(proto::MemberState::Unspecified) => Ok(None),
        Ok(proto::MemberState::Active) => Ok(Some(MemberState::Active)),
        Ok(proto::MemberState::Suspended) => Ok(Some(MemberState::Suspended)),
        Err(_) => Err(Fault("is no state of a member")),
    }
}
