//! What org-service tells of organizations.

use access::{Granted, Tenant};
use tenancy::{ClusterScope, Head, OrganizationId, OrganizationScope, OrganizationState, Origin, StoreError};

use super::Context;
use crate::{
    model::Usage,
    store::{domain_review, session, usage},
};

/// What of the organization's limits is in use. One that this service has not heard of uses nothing.
pub async fn usage(
    context: &Context,
    granted: &Granted<ClusterScope>,
    organization: OrganizationId,
) -> Result<Usage, StoreError> {
    let Some(head) = context.database.head(organization).await? else { return Ok(Usage::default()) };
    let scope = granted.in_organization(head.project_id, organization).scope;
    let mut read = context.database.read(scope).await?;
    let usage = usage::of(read.connection(), organization).await?;
    read.finish();
    Ok(usage)
}

/// Takes note of a state as of a revision of org-service, and says which state is in force. Older news change nothing.
///
/// Whatever shuts an organization ends its sessions, so that none comes back when it is opened again. org-service's own event is the
/// record of both. A project itself is SUSPENDED when it is archived: its organizations' sessions open nothing from then on, and a
/// sweep takes them away, for they may be many.
pub async fn set_state(
    context: &Context,
    tenant: Tenant,
    origin: &Origin,
    state: OrganizationState,
    revision: i64,
) -> Result<(OrganizationState, i64), StoreError> {
    let organization = tenant.key();
    // Whoever asks org-service at this moment may take up the state from before: it must find a newer one here.
    context.database.admit(tenant.project_id(), organization, state, revision).await?;
    let mut tx = context.database.write(tenant, origin, None).await?;
    tx.set_state(state, revision).await?;
    let head = Head::find(tx.connection(), organization).await?.ok_or(StoreError::TenantUnknown)?;
    if head.state != OrganizationState::Active {
        session::delete_all(tx.connection(), organization).await?;
    }
    let in_force = tx.commit((head.state, head.state_revision)).await?;
    runtime::kill_point("note-state/committed");
    Ok(in_force)
}

/// Has the roles of members under an email domain looked at anew, in the background.
pub async fn review_domain(context: &Context, scope: OrganizationScope, domain: &str) -> Result<(), StoreError> {
    let mut tx = context.database.upkeep(scope).await?;
    domain_review::begin(tx.connection(), scope, domain).await?;
    tx.commit().await
}

/// Erases every trace of an organization that org-service has purged: its people, what they signed in with, what waits to be sent. Its
/// head stays DELETED, and its events without their payloads. An identity of a shared pool is the project's, and stays.
pub async fn purge(
    context: &Context,
    scope: OrganizationScope,
    origin: &Origin,
    org_revision: i64,
) -> Result<(), StoreError> {
    let mut tx = context.database.write(scope, origin, None).await?;
    tx.set_state(OrganizationState::Deleted, org_revision).await?;
    tx.purge().await?;
    runtime::kill_point("purge-members/erased");
    tx.commit(()).await?;
    runtime::kill_point("purge-members/committed");
    Ok(())
}
