//! An organization that org-service has purged leaves nothing here but its head and the chain of its events, without payloads.

use tenancy::{Change as Changed, NewEvent, OrganizationScope, OrganizationState, PURGED, StoreError};

use super::{
    Call, Refused,
    change::{Change, Opened},
    subject::{OrganizationNews, set_organization_state},
};
use crate::{snapshots::Snapshots, store};

/// Erases the organization, for good. Repeating it changes nothing, and where it was cut short it goes on: rows go in batches, each
/// its own transaction, which nobody sees, for the organization is deleted; the last transaction erases what is left and the
/// history, and closes the chain.
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
    let (state, _) = set_organization_state(database, scope, call, news).await?.value;
    if state != OrganizationState::Deleted {
        tracing::error!(%organization, org_revision, "an organization of which there is newer word is not purged");
        return Ok(());
    }
    runtime::kill_point("purge/noted");
    loop {
        let mut tx = database.upkeep(scope).await?;
        let gone = store::purge::some(tx.connection(), organization).await?;
        tx.commit().await?;
        runtime::kill_point("purge/batch");
        if gone == 0 {
            break;
        }
    }
    let mut change = match Change::open_in_any_state::<()>(database, scope, call).await? {
        Opened::Change(change) => change,
        Opened::Answered(_) => return Ok(()),
    };
    // What was told of subjects since.
    while store::purge::some(change.connection(), organization).await? > 0 {}
    change.write().erase_history().await?;
    let nothing = Changed::<()> { before: None, after: None };
    change.append(NewEvent::new(PURGED, vec![organization.to_string()], &nothing));
    change.commit(()).await?;
    Ok(())
}
