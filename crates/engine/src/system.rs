//! Guildhall's own resource types and the builtin roles: the same in every project, not stored anywhere.

use uuid::{Uuid, uuid};

use crate::data::Role;
use crate::id::RoleId;
use crate::permission::{Permission, PermissionPattern};

/// The prefix that no project's type may have.
pub(crate) const RESERVED_PREFIX: &str = "guildhall.";

/// Guildhall's types, each with its verbs and its description.
pub(crate) const TYPES: [(&str, &[&str], &str); 13] = [
    ("guildhall.organization", &["read", "update", "delete"], "The organization itself."),
    (
        "guildhall.member",
        &["read", "create", "update", "suspend", "remove", "impersonate"],
        "The organization's members.",
    ),
    ("guildhall.invitation", &["read", "create", "revoke"], "Invitations to become a member."),
    ("guildhall.session", &["read", "revoke"], "The sessions of members."),
    ("guildhall.domain", &["read", "create", "verify", "delete"], "Email and host domains."),
    ("guildhall.connection", &["read", "create", "update", "delete", "test"], "Single sign-on connections."),
    ("guildhall.service_account", &["read", "create", "update", "delete"], "Service accounts and their API keys."),
    ("guildhall.role", &["read", "create", "update", "delete"], "The organization's own roles."),
    ("guildhall.group", &["read", "create", "update", "delete"], "Groups and who is in them."),
    ("guildhall.binding", &["read", "create", "update", "delete", "apply"], "Bindings of subjects to roles."),
    ("guildhall.resource", &["read", "register", "move", "remove"], "The resource hierarchy."),
    ("guildhall.event", &["read"], "The audit log."),
    (
        "guildhall.authorization",
        &["check", "explain", "simulate", "export", "import"],
        "Questions about the permissions of others, and the organization's whole authorization.",
    ),
];

/// Everything, whatever the catalog comes to hold.
pub const OWNER: RoleId = RoleId(uuid!("00000000-0000-7000-8000-67756c640001"));
/// Everything of Guildhall but deleting the organization. Nothing of the project's own types.
pub const ADMIN: RoleId = RoleId(uuid!("00000000-0000-7000-8000-67756c640002"));
/// What a colleague sees: the organization, its members, roles and groups.
pub const MEMBER: RoleId = RoleId(uuid!("00000000-0000-7000-8000-67756c640003"));

/// A role that every organization of every project has. Nobody can change or delete it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltinRole {
    pub id: RoleId,
    pub key: &'static str,
    pub display_name: &'static str,
    pub description: &'static str,
}

pub const BUILTIN_ROLES: [BuiltinRole; 3] = [
    BuiltinRole {
        id: OWNER,
        key: "owner",
        display_name: "Owner",
        description: "May do everything. An organization keeps at least one.",
    },
    BuiltinRole {
        id: ADMIN,
        key: "admin",
        display_name: "Admin",
        description: "Runs the organization: everything of Guildhall except deleting it.",
    },
    BuiltinRole {
        id: MEMBER,
        key: "member",
        display_name: "Member",
        description: "Sees the organization, its members, roles and groups.",
    },
];

impl BuiltinRole {
    pub fn by_key(key: &str) -> Option<&'static Self> {
        BUILTIN_ROLES.iter().find(|role| role.key == key)
    }

    pub fn by_id(id: RoleId) -> Option<&'static Self> {
        BUILTIN_ROLES.iter().find(|role| role.id == id)
    }

    pub fn permissions(&self) -> Vec<PermissionPattern> {
        match self.key {
            "owner" => vec![PermissionPattern::All],
            "admin" => TYPES.iter().flat_map(|(name, verbs, _)| admin_patterns(name, verbs)).collect(),
            _ => ["guildhall.organization", "guildhall.member", "guildhall.role", "guildhall.group"]
                .iter()
                .filter_map(|name| one(name, "read"))
                .collect(),
        }
    }

    pub(crate) fn role(&self) -> Role {
        Role { id: self.id, permissions: self.permissions(), included_role_ids: Vec::new() }
    }
}

/// Wildcards where a type is wholly the admin's, so that an admin may hand them on (see `Snapshot::not_held`).
fn admin_patterns(name: &str, verbs: &[&str]) -> Vec<PermissionPattern> {
    if name == "guildhall.organization" {
        return verbs.iter().filter(|verb| **verb != "delete").filter_map(|verb| one(name, verb)).collect();
    }
    name.parse().map(PermissionPattern::Type).into_iter().collect()
}

/// The names above are constants, and a test parses each of them.
fn one(type_name: &str, verb: &str) -> Option<PermissionPattern> {
    Permission::new(type_name, verb).ok().map(PermissionPattern::One)
}

/// True for the ids of the builtin roles.
pub fn is_builtin(role: RoleId) -> bool {
    BuiltinRole::by_id(role).is_some()
}

/// Builtin ids must not collide with generated ones: their timestamp is zero, which no clock gives.
const _: () = assert!(Uuid::as_u128(&OWNER.0) >> 80 == 0);

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(key: &str) -> Vec<String> {
        BuiltinRole::by_key(key).unwrap().permissions().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_constant_name_parses() {
        for (name, verbs, _) in TYPES {
            assert!(name.starts_with(RESERVED_PREFIX));
            for verb in verbs {
                assert!(one(name, verb).is_some(), "{name}:{verb}");
            }
        }
    }

    #[test]
    fn the_builtin_roles_hold_what_their_descriptions_say() {
        assert_eq!(texts("owner"), ["*"]);
        let admin = texts("admin");
        assert_eq!(admin[..2], ["guildhall.organization:read", "guildhall.organization:update"]);
        assert_eq!(admin.len(), 2 + TYPES.len() - 1);
        assert!(admin[2..].iter().all(|pattern| pattern.ends_with(":*")));
        assert_eq!(
            texts("member"),
            ["guildhall.organization:read", "guildhall.member:read", "guildhall.role:read", "guildhall.group:read"]
        );
    }
}
