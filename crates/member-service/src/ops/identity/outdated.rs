//! Ending the sessions of somebody whose password is another now.
//!
//! The identity says from when on proofs count, in the write that changes the password; no session on an earlier one begins, is refreshed or
//! leads elsewhere. Then those that are there are ended, each organization's in a write of its own; a sweep does what a crash left
//! (see `background`).

use access::Granted;
use tenancy::{IdentityId, OrganizationScope, Origin, ProjectScope, StoreError};
use time::OffsetDateTime;

use crate::{
    model::EndReason,
    ops::{Context, append_session_end},
    store::{identity, session},
};

pub async fn end_outdated(
    context: &Context,
    granted: &Granted<ProjectScope>,
    id: IdentityId,
    before: OffsetDateTime,
) -> Result<(), StoreError> {
    let mut read = context.database.read(granted.scope).await?;
    let organizations =
        identity::organizations_with_sessions(read.connection(), granted.scope.project_id(), id).await?;
    read.finish();
    for organization in organizations {
        let scope = granted.in_organization(organization).scope;
        end_outdated_sessions(context, scope, &granted.origin(), id, before).await?;
    }
    Ok(())
}

/// The same in one organization.
pub async fn end_outdated_sessions(
    context: &Context,
    scope: OrganizationScope,
    origin: &Origin,
    id: IdentityId,
    before: OffsetDateTime,
) -> Result<(), StoreError> {
    let organization = scope.organization_id();
    let mut tx = context.database.write(scope, origin, None).await?;
    for session in identity::outdated_sessions(tx.connection(), organization, id, before).await? {
        if let Some(ended) = session::delete(tx.connection(), organization, session).await? {
            append_session_end(&mut tx, ended, EndReason::PasswordChanged);
        }
    }
    tx.commit(()).await
}
