use api::authz::v1 as proto;
use engine::PermissionPattern;
use runtime::Violations;
use tenancy::{
    RoleId,
    mask::{self, Mask},
};
use tonic::Status;

use super::{text, time, tokens::Tokens};
use crate::{
    model::{Role, RoleKey, RoleName},
    ops::edit::{NewRole, RolePatch},
};

const MAX_PERMISSIONS: usize = 1000;
const MAX_INCLUDED: usize = 50;
/// How many roles one request may name.
pub const MAX_NAMED: usize = 50;

fn permissions(violations: &mut Violations, field: &str, texts: &[String]) -> Vec<PermissionPattern> {
    text::count(violations, &format!("{field}.permissions"), texts.len(), 0, MAX_PERMISSIONS);
    let mut patterns: Vec<PermissionPattern> = Vec::with_capacity(texts.len().min(MAX_PERMISSIONS));
    for (at, text) in texts.iter().take(MAX_PERMISSIONS).enumerate() {
        match text.parse() {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => violations.add(format!("{field}.permissions[{at}]"), engine::NameError::to_string(&error)),
        }
    }
    patterns.sort_unstable();
    patterns.dedup();
    patterns
}

fn included(violations: &mut Violations, field: &str, texts: &[String]) -> Vec<RoleId> {
    text::count(violations, &format!("{field}.included_role_ids"), texts.len(), 0, MAX_INCLUDED);
    let mut ids: Vec<RoleId> = Vec::new();
    for (at, text) in texts.iter().take(MAX_INCLUDED).enumerate() {
        ids.extend(violations.check(format!("{field}.included_role_ids[{at}]"), text.parse::<RoleId>()));
    }
    ids.sort_unstable();
    ids.dedup();
    ids
}

pub fn new(role: Option<proto::Role>) -> Result<NewRole, Status> {
    let mut violations = Violations::default();
    let new = parse(&mut violations, "role", &role.unwrap_or_default());
    violations.all((new,)).map(|(new,)| new)
}

/// A role to be made, faults under `field`.
pub fn parse(violations: &mut Violations, field: &str, role: &proto::Role) -> Option<NewRole> {
    let key = violations.check(format!("{field}.key"), role.key.parse::<RoleKey>());
    let display_name = text::display_name(violations, &format!("{field}.display_name"), &role.display_name);
    let description = text::description(violations, &format!("{field}.description"), &role.description);
    let permissions = permissions(violations, field, &role.permissions);
    let included_role_ids = included(violations, field, &role.included_role_ids);
    let (display_name, description) = (display_name?, description?);
    Some(NewRole { id: None, key: key?, display_name, description, permissions, included_role_ids })
}

/// A role as it shall be from now on, in every writable field; faults under `field`.
pub fn replacement(violations: &mut Violations, field: &str, role: &proto::Role) -> Option<RolePatch> {
    let role_id = violations.check(format!("{field}.role_id"), role.role_id.parse::<RoleId>());
    let display_name = text::display_name(violations, &format!("{field}.display_name"), &role.display_name);
    let description = text::description(violations, &format!("{field}.description"), &role.description);
    let permissions = permissions(violations, field, &role.permissions);
    let included = included(violations, field, &role.included_role_ids);
    Some(RolePatch {
        role_id: role_id?,
        etag: role.etag.clone(),
        display_name,
        description,
        permissions: Some(permissions),
        included_role_ids: Some(included),
    })
}

const FIELDS: &[&str] = &["display_name", "description", "permissions", "included_role_ids"];

pub fn patch(role: Option<proto::Role>, update_mask: Option<prost_types::FieldMask>) -> Result<RolePatch, Status> {
    let role = role.unwrap_or_default();
    let mut violations = Violations::default();
    let paths = update_mask.map(|mask| mask.paths).filter(|paths| !paths.is_empty()).unwrap_or_else(|| {
        let filled = [
            !role.display_name.is_empty(),
            !role.description.is_empty(),
            !role.permissions.is_empty(),
            !role.included_role_ids.is_empty(),
        ];
        FIELDS.iter().zip(filled).filter(|(_, filled)| *filled).map(|(path, _)| (*path).to_owned()).collect()
    });
    let role_id = violations.check("role.role_id", role.role_id.parse::<RoleId>());
    let mask = violations.check("update_mask", Mask::parse(&paths, FIELDS));
    let named = |path: &str| mask.as_ref().is_some_and(|mask| mask.has(path));
    let display_name = named("display_name")
        .then(|| text::display_name(&mut violations, "role.display_name", &role.display_name))
        .flatten();
    let description = named("description")
        .then(|| text::description(&mut violations, "role.description", &role.description))
        .flatten();
    let permissions = named("permissions").then(|| permissions(&mut violations, "role", &role.permissions));
    let included = named("included_role_ids").then(|| included(&mut violations, "role", &role.included_role_ids));
    let (role_id,) = violations.all((role_id,))?;
    Ok(RolePatch { role_id, etag: role.etag, display_name, description, permissions, included_role_ids: included })
}

/// `roles[]` of a request: ids or keys.
pub fn names(violations: &mut Violations, field: &str, texts: &[String]) -> Vec<RoleName> {
    text::count(violations, field, texts.len(), 0, MAX_NAMED);
    let mut names = Vec::new();
    for (at, text) in texts.iter().take(MAX_NAMED).enumerate() {
        names.extend(violations.check(format!("{field}[{at}]"), text.parse::<RoleName>()));
    }
    names
}

pub fn to_proto(role: Role, tokens: &Tokens<'_>) -> proto::Role {
    let revision = match (role.builtin, role.organization_id) {
        (true, _) => tokens.at_the_start(),
        (false, Some(_)) => tokens.own(role.revision),
        (false, None) => tokens.template(role.revision),
    };
    proto::Role {
        role_id: role.role_id.to_string(),
        organization_id: role.organization_id.map(|id| id.to_string()).unwrap_or_default(),
        key: role.key,
        display_name: role.display_name,
        description: role.description,
        permissions: role.permissions,
        included_role_ids: role.included_role_ids.iter().map(ToString::to_string).collect(),
        builtin: role.builtin,
        create_time: role.create_time.map(time::to_proto),
        update_time: role.update_time.map(time::to_proto),
        etag: mask::etag(role.revision),
        revision,
    }
}
