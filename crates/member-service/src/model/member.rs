//! An identity inside one organization.

use tenancy::{IdentityId, MemberId, OrganizationId};
use time::OffsetDateTime;

use super::{EmailAddress, ExternalId, Metadata, Name, words};

words! {
    MemberState { Active = "ACTIVE", Suspended = "SUSPENDED" }

    /// Where a role comes from.
    RoleSource {
        Direct = "DIRECT",
        Invitation = "INVITATION",
        Jit = "JIT",
        EmailDomain = "EMAIL_DOMAIN",
        ConnectionGroup = "CONNECTION_GROUP",
        ScimGroup = "SCIM_GROUP",
        Group = "GROUP",
    }
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Member {
    pub member_id: MemberId,
    pub organization_id: OrganizationId,
    pub identity_id: IdentityId,
    pub email_address: EmailAddress,
    pub display_name: Name,
    pub external_id: Option<ExternalId>,
    pub state: MemberState,
    /// The revision that last changed `state`; 0 while it is as it was made.
    pub state_revision: i64,
    pub is_breakglass: bool,
    pub trusted_metadata: Metadata,
    pub untrusted_metadata: Metadata,
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_sign_in_time: Option<OffsetDateTime>,
    pub revision: i64,
    #[serde(with = "time::serde::rfc3339")]
    pub create_time: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub update_time: OffsetDateTime,
}

/// A role held at the organization, as authz-service says.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RoleHeld {
    pub role_id: String,
    pub key: String,
    pub sources: Vec<RoleSource>,
}

/// The roles that somebody holds, and the organization's revision in authz-service that they were read at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RolesRead {
    pub roles: Vec<RoleHeld>,
    pub epoch: i64,
}

/// A member as callers see them.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct MemberWithRoles {
    pub member: Member,
    /// Of the identity: see [`Member::identity_id`].
    pub email_verified: bool,
    pub roles: Vec<RoleHeld>,
}

impl MemberWithRoles {
    /// The keys of the roles, sorted, each once.
    pub fn role_keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.roles.iter().map(|role| role.key.clone()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

/// What a caller says of a new member.
#[derive(Debug, Clone)]
pub struct MemberDraft {
    pub email_address: EmailAddress,
    pub display_name: Name,
    pub external_id: Option<ExternalId>,
    pub is_breakglass: bool,
    pub trusted_metadata: Metadata,
    pub untrusted_metadata: Metadata,
}

/// What an update sets: None leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    pub display_name: Option<Name>,
    pub external_id: Option<Option<ExternalId>>,
    pub is_breakglass: Option<bool>,
    pub trusted_metadata: Option<Metadata>,
    pub untrusted_metadata: Option<Metadata>,
}

impl Changes {
    pub fn apply(self, member: &mut Member) {
        let Self { display_name, external_id, is_breakglass, trusted_metadata, untrusted_metadata } = self;
        member.display_name = display_name.unwrap_or_else(|| member.display_name.clone());
        member.external_id = external_id.unwrap_or_else(|| member.external_id.clone());
        member.is_breakglass = is_breakglass.unwrap_or(member.is_breakglass);
        member.trusted_metadata = trusted_metadata.unwrap_or_else(|| member.trusted_metadata.clone());
        member.untrusted_metadata = untrusted_metadata.unwrap_or_else(|| member.untrusted_metadata.clone());
    }
}
