//! Service accounts and their keys.
//!
//! A key is all that its account may do. So whoever makes one, or has the keys of a suspended account work again, must hold whatever
//! the account holds.

mod assertion;
mod change;
mod key;

pub use assertion::{Revoking, authenticate_assertion, revoke_token};
pub use change::{delete, finish_deletion, finish_suspension, update};
pub use key::{authenticate, create_key, list_keys, revoke_key};

use access::{Caller, Granted, Tenant};
use tenancy::{
    Actor, Change, NewEvent, Once, ProjectScope, ServiceAccountId, StoreError, Write,
    event::now,
    page::{Listed, Page},
};

use super::{Context, NotActive, active};
pub use crate::store::service_account::Authenticated;
use crate::{
    model::{AccountState, LimitReached, Name, NewProjectAccount, ServiceAccount},
    remote::{Grantor, RemoteError},
    store::service_account,
};
use key::{FreshKey, insert_key};

#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    #[error("no such project")]
    ProjectUnknown,
    #[error("the project is archived")]
    ProjectArchived,
    #[error("no such service account")]
    AccountUnknown,
    #[error("no such API key")]
    KeyUnknown,
    #[error("the account has this public key already")]
    KeyTaken,
    #[error("the account has as many live keys as it may have")]
    TooManyKeys,
    #[error(transparent)]
    TooManyAccounts(#[from] LimitReached),
    #[error("the account changed since the etag was read")]
    EtagMismatch,
    #[error("a suspension that has begun is not finished yet")]
    Suspending,
    #[error(transparent)]
    NotActive(#[from] NotActive),
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub async fn create(
    context: &Context,
    granted: &Granted<Tenant>,
    once: Option<&Once>,
    display_name: Name,
) -> Result<ServiceAccount, AccountError> {
    let tenant = granted.scope;
    if let Some(once) = once
        && let Some(first) = context.database.kept_answer(tenant, once).await?
    {
        return Ok(first);
    }
    let limit = limit(context, granted).await?;
    let mut tx = context.database.write(tenant, &granted.origin(), once).await?;
    if let Some(first) = tx.first_answer()? {
        return Ok(first);
    }
    active(tx.head().state)?;
    if let Some(allowed) = limit {
        let used = service_account::count(tx.connection(), tenant).await?;
        if used >= allowed {
            return Err(LimitReached { allowed, used }.into());
        }
    }
    let account = insert(&mut tx, tenant, display_name).await?;
    Ok(tx.commit(account).await?)
}

/// How many accounts the organization may have, as org-service says now. A project's own are not limited.
async fn limit(context: &Context, granted: &Granted<Tenant>) -> Result<Option<i64>, AccountError> {
    let Tenant::Organization(scope) = granted.scope else { return Ok(None) };
    let entry = context.remote.organization(granted.into(), scope.organization_id()).await?;
    let entry = entry.ok_or(StoreError::TenantUnknown)?;
    Ok(entry.limits.max_service_accounts)
}

/// Refuses a caller who would come to more than they hold by acting as the account. A project's own accounts hold no roles, and
/// nobody but the project's own credentials comes to them.
async fn check_acting_as(
    context: &Context,
    granted: &Granted<Tenant>,
    account: ServiceAccountId,
) -> Result<(), RemoteError> {
    if let Tenant::Organization(scope) = granted.scope
        && matches!(granted.caller, Caller::Member { .. } | Caller::ServiceAccount { organization: Some(_), .. })
    {
        context
            .remote
            .check_acting_as(granted.into(), scope, &Grantor::of(&granted.caller), &Actor::ServiceAccount(account))
            .await?;
    }
    Ok(())
}

/// A project's account and its first key, for a project that has no credential yet.
pub async fn create_for_project(
    context: &Context,
    granted: &Granted<ProjectScope>,
    once: Option<&Once>,
    display_name: Name,
) -> Result<NewProjectAccount, AccountError> {
    let known = context.remote.shares_pool(granted.into(), granted.scope.project_id()).await?;
    known.ok_or(AccountError::ProjectUnknown)?;
    let tenant = Tenant::Project(granted.scope);
    let mut tx = context.database.write(tenant, &granted.origin(), once).await?;
    if let Some(first) = tx.first_answer()? {
        return Ok(first);
    }
    if tx.head().archived {
        return Err(AccountError::ProjectArchived);
    }
    let account = insert(&mut tx, tenant, display_name).await?;
    let fresh = FreshKey::new(tenant, None);
    let issued = insert_key(&mut tx, tenant, &account, Name::default(), None, fresh).await?;
    Ok(tx.commit(NewProjectAccount { account, issued }).await?)
}

pub async fn get(
    context: &Context,
    granted: &Granted<Tenant>,
    id: ServiceAccountId,
) -> Result<ServiceAccount, AccountError> {
    let mut read = context.database.read(granted.scope).await?;
    let found = service_account::find(read.connection(), granted.scope, id).await?;
    read.finish();
    found.ok_or(AccountError::AccountUnknown)
}

pub async fn list(
    context: &Context,
    granted: &Granted<Tenant>,
    page: &Page<ServiceAccountId>,
) -> Result<Listed<ServiceAccount, ServiceAccountId>, AccountError> {
    let mut read = context.database.read(granted.scope).await?;
    let listed = service_account::list(read.connection(), granted.scope, page).await?;
    read.finish();
    Ok(listed)
}

async fn insert(tx: &mut Write, tenant: Tenant, display_name: Name) -> Result<ServiceAccount, StoreError> {
    let now = now();
    let account = ServiceAccount {
        service_account_id: ServiceAccountId::new(),
        organization_id: owner(tenant),
        display_name,
        state: AccountState::Active,
        state_revision: 0,
        revision: tx.revision(),
        create_time: now,
        update_time: now,
    };
    service_account::insert(tx.connection(), tenant, &account).await?;
    let ids = vec![account.service_account_id.to_string()];
    tx.append(NewEvent::new("service_account.created", ids, &Change::created(account.clone())));
    Ok(account)
}

fn owner(tenant: Tenant) -> Option<tenancy::OrganizationId> {
    match tenant {
        Tenant::Organization(scope) => Some(scope.organization_id()),
        Tenant::Project(_) => None,
    }
}
