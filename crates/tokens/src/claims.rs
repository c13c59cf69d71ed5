//! What our tokens say. Access tokens follow RFC 9068 (`typ` `at+jwt`); workload tokens have a type of their own, so that neither can
//! stand in for the other.

use serde::{Deserialize, Serialize};

pub const ACCESS_TYPE: &str = "at+jwt";
pub const WORKLOAD_TYPE: &str = "wl+jwt";

/// The claims of an access token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaims {
    pub iss: String,
    /// A member's id, a service account's id, or `operator`.
    pub sub: String,
    pub aud: String,
    pub exp: u64,
    pub iat: u64,
    pub nbf: u64,
    pub jti: String,
    /// The service account that asked for the token, or `guildhall` for a person's sign-in.
    pub client_id: String,
    /// The session of a member; the API key that a service account came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// Absent for the operator alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org_slug: Option<String>,
    /// The keys of the member's roles in the organization when the token was minted. For display: rights are decided by `Check`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// How the person signed in (RFC 8176): `pwd`, `otp`, ...
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// The organization's revision that `roles` were read at, or `permissions` if that is lower: what is taken from them later is taken
    /// at a higher one, and outdates the token.
    #[serde(default)]
    pub epoch: i64,
    /// The project's revision that `permissions` were read at. Absent: 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub project_epoch: i64,
    /// Who acts, where a member is impersonated (RFC 8693, section 4.1): `sub` is then whom they act as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<ActClaims>,
    /// Permissions that were asked for, each held when the token was minted. Where there are any, the token is good for these alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,
}

impl AccessClaims {
    /// The project's revision that the token's permissions in an organization were read at. None: it lists none.
    pub fn permissions_read_at(&self) -> Option<i64> {
        (self.org_id.is_some() && !self.permissions.is_empty()).then_some(self.project_epoch)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// Who acts as somebody else. Whoever acts so acts for nobody else again: there is no `act` in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActClaims {
    /// A member's id or a service account's.
    pub sub: String,
    /// Their own session or API key: when it ends, so does their acting.
    pub sid: String,
    /// Of a service account, the organization that it is of: it acts for as long as a role there permits it. None: a member, or the project's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org_id: Option<String>,
}

/// The claims of a token with which one service calls another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadClaims {
    /// The calling service.
    pub iss: String,
    pub sub: String,
    /// The called service, and no other.
    pub aud: String,
    pub exp: u64,
    pub iat: u64,
    pub nbf: u64,
    /// Whose call is being served: an actor's text form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obo: Option<String>,
    /// Who acts as the one whose call it is, if that is an impersonated member: an actor's text form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<String>,
}
