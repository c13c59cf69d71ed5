//! Service accounts and their keys.

use access::{Caller, Granted, Tenant};
use secrecy::{ExposeSecret, SecretString};
use tenancy::{
    Actor, ApiKeyId, Change, ClusterScope, NewEvent, Once, ProjectScope, ServiceAccountId, StoreError, Write,
    event::now,
    page::{Listed, Page},
    secret::{self, Presented, SecretHash, SecretKind},
};

use super::{Context, NotActive, active};
pub use crate::store::service_account::Authenticated;
use crate::{
    model::{AccountState, ApiKey, ApiKeyDraft, IssuedApiKey, MAX_LIVE_KEYS, Name, NewProjectAccount, ServiceAccount},
    remote::{Grantor, RemoteError},
    store::service_account,
};

#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    #[error("no such project")]
    ProjectUnknown,
    #[error("no such service account")]
    AccountUnknown,
    #[error("no such API key")]
    KeyUnknown,
    #[error("the account has as many live keys as it may have")]
    TooManyKeys,
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
    let mut tx = context.database.write(granted.scope, &granted.origin(), once).await?;
    if let Some(first) = tx.first_answer()? {
        return Ok(first);
    }
    active(tx.head().state)?;
    let account = insert(&mut tx, granted.scope, display_name).await?;
    Ok(tx.commit(account).await?)
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
    let account = insert(&mut tx, tenant, display_name).await?;
    let fresh = FreshKey::new(tenant);
    let issued = insert_key(&mut tx, tenant, &account, ApiKeyDraft::default(), fresh).await?;
    Ok(tx.commit(NewProjectAccount { account, issued }).await?)
}

pub async fn get(
    context: &Context,
    granted: &Granted<Tenant>,
    id: ServiceAccountId,
) -> Result<ServiceAccount, AccountError> {
    let mut read = context.database.read(granted.scope).await?;
    let found = service_account::find(read.connection(), granted.scope, id).await?;
    read.finish().await?;
    found.ok_or(AccountError::AccountUnknown)
}

pub async fn list(
    context: &Context,
    granted: &Granted<Tenant>,
    page: &Page<ServiceAccountId>,
) -> Result<Listed<ServiceAccount, ServiceAccountId>, AccountError> {
    let mut read = context.database.read(granted.scope).await?;
    let listed = service_account::list(read.connection(), granted.scope, page).await?;
    read.finish().await?;
    Ok(listed)
}

/// A key is all that its account may do, so whoever makes one must hold the account's roles.
pub async fn create_key(
    context: &Context,
    granted: &Granted<Tenant>,
    once: Option<&Once>,
    id: ServiceAccountId,
    draft: ApiKeyDraft,
) -> Result<IssuedApiKey, AccountError> {
    let tenant = granted.scope;
    if let Some(once) = once
        && let Some(first) = context.database.kept_answer(tenant, once).await?
    {
        return Ok(first);
    }
    let account = get(context, granted, id).await?;
    if let Tenant::Organization(scope) = tenant
        && matches!(granted.caller, Caller::Member { .. } | Caller::ServiceAccount { organization: Some(_), .. })
    {
        let subjects = [Actor::ServiceAccount(id)];
        let held = context.remote.roles(granted.into(), scope.organization_id(), &subjects).await?;
        let roles = held.into_iter().flatten().map(|role| role.role_id).collect();
        context.remote.check_grant(granted.into(), scope, &Grantor::of(&granted.caller), roles).await?;
    }
    let fresh = FreshKey::new(tenant);
    let mut tx = context.database.write(tenant, &granted.origin(), once).await?;
    if let Some(first) = tx.first_answer()? {
        return Ok(first);
    }
    active(tx.head().state)?;
    if service_account::live_keys(tx.connection(), tenant, id).await? >= MAX_LIVE_KEYS {
        return Err(AccountError::TooManyKeys);
    }
    let issued = insert_key(&mut tx, tenant, &account, draft, fresh).await?;
    Ok(tx.commit(issued).await?)
}

pub async fn list_keys(
    context: &Context,
    granted: &Granted<Tenant>,
    id: ServiceAccountId,
    page: &Page<ApiKeyId>,
) -> Result<Listed<ApiKey, ApiKeyId>, AccountError> {
    let mut read = context.database.read(granted.scope).await?;
    let account = service_account::find(read.connection(), granted.scope, id).await?;
    let listed = service_account::list_keys(read.connection(), granted.scope, id, page).await?;
    read.finish().await?;
    if account.is_none() { Err(AccountError::AccountUnknown) } else { Ok(listed) }
}

pub async fn revoke_key(
    context: &Context,
    granted: &Granted<Tenant>,
    once: Option<&Once>,
    id: ServiceAccountId,
    key: ApiKeyId,
) -> Result<ApiKey, AccountError> {
    let tenant = granted.scope;
    let mut tx = context.database.write(tenant, &granted.origin(), once).await?;
    if let Some(first) = tx.first_answer()? {
        return Ok(first);
    }
    active(tx.head().state)?;
    if service_account::find(tx.connection(), tenant, id).await?.is_none() {
        return Err(AccountError::AccountUnknown);
    }
    let before = service_account::find_key(tx.connection(), tenant, id, key).await?.ok_or(AccountError::KeyUnknown)?;
    if before.revoke_time.is_some() {
        return Ok(tx.commit(before).await?);
    }
    let now = now();
    let after = ApiKey { revoke_time: Some(now), revision: tx.revision(), update_time: now, ..before.clone() };
    service_account::revoke_key(tx.connection(), tenant, &after).await?;
    tx.append(NewEvent::new("api_key.revoked", key_ids(&after), &Change::updated(before, after.clone())));
    Ok(tx.commit(after).await?)
}

/// Whose key this is. None where it opens nothing, whatever the reason.
pub async fn authenticate(
    context: &Context,
    granted: &Granted<ClusterScope>,
    presented: &Presented,
    client: Option<ServiceAccountId>,
) -> Result<Option<Authenticated>, StoreError> {
    let mut read = context.database.read(granted.scope).await?;
    let found = service_account::authenticate(read.connection(), presented).await?;
    read.finish().await?;
    let fits = |found: &Authenticated| client.is_none_or(|client| client == found.account.service_account_id);
    let Some(found) = found.filter(fits) else { return Ok(None) };
    service_account::mark_used(&context.database, granted.scope, presented.tenant, &found).await?;
    Ok(Some(found))
}

/// A secret made before the transaction that stores its hash.
struct FreshKey {
    id: ApiKeyId,
    text: SecretString,
    hash: SecretHash,
}

impl FreshKey {
    fn new(tenant: Tenant) -> Self {
        let id = ApiKeyId::new();
        let issued = secret::issue(SecretKind::ApiKey, tenant.key().uuid(), id.uuid());
        Self { id, text: issued.text, hash: issued.hash }
    }
}

async fn insert(tx: &mut Write, tenant: Tenant, display_name: Name) -> Result<ServiceAccount, StoreError> {
    let now = now();
    let account = ServiceAccount {
        service_account_id: ServiceAccountId::new(),
        organization_id: owner(tenant),
        display_name,
        state: AccountState::Active,
        revision: tx.revision(),
        create_time: now,
        update_time: now,
    };
    service_account::insert(tx.connection(), tenant, &account).await?;
    let ids = vec![account.service_account_id.to_string()];
    tx.append(NewEvent::new("service_account.created", ids, &Change::created(account.clone())));
    Ok(account)
}

async fn insert_key(
    tx: &mut Write,
    tenant: Tenant,
    account: &ServiceAccount,
    draft: ApiKeyDraft,
    fresh: FreshKey,
) -> Result<IssuedApiKey, StoreError> {
    let now = now();
    let api_key = ApiKey {
        api_key_id: fresh.id,
        service_account_id: account.service_account_id,
        organization_id: owner(tenant),
        display_name: draft.display_name,
        prefix: secret::shown_prefix(&fresh.text),
        expire_time: draft.expire_time,
        last_used_time: None,
        revoke_time: None,
        revision: tx.revision(),
        create_time: now,
        update_time: now,
    };
    service_account::insert_key(tx.connection(), tenant, &api_key, &fresh.hash).await?;
    tx.append(NewEvent::new("api_key.created", key_ids(&api_key), &Change::created(api_key.clone())));
    Ok(IssuedApiKey { api_key, secret: fresh.text.expose_secret().to_owned() })
}

fn key_ids(key: &ApiKey) -> Vec<String> {
    vec![key.api_key_id.to_string(), key.service_account_id.to_string()]
}

fn owner(tenant: Tenant) -> Option<tenancy::OrganizationId> {
    match tenant {
        Tenant::Organization(scope) => Some(scope.organization_id()),
        Tenant::Project(_) => None,
    }
}
