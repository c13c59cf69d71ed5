//! A person's sign-in inside a user pool.

use tenancy::{IdentityId, OrganizationId};
use time::OffsetDateTime;

use super::{EmailAddress, Name, words};

words! {
    IdentityState { Active = "ACTIVE", Suspended = "SUSPENDED" }
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    pub identity_id: IdentityId,
    /// The key that its rows stand under: the project's own where the project shares one pool.
    pub pool: OrganizationId,
    pub pool_is_project: bool,
    pub email_address: EmailAddress,
    pub email_verified: bool,
    pub display_name: Name,
    pub has_password: bool,
    pub state: IdentityState,
    pub revision: i64,
    #[serde(with = "time::serde::rfc3339")]
    pub create_time: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub update_time: OffsetDateTime,
}

/// Of an identity what a membership of it needs.
#[derive(Debug, Clone)]
pub struct Person {
    pub identity_id: IdentityId,
    pub email_address: EmailAddress,
    pub email_verified: bool,
}

impl From<&Identity> for Person {
    fn from(identity: &Identity) -> Self {
        let Identity { identity_id, email_address, email_verified, .. } = identity;
        Self { identity_id: *identity_id, email_address: email_address.clone(), email_verified: *email_verified }
    }
}

/// Stands for an address of a pool where tries are counted, without being one.
#[derive(Debug, Clone, Copy)]
pub struct AddressTag(pub [u8; 32]);
