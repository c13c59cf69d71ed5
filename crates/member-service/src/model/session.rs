//! One member signed in at one organization from one device.

use tenancy::{ConnectionId, IdentityId, MemberId, OrganizationId, ProjectId, SessionId, SsoSignInId};
use time::{Duration, OffsetDateTime};

use super::{MemberWithRoles, SecondFactorRequired, words};

/// How long a session lasts, as its organization says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    /// However busy it is.
    pub lifetime: Duration,
    /// Without being refreshed.
    pub idle_timeout: Duration,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self { lifetime: Duration::days(30), idle_timeout: Duration::days(7) }
    }
}

impl SessionLimits {
    /// Whether a session that began and was active then is over.
    pub fn end(&self, session: &Session, now: OffsetDateTime) -> bool {
        session.create_time + self.lifetime <= now || session.last_active_time + self.idle_timeout <= now
    }
}

words! {
    AuthMethod {
        Password = "PASSWORD",
        EmailCode = "EMAIL_CODE",
        EmailLink = "EMAIL_LINK",
        Totp = "TOTP",
        RecoveryCode = "RECOVERY_CODE",
        Oidc = "OIDC",
        Saml = "SAML",
        Passkey = "PASSKEY",
        Social = "SOCIAL",
    }

    /// Why a session ended before its time.
    EndReason {
        SignedOut = "SIGNED_OUT",
        Revoked = "REVOKED",
        /// A refresh token was used twice: somebody else holds it too.
        TokenReused = "REFRESH_TOKEN_REUSED",
        MemberSuspended = "MEMBER_SUSPENDED",
        MemberRemoved = "MEMBER_REMOVED",
        IdentitySuspended = "IDENTITY_SUSPENDED",
        PasswordChanged = "PASSWORD_CHANGED",
        ConnectionEnded = "CONNECTION_ENDED",
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AuthFactor {
    pub method: AuthMethod,
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
    /// By which a provider vouched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<ConnectionId>,
    /// What the provider said, while it is remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sso_sign_in_id: Option<SsoSignInId>,
    /// The session at another organization from which it was taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
}

impl AuthFactor {
    /// One that the person gave here, and no provider.
    pub fn given(method: AuthMethod, time: OffsetDateTime) -> Self {
        Self { method, time, connection_id: None, sso_sign_in_id: None, session_id: None }
    }
}

/// Whether all that was proven is what one organization's own provider said. What such a proof changes of a person whom other
/// organizations know too would be changed for these by one whom they need not believe.
pub fn are_of_one_organization(factors: &[AuthFactor]) -> bool {
    !factors.iter().any(|factor| factor.method.sign_in_method().is_some() && !factor.method.is_of_one_organization())
}

impl AuthMethod {
    /// Whether it proves something to one organization only: its own provider said so, whom no other need believe.
    pub fn is_of_one_organization(self) -> bool {
        matches!(self, Self::Oidc | Self::Saml)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Session {
    pub session_id: SessionId,
    pub identity_id: IdentityId,
    pub member_id: MemberId,
    pub organization_id: OrganizationId,
    /// The slug when the session began.
    pub organization_slug: String,
    pub auth_factors: Vec<AuthFactor>,
    pub user_agent: String,
    pub ip_address: String,
    #[serde(with = "time::serde::rfc3339")]
    pub last_active_time: OffsetDateTime,
    /// When it ends if it is not refreshed again.
    #[serde(with = "time::serde::rfc3339")]
    pub expire_time: OffsetDateTime,
    /// Who acts as the member, as an actor's text. None: the member themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impersonator: Option<String>,
    pub revision: i64,
    #[serde(with = "time::serde::rfc3339")]
    pub create_time: OffsetDateTime,
}

/// The payload of a session's event.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SessionChange {
    pub before: Option<Session>,
    pub after: Option<Session>,
    pub end_reason: Option<EndReason>,
}

/// What comes of entering an organization.
#[derive(Debug)]
pub enum Entered {
    Session(Box<SessionGrant>),
    /// Nothing yet: the second factor is missing.
    Halfway(Box<SecondFactorRequired>),
}

/// What a token is minted from.
#[derive(Debug, Clone)]
pub struct SessionGrant {
    pub project_id: ProjectId,
    pub session: Session,
    pub member: MemberWithRoles,
    /// Of the roles: see [`super::RolesRead`].
    pub epoch: i64,
    pub refresh_token: secrecy::SecretString,
}
