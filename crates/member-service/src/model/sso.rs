//! Signing in at identity providers.

use tenancy::{ConnectionId, IdentityId, OrganizationId, SsoSignInId};
use time::OffsetDateTime;

use super::{EmailAddress, ExternalId, Name, words};

words! {
    /// Why a provider may not sign somebody in, or not yet.
    AccountRefused {
        EmailMissing = "EMAIL_MISSING",
        EmailNotVerified = "EMAIL_NOT_VERIFIED",
        /// The organization has not proven that the address's domain is its own.
        DomainNotVerified = "DOMAIN_NOT_VERIFIED",
        DomainNotAllowed = "DOMAIN_NOT_ALLOWED",
        ProvisioningNotAllowed = "PROVISIONING_NOT_ALLOWED",
        /// By somebody whom the provider may not stand for.
        AddressInUse = "ADDRESS_IN_USE",
    }
}

impl std::fmt::Display for AccountRefused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::EmailMissing => "the provider names no email address",
            Self::EmailNotVerified => "the provider has not verified the email address",
            Self::DomainNotVerified => "the organization has not verified the domain of the email address",
            Self::DomainNotAllowed => "the organization does not let in addresses of this domain",
            Self::ProvisioningNotAllowed => "the organization does not let in new people by its provider",
            Self::AddressInUse => "the email address is somebody's whom the provider may not stand for",
        })
    }
}

impl std::error::Error for AccountRefused {}

/// A sign-in under way.
#[derive(Debug, Clone)]
pub struct SsoSignIn {
    pub id: SsoSignInId,
    /// The caller's own PKCE challenge (S256).
    pub code_challenge: String,
    /// Whose connection it is. None: the project's.
    pub organization: Option<OrganizationId>,
    pub connection: ConnectionId,
    pub issuer: String,
    pub redirect_uri: String,
    pub expire_time: OffsetDateTime,
}

/// Somebody at a provider, and who they are here.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ProviderAccount {
    pub connection_id: ConnectionId,
    /// Whose connection it is: the project's own key where it is the project's.
    pub tenant: OrganizationId,
    pub tenant_is_project: bool,
    pub issuer: String,
    pub subject: String,
    pub identity_id: IdentityId,
    #[serde(with = "time::serde::rfc3339")]
    pub create_time: OffsetDateTime,
}

/// What a provider says of somebody.
#[derive(Debug, Clone)]
pub struct Vouching {
    pub connection: ConnectionId,
    pub issuer: String,
    pub subject: String,
    /// None: none, or none that is an address.
    pub email_address: Option<EmailAddress>,
    pub email_verified: bool,
    pub display_name: Name,
    pub external_id: Option<ExternalId>,
    /// That their groups give.
    pub role_ids: Vec<String>,
}
