//! Keys: made, listed, revoked, and shown for a token.

use access::{Granted, Tenant};
use secrecy::{ExposeSecret, SecretString};
use tenancy::{
    ApiKeyId, Change, ClusterScope, NewEvent, Once, OrganizationId, OrganizationState, ProjectId, ServiceAccountId,
    StoreError, Write,
    event::now,
    page::{Listed, Page},
    secret::{self, Presented, SecretHash, SecretKind},
};
use time::{Duration, OffsetDateTime};

use super::{AccountError, Authenticated, check_acting_as, get, owner};
use crate::{
    model::{ApiKey, ApiKeyDraft, IssuedApiKey, MAX_LIVE_KEYS, Name, PublicKey, ServiceAccount},
    ops::{Context, active},
    store::service_account::{self, KeyProof},
};

/// How much of a thumbprint stands where of a secret its first characters do.
const PREFIX: usize = 12;

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
    get(context, granted, id).await?;
    check_acting_as(context, granted, id).await?;
    let fresh = FreshKey::new(tenant, draft.public_key);
    let mut tx = context.database.write(tenant, &granted.origin(), once).await?;
    if let Some(first) = tx.first_answer()? {
        return Ok(first);
    }
    active(tx.head().state)?;
    let account = service_account::find(tx.connection(), tenant, id).await?.ok_or(AccountError::AccountUnknown)?;
    if service_account::live_keys(tx.connection(), tenant, id).await? >= MAX_LIVE_KEYS {
        return Err(AccountError::TooManyKeys);
    }
    if let FreshKey::Public { key, .. } = &fresh
        && service_account::has_public_key(tx.connection(), tenant, id, key.thumbprint()).await?
    {
        return Err(AccountError::KeyTaken);
    }
    let issued = insert_key(&mut tx, tenant, &account, draft.display_name, draft.expire_time, fresh).await?;
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
    read.finish();
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
///
/// The secret names its tenant, and is looked up there: a key of one organization is not even visible to a lookup in another.
pub async fn authenticate(
    context: &Context,
    granted: &Granted<ClusterScope>,
    presented: &Presented,
    client: Option<ServiceAccountId>,
) -> Result<Option<Authenticated>, StoreError> {
    let named = OrganizationId::from_uuid(presented.tenant);
    // Asked for here alone: whoever has accounts here is known here, and a made-up secret costs no call to another service.
    let head = context.database.head(named).await?;
    let open = head.as_ref().is_some_and(|head| head.state == OrganizationState::Active);
    let tenant = match head {
        Some(head) if named == head.project_id.into() => Tenant::Project(granted.in_project(head.project_id).scope),
        Some(head) => Tenant::Organization(granted.in_organization(head.project_id, named).scope),
        // Nobody's: the same statement, for the same time.
        None => Tenant::Organization(granted.in_organization(ProjectId::new(), named).scope),
    };
    let mut read = context.database.read(tenant).await?;
    let found = service_account::authenticate(read.connection(), tenant, presented).await?;
    read.finish();
    let fits = |found: &Authenticated| open && client.is_none_or(|client| client == found.account.service_account_id);
    let Some(found) = found.filter(fits) else { return Ok(None) };
    if let Err(error) = mark_used(context, tenant, &found).await {
        tracing::warn!(error = %runtime::Chain(&error), key = %found.api_key_id, "the last use of a key is not noted");
    }
    Ok(Some(found))
}

/// At most once a minute: a busy key is not a busy row.
pub(super) async fn mark_used(context: &Context, tenant: Tenant, used: &Authenticated) -> Result<(), StoreError> {
    let now = now();
    if used.last_used_time.is_some_and(|time| now - time < Duration::MINUTE) {
        return Ok(());
    }
    let mut tx = context.database.upkeep(tenant).await?;
    service_account::mark_used(tx.connection(), tenant, used.api_key_id, now).await?;
    tx.commit().await
}

/// A key before the transaction that stores it: a secret is made outside of it.
pub(super) enum FreshKey {
    Secret { id: ApiKeyId, text: SecretString, hash: SecretHash },
    Public { id: ApiKeyId, key: PublicKey },
}

impl FreshKey {
    pub(super) fn new(tenant: Tenant, public: Option<PublicKey>) -> Self {
        let id = ApiKeyId::new();
        match public {
            Some(key) => Self::Public { id, key },
            None => {
                let issued = secret::issue(SecretKind::ApiKey, tenant.key().uuid(), id.uuid());
                Self::Secret { id, text: issued.text, hash: issued.hash }
            }
        }
    }
}

pub(super) async fn insert_key(
    tx: &mut Write,
    tenant: Tenant,
    account: &ServiceAccount,
    display_name: Name,
    expire_time: Option<OffsetDateTime>,
    fresh: FreshKey,
) -> Result<IssuedApiKey, StoreError> {
    let now = now();
    let (api_key_id, prefix, proof, public_jwk, secret) = match &fresh {
        FreshKey::Secret { id, text, hash } => {
            (*id, secret::shown_prefix(text), KeyProof::Secret(hash), None, text.expose_secret().to_owned())
        }
        FreshKey::Public { id, key } => {
            let prefix = key.thumbprint().chars().take(PREFIX).collect();
            let jwk = Some(key.as_jwk().to_owned());
            (*id, prefix, KeyProof::Thumbprint(key.thumbprint()), jwk, String::new())
        }
    };
    let api_key = ApiKey {
        api_key_id,
        service_account_id: account.service_account_id,
        organization_id: owner(tenant),
        display_name,
        prefix,
        public_jwk,
        expire_time,
        last_used_time: None,
        revoke_time: None,
        revision: tx.revision(),
        create_time: now,
        update_time: now,
    };
    service_account::insert_key(tx.connection(), tenant, &api_key, proof).await?;
    tx.append(NewEvent::new("api_key.created", key_ids(&api_key), &Change::created(api_key.clone())));
    Ok(IssuedApiKey { api_key, secret })
}

fn key_ids(key: &ApiKey) -> Vec<String> {
    vec![key.api_key_id.to_string(), key.service_account_id.to_string()]
}
