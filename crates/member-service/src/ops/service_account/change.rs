//! Renaming, suspending and reactivating accounts, and deleting them for good.
//!
//! Rights go first and come back last, as with members: authz-service is told of a suspension or deletion before the row is written,
//! and of a reactivation after. What stops half-way denies already, and is finished when this service reads of it in authz-service's
//! feed; until then nobody is told that the account is active. A project's own account holds nothing there: one write does.

use access::{Granted, Tenant};
use tenancy::{
    Actor, Change, Head, NewEvent, Once, OrganizationScope, Origin, ServiceAccountId, StoreError, Write, event::now,
    mask::etag_matches,
};

use super::{AccountError, check_acting_as};
use crate::{
    model::{AccountChanges, AccountState, ServiceAccount},
    ops::{Context, active},
    remote::Standing,
    store::service_account,
};

pub async fn update(
    context: &Context,
    granted: &Granted<Tenant>,
    id: ServiceAccountId,
    etag: &str,
    changes: AccountChanges,
) -> Result<ServiceAccount, AccountError> {
    let tenant = granted.scope;
    let (head, found) = look(context, tenant, id).await?;
    let found = found.ok_or(AccountError::AccountUnknown)?;
    if !etag_matches(etag, found.revision) {
        return Err(AccountError::EtagMismatch);
    }
    let to = changes.state.filter(|state| *state != found.state);
    if to == Some(AccountState::Active) {
        check_acting_as(context, granted, id).await?;
    }
    if let (Tenant::Organization(scope), Some(AccountState::Active), None) = (tenant, changes.state, to)
        && !tell(context, granted, scope, id, AccountState::Active, found.state_revision.max(1), false).await?
    {
        return Err(AccountError::Suspending);
    }
    // The write to come takes this revision or a later one; a reactivation that is still on its way had an earlier one.
    let told = head.revision + 1;
    let begun = match (tenant, to) {
        (Tenant::Organization(scope), Some(AccountState::Suspended)) => {
            tell(context, granted, scope, id, AccountState::Suspended, told, true).await?;
            runtime::kill_point("suspend-account/told");
            true
        }
        _ => false,
    };
    let mut tx = context.database.write(tenant, &granted.origin(), None).await?;
    active(tx.head().state)?;
    let before = service_account::find(tx.connection(), tenant, id).await?.ok_or(AccountError::AccountUnknown)?;
    // A suspension that has begun goes through.
    if !begun && !etag_matches(etag, before.revision) {
        return Err(AccountError::EtagMismatch);
    }
    let state = changes.state.unwrap_or(before.state);
    if state == AccountState::Active && before.state == AccountState::Suspended && to.is_none() {
        // Suspended by somebody else since it was looked at, and the caller was not asked about what reactivation takes.
        return Err(AccountError::EtagMismatch);
    }
    let display_name = changes.display_name.unwrap_or_else(|| before.display_name.clone());
    if state == before.state && display_name == before.display_name {
        return Ok(tx.commit(before).await?);
    }
    let account = write(&mut tx, tenant, before.clone(), ServiceAccount { display_name, state, ..before }).await?;
    let account = tx.commit(account).await?;
    runtime::kill_point("suspend-account/committed");
    // A suspension that took a later revision than it was told with, and every reactivation.
    if let (Tenant::Organization(scope), Some(state)) = (tenant, to)
        && (state == AccountState::Active || account.state_revision > told)
    {
        tell(context, granted, scope, id, account.state, account.state_revision, false).await?;
    }
    Ok(account)
}

pub async fn delete(
    context: &Context,
    granted: &Granted<Tenant>,
    once: Option<&Once>,
    id: ServiceAccountId,
    etag: &str,
) -> Result<(), AccountError> {
    let tenant = granted.scope;
    if let Some(once) = once
        && let Some(()) = context.database.kept_answer(tenant, once).await?
    {
        return Ok(());
    }
    let (head, found) = look(context, tenant, id).await?;
    // The row goes last: where there is none, authz-service knows already.
    let Some(found) = found else { return Ok(()) };
    if !etag_matches(etag, found.revision) {
        return Err(AccountError::EtagMismatch);
    }
    if let Tenant::Organization(scope) = tenant {
        let (actor, told) = (Actor::ServiceAccount(id), head.revision + 1);
        let (organization, project) = (scope.organization_id(), scope.project_id());
        context.remote.remove_subject(granted.into(), organization, project, &actor, told, true).await?;
        runtime::kill_point("remove-account/told");
    }
    Ok(remove(context, tenant, &granted.origin(), once, id).await?)
}

/// Deletes an account that authz-service has dropped, if it is still here.
pub async fn finish_deletion(
    context: &Context,
    scope: OrganizationScope,
    origin: &Origin,
    id: ServiceAccountId,
) -> Result<(), StoreError> {
    let tenant = Tenant::Organization(scope);
    let mut read = context.database.read(tenant).await?;
    let found = service_account::find(read.connection(), tenant, id).await?;
    read.finish();
    if found.is_none() { Ok(()) } else { remove(context, tenant, origin, None, id).await }
}

/// Writes a suspension that authz-service was told of, as of `told`, and that never got further.
pub async fn finish_suspension(
    context: &Context,
    scope: OrganizationScope,
    origin: &Origin,
    id: ServiceAccountId,
    told: i64,
) -> Result<(), StoreError> {
    let tenant = Tenant::Organization(scope);
    let overdue = |account: &ServiceAccount| account.state == AccountState::Active && account.state_revision < told;
    let mut read = context.database.read(tenant).await?;
    let found = service_account::find(read.connection(), tenant, id).await?;
    read.finish();
    if !found.as_ref().is_some_and(overdue) {
        return Ok(());
    }
    let mut tx = context.database.write(tenant, origin, None).await?;
    let Some(before) = service_account::find(tx.connection(), tenant, id).await?.filter(overdue) else {
        return Ok(());
    };
    let after = ServiceAccount { state: AccountState::Suspended, ..before.clone() };
    write(&mut tx, tenant, before, after).await?;
    tx.commit(()).await
}

async fn look(
    context: &Context,
    tenant: Tenant,
    id: ServiceAccountId,
) -> Result<(Head, Option<ServiceAccount>), AccountError> {
    let mut read = context.database.read(tenant).await?;
    let head = Head::find(read.connection(), tenant.key()).await?.ok_or(StoreError::TenantUnknown)?;
    let found = service_account::find(read.connection(), tenant, id).await?;
    read.finish();
    active(head.state)?;
    Ok((head, found))
}

/// Whether that is what authz-service goes by.
async fn tell(
    context: &Context,
    granted: &Granted<Tenant>,
    scope: OrganizationScope,
    id: ServiceAccountId,
    state: AccountState,
    revision: i64,
    protect: bool,
) -> Result<bool, AccountError> {
    let standing = match state {
        AccountState::Active => Standing::Active,
        AccountState::Suspended => Standing::Suspended,
    };
    let subject = Actor::ServiceAccount(id);
    Ok(context.remote.set_standing(granted.into(), scope, &subject, standing, revision, protect).await?)
}

/// The row and its event.
async fn write(
    tx: &mut Write,
    tenant: Tenant,
    before: ServiceAccount,
    after: ServiceAccount,
) -> Result<ServiceAccount, StoreError> {
    let revision = tx.revision();
    let (kind, state_revision) = match (before.state, after.state) {
        (AccountState::Active, AccountState::Suspended) => ("service_account.suspended", revision),
        (AccountState::Suspended, AccountState::Active) => ("service_account.reactivated", revision),
        _ => ("service_account.updated", before.state_revision),
    };
    let after = ServiceAccount { state_revision, revision, update_time: now(), ..after };
    service_account::update(tx.connection(), tenant, &after).await?;
    let ids = vec![after.service_account_id.to_string()];
    tx.append(NewEvent::new(kind, ids, &Change::updated(before, after.clone())));
    Ok(after)
}

async fn remove(
    context: &Context,
    tenant: Tenant,
    origin: &Origin,
    once: Option<&Once>,
    id: ServiceAccountId,
) -> Result<(), StoreError> {
    let mut tx = context.database.write(tenant, origin, once).await?;
    if let Some(()) = tx.first_answer()? {
        return Ok(());
    }
    if let Some(account) = service_account::find(tx.connection(), tenant, id).await? {
        service_account::delete(tx.connection(), tenant, id).await?;
        let ids = vec![account.service_account_id.to_string()];
        tx.append(NewEvent::new("service_account.deleted", ids, &Change::removed(account)));
    }
    tx.commit(()).await
}
