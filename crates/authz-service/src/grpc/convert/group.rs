use api::authz::v1 as proto;
use runtime::Violations;
use tenancy::{
    GroupId,
    mask::{self, Mask},
};
use tonic::Status;

use super::{subject, text, time, tokens::Tokens};
use crate::{
    model::{Group, GroupMembership, Subject},
    ops::edit::{GroupPatch, NewGroup},
};

pub fn new(group: Option<proto::Group>) -> Result<NewGroup, Status> {
    let mut violations = Violations::default();
    let new = parse(&mut violations, "group", &group.unwrap_or_default());
    violations.all((new,)).map(|(new,)| new)
}

/// A group to be made, faults under `field`.
pub fn parse(violations: &mut Violations, field: &str, group: &proto::Group) -> Option<NewGroup> {
    let display_name = text::display_name(violations, &format!("{field}.display_name"), &group.display_name);
    let external_id = text::external_id(violations, &format!("{field}.external_id"), &group.external_id);
    Some(NewGroup { id: None, display_name: display_name?, external_id: external_id? })
}

const FIELDS: &[&str] = &["display_name", "external_id"];

pub fn patch(group: Option<proto::Group>, update_mask: Option<prost_types::FieldMask>) -> Result<GroupPatch, Status> {
    let group = group.unwrap_or_default();
    let mut violations = Violations::default();
    let paths = update_mask.map(|mask| mask.paths).filter(|paths| !paths.is_empty()).unwrap_or_else(|| {
        let filled = [!group.display_name.is_empty(), !group.external_id.is_empty()];
        FIELDS.iter().zip(filled).filter(|(_, filled)| *filled).map(|(path, _)| (*path).to_owned()).collect()
    });
    let group_id = violations.check("group.group_id", group.group_id.parse::<GroupId>());
    let mask = violations.check("update_mask", Mask::parse(&paths, FIELDS));
    let named = |path: &str| mask.as_ref().is_some_and(|mask| mask.has(path));
    let display_name = named("display_name")
        .then(|| text::display_name(&mut violations, "group.display_name", &group.display_name))
        .flatten();
    let external_id = named("external_id")
        .then(|| text::external_id(&mut violations, "group.external_id", &group.external_id))
        .flatten();
    let (group_id,) = violations.all((group_id,))?;
    Ok(GroupPatch { group_id, etag: group.etag, display_name, external_id })
}

/// The members that a request names, each once.
pub fn members(group_id: &str, subjects: &[proto::Subject]) -> Result<(GroupId, Vec<Subject>), Status> {
    let mut violations = Violations::default();
    let group = violations.check("group_id", group_id.parse::<GroupId>());
    text::count(&mut violations, "subjects", subjects.len(), 1, 1000);
    let mut members: Vec<Subject> = Vec::with_capacity(subjects.len().min(1000));
    for (at, named) in subjects.iter().take(1000).enumerate() {
        match subject::groupable(named) {
            Ok(subject) => members.push(subject),
            Err(fault) => violations.add(format!("subjects[{at}]"), fault),
        }
    }
    let (group,) = violations.all((group,))?;
    members.sort_unstable();
    members.dedup();
    Ok((group, members))
}

pub fn to_proto(group: Group, tokens: &Tokens<'_>) -> proto::Group {
    proto::Group {
        group_id: group.group_id.to_string(),
        organization_id: group.organization_id.to_string(),
        revision: tokens.own(group.last_revision()),
        display_name: group.display_name,
        external_id: group.external_id,
        create_time: Some(time::to_proto(group.create_time)),
        update_time: Some(time::to_proto(group.update_time)),
        etag: mask::etag(group.revision),
    }
}

pub fn membership(membership: GroupMembership, tokens: &Tokens<'_>) -> proto::GroupMembership {
    let begun = time::to_proto(membership.create_time);
    proto::GroupMembership {
        organization_id: membership.organization_id.to_string(),
        group_id: membership.group_id.to_string(),
        subject: Some(subject::to_proto(membership.subject)),
        create_time: Some(begun),
        update_time: Some(begun),
        revision: tokens.own(membership.revision),
        etag: mask::etag(membership.revision),
    }
}
