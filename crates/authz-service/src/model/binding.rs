use serde::{Deserialize, Serialize};
use tenancy::{BindingId, OrganizationId, RoleId};
use time::OffsetDateTime;

use super::{Resource, Subject};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Effect {
    Allow,
    Deny,
}

impl Effect {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "ALLOW",
            Self::Deny => "DENY",
        }
    }

    /// Whatever is not an allow denies: a value that cannot be read never widens access.
    pub fn read(text: &str) -> Self {
        if text == "ALLOW" { Self::Allow } else { Self::Deny }
    }
}

impl From<Effect> for engine::Effect {
    fn from(effect: Effect) -> Self {
        match effect {
            Effect::Allow => Self::Allow,
            Effect::Deny => Self::Deny,
        }
    }
}

/// Why a binding exists. What a group gives is no source of its own here: it is read off the groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RoleSource {
    Direct,
    Invitation,
    Jit,
    EmailDomain,
    ConnectionGroup,
    ScimGroup,
}

impl RoleSource {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "DIRECT",
            Self::Invitation => "INVITATION",
            Self::Jit => "JIT",
            Self::EmailDomain => "EMAIL_DOMAIN",
            Self::ConnectionGroup => "CONNECTION_GROUP",
            Self::ScimGroup => "SCIM_GROUP",
        }
    }

    /// What cannot be read counts as granted by hand: nothing but a hand takes it away.
    pub fn read(text: &str) -> Self {
        match text {
            "INVITATION" => Self::Invitation,
            "JIT" => Self::Jit,
            "EMAIL_DOMAIN" => Self::EmailDomain,
            "CONNECTION_GROUP" => Self::ConnectionGroup,
            "SCIM_GROUP" => Self::ScimGroup,
            _ => Self::Direct,
        }
    }
}

/// When a binding applies: `not_before <= now < expire_time`, each end absent for unbounded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub not_before: Option<OffsetDateTime>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub expire_time: Option<OffsetDateTime>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    pub binding_id: BindingId,
    pub organization_id: OrganizationId,
    pub subject: Subject,
    pub role_id: RoleId,
    /// None: the organization.
    pub resource: Option<Resource>,
    pub effect: Effect,
    /// The text of an expression. None: it applies whatever is known.
    #[serde(default)]
    pub condition: Option<String>,
    pub window: Window,
    pub source: RoleSource,
    #[serde(with = "time::serde::rfc3339")]
    pub create_time: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub update_time: OffsetDateTime,
    pub revision: i64,
}

impl Binding {
    /// It applies always and whatever is known.
    pub fn is_unlimited(&self) -> bool {
        self.condition.is_none() && self.window == Window::default()
    }

    /// Whether it applies whenever the other does, as far as that can be told: it has no condition or the same one, and its window
    /// holds the other's.
    pub fn takes_in(&self, other: &Self) -> bool {
        let begins =
            self.window.not_before.is_none_or(|from| other.window.not_before.is_some_and(|other| from <= other));
        let ends = self.window.expire_time.is_none_or(|end| other.window.expire_time.is_some_and(|other| other <= end));
        (self.condition.is_none() || self.condition == other.condition) && begins && ends
    }

    /// The ids that an event about it is found by.
    pub fn subject_ids(&self) -> Vec<String> {
        vec![self.binding_id.to_string(), self.subject.to_string(), self.role_id.to_string()]
    }
}
