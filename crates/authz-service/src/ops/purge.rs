//! An organization that org-service has purged leaves nothing here but its head and the chain of its events, without payloads.

use access::Tenant;
use tenancy::{OrganizationScope, OrganizationState, StoreError};

use super::{
    Call, Refused,
    change::{Change, Opened},
    subject::{OrganizationNews, set_organization_state},
};
use crate::snapshots::Snapshots;

/// Erases the organization, for good, in one transaction: see `tenancy::Write::purge`. Repeating it changes nothing.
pub async fn purge(
    snapshots: &Snapshots,
    scope: OrganizationScope,
    call: &Call,
    org_revision: i64,
) -> Result<(), Refused> {
    let outcome = erase(snapshots, scope, call, org_revision).await;
    snapshots.forget(scope.organization_id()).await;
    match outcome {
        // It was purged before.
        Err(Refused::Store(StoreError::TenantUnknown)) => Ok(()),
        outcome => outcome,
    }
}

async fn erase(snapshots: &Snapshots, scope: OrganizationScope, call: &Call, org_revision: i64) -> Result<(), Refused> {
    let database = snapshots.database();
    let organization = scope.organization_id();
    if database.head(organization).await?.is_none() {
        return Ok(());
    }
    let news = OrganizationNews { state: OrganizationState::Deleted, org_revision };
    let (state, _) = set_organization_state(database, Tenant::Organization(scope), call, news).await?.value;
    if state != OrganizationState::Deleted {
        tracing::error!(%organization, org_revision, "an organization of which there is newer word is not purged");
        return Ok(());
    }
    runtime::kill_point("purge-rights/noted");
    let mut change = match Change::open_in_any_state::<()>(database, scope, call).await? {
        Opened::Change(change) => change,
        Opened::Answered(_) => return Ok(()),
    };
    change.write().purge().await?;
    runtime::kill_point("purge-rights/erased");
    change.commit(()).await?;
    runtime::kill_point("purge-rights/committed");
    Ok(())
}
