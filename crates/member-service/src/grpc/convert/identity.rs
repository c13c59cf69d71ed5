//! Identities.

use api::member::v1::{self as proto, identity_pool::Pool};
use tenancy::{ProjectId, mask};

use super::timestamp;
use crate::model::{Identity, IdentityState};

pub fn identity(identity: &Identity) -> proto::Identity {
    let pool = if identity.pool_is_project {
        Pool::ProjectId(ProjectId::from_uuid(identity.pool.uuid()).to_string())
    } else {
        Pool::OrganizationId(identity.pool.to_string())
    };
    let state = match identity.state {
        IdentityState::Active => proto::IdentityState::Active,
        IdentityState::Suspended => proto::IdentityState::Suspended,
    };
    proto::Identity {
        identity_id: identity.identity_id.to_string(),
        pool: Some(proto::IdentityPool { pool: Some(pool) }),
        email_address: identity.email_address.as_str().to_owned(),
        email_verified: identity.email_verified,
        display_name: identity.display_name.as_str().to_owned(),
        has_password: identity.has_password,
        state: state.into(),
        create_time: Some(timestamp(identity.create_time)),
        update_time: Some(timestamp(identity.update_time)),
        etag: mask::etag(identity.revision),
        ..proto::Identity::default()
    }
}
