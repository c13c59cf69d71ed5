//! Changing what may be written of an identity.
//!
//! One write under the identity's pool changes it, with the address that its members show. A suspension then ends the person's sessions,
//! each organization's in a write of its own. What a crash leaves of them, and a session that began at the same moment, is ended by a
//! sweep (see `background`).

use access::{Granted, Tenant};
use tenancy::{IdentityId, OrganizationScope, Origin, ProjectScope, StoreError, mask::etag_matches};

use super::{append_update, changed};
use crate::{
    model::{EndReason, Identity, IdentityChanges, IdentityState},
    ops::{Context, NotActive, active, append_session_end, credential},
    store::{attempt, challenge, identity, intermediate, second_factor, session},
};

#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    #[error("no such identity")]
    Unknown,
    #[error("the identity changed since the etag was read")]
    EtagMismatch,
    #[error("an identity of the user pool has this email address")]
    EmailTaken,
    #[error(transparent)]
    NotActive(#[from] NotActive),
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub async fn update(
    context: &Context,
    granted: &Granted<ProjectScope>,
    id: IdentityId,
    etag: &str,
    changes: IdentityChanges,
) -> Result<Identity, UpdateError> {
    let project = granted.scope.project_id();
    let found = super::get(context, granted, id).await?.ok_or(UpdateError::Unknown)?;
    let pool = if found.pool_is_project {
        Tenant::Project(granted.scope)
    } else {
        Tenant::Organization(granted.in_organization(found.pool).scope)
    };
    let mut tx = context.database.write(pool, &granted.origin(), None).await?;
    active(tx.head().state)?;
    let before = identity::get(tx.connection(), pool, id).await?.ok_or(UpdateError::Unknown)?;
    if !etag_matches(etag, before.revision) {
        return Err(UpdateError::EtagMismatch);
    }
    if changes.state == Some(IdentityState::Active) {
        let address = credential::tag(context, pool, &before.email_address);
        attempt::forgive_all(tx.connection(), pool, address).await?;
    }
    let forgets = changes.forget_second_factors;
    let mut after = before.clone();
    changes.apply(&mut after);
    if after == before {
        return Ok(tx.commit(before).await?);
    }
    let after = changed(&tx, &after);
    if !identity::update(tx.connection(), pool, &after).await? {
        return Err(UpdateError::EmailTaken);
    }
    if forgets {
        second_factor::forget(tx.connection(), pool, id).await?;
    }
    let suspended = after.state == IdentityState::Suspended;
    if suspended || after.email_address != before.email_address {
        // A code that is on its way to the address before, and what came of one.
        challenge::end_everywhere(tx.connection(), project, id).await?;
        intermediate::end_everywhere(tx.connection(), project, id).await?;
    }
    append_update(&mut tx, before, after.clone());
    let after = tx.commit(after).await?;
    runtime::kill_point("suspend-identity/committed");
    if suspended && let Err(error) = end_all_sessions(context, granted, id).await {
        tracing::warn!(error = %runtime::Chain(&error), identity = %id, "sessions of a suspended person are left to the sweep");
    }
    Ok(after)
}

async fn end_all_sessions(
    context: &Context,
    granted: &Granted<ProjectScope>,
    id: IdentityId,
) -> Result<(), StoreError> {
    let mut read = context.database.read(granted.scope).await?;
    let organizations =
        identity::organizations_with_sessions(read.connection(), granted.scope.project_id(), id).await?;
    read.finish();
    for organization in organizations {
        let scope = granted.in_organization(organization).scope;
        end_sessions(context, scope, &granted.origin(), id).await?;
    }
    Ok(())
}

/// Ends the sessions of a suspended person in one organization.
pub async fn end_sessions(
    context: &Context,
    scope: OrganizationScope,
    origin: &Origin,
    id: IdentityId,
) -> Result<(), StoreError> {
    let mut tx = context.database.write(scope, origin, None).await?;
    for ended in session::delete_of_identity(tx.connection(), scope.organization_id(), id).await? {
        append_session_end(&mut tx, ended, EndReason::IdentitySuspended);
    }
    tx.commit(()).await
}
