//! What the other services must know of projects and organizations before they let anybody in.

use std::collections::HashMap;

use tenancy::{ClusterScope, Database, OrganizationId, OrganizationScope, ProjectScope, StoreError};

use crate::store::directory::{self, Entry};

pub async fn organization(
    database: &Database,
    scope: ClusterScope,
    organization: OrganizationId,
) -> Result<Option<Entry>, StoreError> {
    let mut read = database.read(scope).await?;
    let entry = directory::organization(read.connection(), organization).await?;
    read.finish();
    Ok(entry)
}

/// For the organization's own readers.
pub async fn in_force(database: &Database, scope: OrganizationScope) -> Result<Option<Entry>, StoreError> {
    let mut read = database.read(scope).await?;
    let entry = directory::organization(read.connection(), scope.organization_id()).await?;
    read.finish();
    Ok(entry)
}

/// Those of the scope's project, in the order that they are named in.
pub async fn organizations(
    database: &Database,
    scope: ProjectScope,
    ids: &[OrganizationId],
) -> Result<Vec<Entry>, StoreError> {
    let mut read = database.read(scope).await?;
    let found = directory::organizations(read.connection(), scope.project_id(), ids).await?;
    read.finish();
    let mut found: HashMap<OrganizationId, Entry> = found.into_iter().map(|e| (e.organization_id, e)).collect();
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}

pub async fn organization_by_slug(
    database: &Database,
    scope: ProjectScope,
    slug: &str,
) -> Result<Option<Entry>, StoreError> {
    let mut read = database.read(scope).await?;
    let entry = directory::organization_by_slug(read.connection(), scope.project_id(), slug).await?;
    read.finish();
    Ok(entry)
}
