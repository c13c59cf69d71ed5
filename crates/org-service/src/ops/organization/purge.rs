//! Erasing a deleted organization when its grace is over.

use tenancy::{
    ClusterScope, Database, OrganizationId, OrganizationScope, OrganizationState, Origin, ProjectId, StoreError,
};

use crate::store::organization;

/// The organizations to purge, up to `limit`, those longest overdue first.
pub async fn due(
    database: &Database,
    scope: ClusterScope,
    limit: i64,
) -> Result<Vec<(ProjectId, OrganizationId)>, StoreError> {
    let mut read = database.read(scope).await?;
    let due = organization::due_for_purge(read.connection(), limit).await?;
    read.finish();
    Ok(due)
}

/// Erases an organization, unless it was brought back or another process was faster: that is looked at again behind the lock on its
/// head. What remains are its head, its events without payload, and the slugs that it used; the last event tells the other services.
pub async fn purge(database: &Database, scope: OrganizationScope, origin: &Origin) -> Result<bool, StoreError> {
    let mut tx = database.write(scope, origin, None).await?;
    let Some(found) = organization::find(tx.connection(), scope.organization_id()).await? else { return Ok(false) };
    let organization = found.view.organization;
    let over = organization.purge_time.is_some_and(|time| time <= tenancy::event::now());
    if organization.state != OrganizationState::Deleted || !over {
        return Ok(false);
    }
    let purged = tx.purge().await?;
    runtime::kill_point("purge-organization/erased");
    let purged = tx.commit(purged).await?;
    runtime::kill_point("purge-organization/committed");
    Ok(purged)
}
