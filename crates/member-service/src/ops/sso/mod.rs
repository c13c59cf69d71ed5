//! Signing in at identity providers.
//!
//! A sign-in under way is a row with a secret name, its state, that goes to the provider with the browser and comes back. It is taken away by
//! whoever comes back with it, whatever they bring, and is worth nothing without the verifier of whoever began it: a stranger's state and
//! code, slipped into somebody's browser, sign nobody in.
//!
//! Who comes back is known by connection, issuer and subject (`ProviderAccount`). An organization's provider is believed by that
//! organization alone: what it vouches for is bound to the organization from here to the member session, and beyond
//! (`AuthMethod::is_of_one_organization`). It may stand for an address that is known already only if the organization has verified
//! the address's domain; otherwise whoever runs a provider for one tenant could become anybody in all.

mod complete;
mod end;
mod enter;
mod start;

pub use complete::{Back, complete};
pub use end::{end_some, note_end};
pub use enter::{join, person, remember, right};
pub use start::start;

use access::Tenant;
use tenancy::{Change, IdentityId, NewEvent, Origin, StoreError, event::now};

use super::{Context, entry::LookError};
use crate::{
    model::{AccountRefused, ProviderAccount, Vouching},
    remote::RemoteError,
    store::provider_account,
};

#[derive(Debug, thiserror::Error)]
pub enum SsoError {
    /// The state, the verifier or the code is not good, or whatever it was for is not active any more.
    #[error("the sign-in failed")]
    Failed,
    #[error(transparent)]
    Account(#[from] AccountRefused),
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<LookError> for SsoError {
    fn from(error: LookError) -> Self {
        match error {
            LookError::Remote(error) => Self::Remote(error),
            LookError::Store(error) => Self::Store(error),
        }
    }
}

/// Notes who an account is. Who it is already stays: the answer says.
async fn link(
    context: &Context,
    tenant: Tenant,
    origin: &Origin,
    vouching: &Vouching,
    identity: IdentityId,
) -> Result<IdentityId, StoreError> {
    let mut tx = context.database.write(tenant, origin, None).await?;
    // Behind the lock of the tenant's head: whoever else was linking it is done.
    if let Some(linked) = provider_account::find(tx.connection(), tenant, vouching).await? {
        return Ok(linked);
    }
    let account = ProviderAccount {
        connection_id: vouching.connection,
        tenant: tenant.key(),
        tenant_is_project: matches!(tenant, Tenant::Project(_)),
        issuer: vouching.issuer.clone(),
        subject: vouching.subject.clone(),
        identity_id: identity,
        create_time: now(),
    };
    provider_account::insert(tx.connection(), tenant.project_id(), &account).await?;
    let ids = vec![identity.to_string(), account.connection_id.to_string()];
    tx.append(NewEvent::new("provider_account.created", ids, &Change::created(account)));
    tx.commit(identity).await
}
