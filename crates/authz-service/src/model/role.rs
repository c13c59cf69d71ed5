use std::{fmt, str::FromStr};

use engine::{BUILTIN_ROLES, BuiltinRole, PermissionPattern};
use serde::{Deserialize, Serialize};
use tenancy::{OrganizationId, RoleId};
use time::OffsetDateTime;

/// The most roles that one organization, or one project, may have of its own.
pub const MAX_ROLES: i64 = 1_000;

/// The name of a role that programs use: 1 to 64 of `[a-z0-9_-]`, starting with a letter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RoleKey(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 64 of a-z, 0-9, _ and -, starting with a letter, and not look like a role's id")]
pub struct KeyError;

impl RoleKey {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RoleKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        let starts = text.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
        // Wherever a role is named, its id or its key may stand: no text may be both.
        let is_id = text.parse::<RoleId>().is_ok();
        if starts && text.len() <= 64 && text.bytes().all(plain) && !is_id {
            Ok(Self(text.to_owned()))
        } else {
            Err(KeyError)
        }
    }
}

impl fmt::Display for RoleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a request names a role: by its id, or by its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleName {
    Id(RoleId),
    Key(RoleKey),
}

impl RoleName {
    pub fn is_of(&self, role: &Role) -> bool {
        match self {
            Self::Id(id) => role.role_id == *id,
            Self::Key(key) => role.key == key.as_str(),
        }
    }
}

impl FromStr for RoleName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        text.parse().map(Self::Key).map_err(|_| "must be a role's id (role_..) or its key")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    pub role_id: RoleId,
    /// None: the project's.
    pub organization_id: Option<OrganizationId>,
    pub key: String,
    pub display_name: String,
    pub description: String,
    /// As text: a stored pattern that cannot be read any more must not hide the role.
    pub permissions: Vec<String>,
    pub included_role_ids: Vec<RoleId>,
    pub builtin: bool,
    /// None: the role came with the project.
    #[serde(with = "time::serde::rfc3339::option")]
    pub create_time: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub update_time: Option<OffsetDateTime>,
    pub revision: i64,
}

impl Role {
    /// The roles that every project has, in the order of their ids.
    pub fn builtins() -> impl Iterator<Item = Self> {
        BUILTIN_ROLES.iter().map(Self::from)
    }

    pub fn builtin(id: RoleId) -> Option<Self> {
        BuiltinRole::by_id(id.uuid().into()).map(Self::from)
    }

    /// What it lists, without what cannot be read any more.
    pub fn patterns(&self) -> Vec<PermissionPattern> {
        self.permissions.iter().filter_map(|text| text.parse().ok()).collect()
    }

    pub fn for_engine(&self) -> engine::Role {
        engine::Role {
            id: self.role_id.uuid().into(),
            permissions: self.patterns(),
            included_role_ids: self.included(),
        }
    }

    pub fn included(&self) -> Vec<engine::RoleId> {
        self.included_role_ids.iter().map(|id| engine::RoleId(id.uuid())).collect()
    }
}

impl From<&BuiltinRole> for Role {
    fn from(role: &BuiltinRole) -> Self {
        Self {
            role_id: RoleId::from_uuid(role.id.0),
            organization_id: None,
            key: role.key.to_owned(),
            display_name: role.display_name.to_owned(),
            description: role.description.to_owned(),
            permissions: role.permissions().iter().map(ToString::to_string).collect(),
            included_role_ids: Vec::new(),
            builtin: true,
            create_time: None,
            update_time: None,
            revision: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_key_is_one_plain_word() {
        for good in ["a", "owner", "read-only_2", &"x".repeat(64)] {
            assert_eq!(good.parse::<RoleKey>().map(|key| key.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "1a", "-a", "_a", "Owner", "ä", "a b", "a/b", "a\0", &"x".repeat(65)] {
            assert_eq!(bad.parse::<RoleKey>(), Err(KeyError), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn an_id_is_read_as_an_id(bits: u128) {
            let id = RoleId::from_uuid(Uuid::from_u128(bits));
            prop_assert_eq!(id.to_string().parse::<RoleName>(), Ok(RoleName::Id(id)));
        }
    }
}
