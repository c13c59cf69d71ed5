//! Identities: made before the member that needs them, in a write of their own under their pool. One without a member is harmless.

mod import;
mod outdated;
mod read;
mod update;

pub use import::{AT_ONCE, ImportError, import, pool_named};
pub use outdated::{end_outdated, end_outdated_sessions};
pub use read::{get, lookup, memberships, project_of};
pub use update::{UpdateError, end_sessions, update};

use access::Tenant;
use tenancy::{Change, IdentityId, NewEvent, Origin, StoreError, Write, event::now};

use super::Context;
use crate::{
    model::{EmailAddress, Identity, IdentityState, Name, PictureUri},
    store::identity,
};

/// The identity of an address; with `proven`, the address counts as verified from then on.
pub async fn find_or_create(
    context: &Context,
    pool: Tenant,
    origin: &Origin,
    address: &EmailAddress,
    display_name: &Name,
    proven: bool,
) -> Result<Identity, StoreError> {
    let mut read = context.database.read(pool).await?;
    let found = identity::by_address(read.connection(), pool, address).await?;
    read.finish();
    if let Some(found) = found.filter(|found| !proven || found.identity.email_verified) {
        return Ok(found.identity);
    }
    let mut tx = context.database.write(pool, origin, None).await?;
    // Behind the lock of the pool's head: whoever else was making it, or giving it another address, is done.
    if let Some(found) = identity::by_address(tx.connection(), pool, address).await? {
        return if proven { set_verified(tx, pool, found.identity).await } else { Ok(found.identity) };
    }
    let id = IdentityId::new();
    insert(tx, pool, id, address, display_name, proven).await
}

/// Makes the identity that has been given an id already. None where somebody else has the address; the one that is there where it is
/// made.
pub async fn create(
    context: &Context,
    pool: Tenant,
    origin: &Origin,
    id: IdentityId,
    address: &EmailAddress,
    display_name: &Name,
    proven: bool,
) -> Result<Option<Identity>, StoreError> {
    let mut tx = context.database.write(pool, origin, None).await?;
    match identity::by_address(tx.connection(), pool, address).await? {
        Some(found) => Ok((found.identity.identity_id == id).then_some(found.identity)),
        None => insert(tx, pool, id, address, display_name, proven).await.map(Some),
    }
}

async fn insert(
    mut tx: Write,
    pool: Tenant,
    id: IdentityId,
    address: &EmailAddress,
    display_name: &Name,
    proven: bool,
) -> Result<Identity, StoreError> {
    let now = now();
    let new = Identity {
        identity_id: id,
        pool: pool.key(),
        pool_is_project: matches!(pool, Tenant::Project(_)),
        email_address: address.clone(),
        email_verified: proven,
        retired_email_addresses: Vec::new(),
        display_name: display_name.clone(),
        picture_uri: PictureUri::default(),
        has_password: false,
        password_is_short: false,
        has_totp: false,
        sessions_from: None,
        state: IdentityState::Active,
        revision: tx.revision(),
        create_time: now,
        update_time: now,
    };
    if !identity::insert(tx.connection(), pool, &new, None).await? {
        return Err(StoreError::Corrupt("an identity that the pool's lock did not show"));
    }
    tx.append(NewEvent::new("identity.created", vec![new.identity_id.to_string()], &Change::created(new.clone())));
    tx.commit(new).await
}

/// Notes that a person has proven their address, if they had not yet. None where they have another one by now: of that they have proven
/// nothing.
pub async fn verify(
    context: &Context,
    pool: Tenant,
    origin: &Origin,
    identity: Identity,
    proven: bool,
) -> Result<Option<Identity>, StoreError> {
    if !proven || identity.email_verified {
        return Ok(Some(identity));
    }
    let mut tx = context.database.write(pool, origin, None).await?;
    let before = identity::get(tx.connection(), pool, identity.identity_id).await?;
    match before.filter(|before| before.email_address == identity.email_address) {
        Some(before) => set_verified(tx, pool, before).await.map(Some),
        None => Ok(None),
    }
}

/// Of an identity as it stands behind the lock of the pool's head.
async fn set_verified(mut tx: Write, pool: Tenant, before: Identity) -> Result<Identity, StoreError> {
    if before.email_verified {
        return Ok(before);
    }
    let after = Identity { email_verified: true, ..changed(&tx, &before) };
    identity::set_verified(tx.connection(), pool, &after).await?;
    append_update(&mut tx, before, after.clone());
    tx.commit(after).await
}

pub(in crate::ops) fn changed(tx: &Write, before: &Identity) -> Identity {
    Identity { revision: tx.revision(), update_time: now(), ..before.clone() }
}

pub(in crate::ops) fn append_update(tx: &mut Write, before: Identity, after: Identity) {
    let ids = vec![after.identity_id.to_string()];
    tx.append(NewEvent::new("identity.updated", ids, &Change::updated(before, after)));
}
