//! Who was verified, as a handler sees them.

use std::collections::BTreeMap;

use serde_json::Value;

/// Whose token it was.
#[derive(Debug, Clone, PartialEq)]
pub enum Caller {
    Member(Member),
    ServiceAccount(ServiceAccount),
}

/// A member of an organization, signed in there.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// `member_..`
    pub member_id: String,
    /// `session_..`
    pub session_id: String,
    /// `proj_..`
    pub project_id: String,
    /// `org_..`: the one that the token is good for.
    pub organization_id: String,
    pub organization_slug: String,
    /// The keys of the roles at the organization. What they allow is asked by `Check`.
    pub roles: Vec<String>,
    /// The permissions that the token was narrowed to. Empty: it was not, and `Check` says what is allowed.
    pub permissions: Vec<String>,
    /// How they signed in (RFC 8176): `pwd`, `otp`, `mfa`, ...
    pub amr: Vec<String>,
    pub acr: Option<String>,
    /// Who acts as this member, `member_..` or `sa_..`. None: they do so themselves.
    pub acting: Option<String>,
    /// What the project has its tokens say.
    pub custom_claims: BTreeMap<String, Value>,
    /// Seconds since 1970.
    pub expires_at: u64,
}

/// A program.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceAccount {
    /// `sa_..`
    pub service_account_id: String,
    pub api_key_id: String,
    pub project_id: String,
    /// None: the project's own, which is bound to no organization.
    pub organization_id: Option<String>,
    pub permissions: Vec<String>,
    /// Seconds since 1970.
    pub expires_at: u64,
}
