//! Callers that are no persons, and their keys.

use tenancy::{ApiKeyId, OrganizationId, ServiceAccountId};
use time::OffsetDateTime;

use super::{Name, PublicKey, words};

words! {
    AccountState { Active = "ACTIVE", Suspended = "SUSPENDED" }
}

/// Enough to change a key without a gap, too few to lose count of.
pub const MAX_LIVE_KEYS: i64 = 20;

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ServiceAccount {
    pub service_account_id: ServiceAccountId,
    /// None: the project itself.
    pub organization_id: Option<OrganizationId>,
    pub display_name: Name,
    pub state: AccountState,
    /// The revision that last changed the state.
    #[serde(default)]
    pub state_revision: i64,
    pub revision: i64,
    #[serde(with = "time::serde::rfc3339")]
    pub create_time: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub update_time: OffsetDateTime,
}

/// What an update sets; None leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct AccountChanges {
    pub display_name: Option<Name>,
    pub state: Option<AccountState>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ApiKey {
    pub api_key_id: ApiKeyId,
    pub service_account_id: ServiceAccountId,
    /// None: the project itself.
    pub organization_id: Option<OrganizationId>,
    pub display_name: Name,
    pub prefix: String,
    /// Of a key that is no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_jwk: Option<String>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub expire_time: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_used_time: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub revoke_time: Option<OffsetDateTime>,
    pub revision: i64,
    #[serde(with = "time::serde::rfc3339")]
    pub create_time: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub update_time: OffsetDateTime,
}

/// What a caller says of a new key.
#[derive(Debug, Clone, Default)]
pub struct ApiKeyDraft {
    pub display_name: Name,
    pub expire_time: Option<OffsetDateTime>,
    /// None: a secret is to be made.
    pub public_key: Option<PublicKey>,
}

/// A key in the answer of the call that made it.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct IssuedApiKey {
    pub api_key: ApiKey,
    pub secret: String,
}

/// A project's service account with its first key.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct NewProjectAccount {
    pub account: ServiceAccount,
    pub issued: IssuedApiKey,
}

/// The payload of the event of an access token that was revoked.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TokenRevocation {
    pub token_id: uuid::Uuid,
    pub service_account_id: ServiceAccountId,
    #[serde(with = "time::serde::rfc3339")]
    pub expire_time: OffsetDateTime,
}
