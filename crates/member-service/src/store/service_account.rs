//! Service accounts and their keys, of an organization or of the project itself.

use access::Tenant;
use sqlx::PgConnection;
use tenancy::{
    ApiKeyId, OrganizationId, ProjectId, ServiceAccountId, StoreError,
    page::{Listed, Page},
    secret::{Presented, SecretHash},
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::model::{AccountState, ApiKey, Name, ServiceAccount};

pub(super) struct AccountRow {
    pub organization_id: Uuid,
    pub project_id: Uuid,
    pub service_account_id: Uuid,
    pub display_name: String,
    pub state: String,
    pub state_revision: i64,
    pub revision: i64,
    pub create_time: OffsetDateTime,
    pub update_time: OffsetDateTime,
}

/// None for one that is suspended.
pub(super) fn active_account(row: AccountRow) -> Result<Option<ServiceAccount>, StoreError> {
    Ok(Some(ServiceAccount::try_from(row)?).filter(|account| account.state == AccountState::Active))
}

struct KeyRow {
    organization_id: Uuid,
    project_id: Uuid,
    api_key_id: Uuid,
    service_account_id: Uuid,
    display_name: String,
    prefix: String,
    public_jwk: Option<String>,
    expire_time: Option<OffsetDateTime>,
    last_used_time: Option<OffsetDateTime>,
    revoke_time: Option<OffsetDateTime>,
    revision: i64,
    create_time: OffsetDateTime,
    update_time: OffsetDateTime,
}

/// None for what stands under the project's own key.
fn owner(organization: Uuid, project: Uuid) -> Option<OrganizationId> {
    (organization != project).then(|| OrganizationId::from_uuid(organization))
}

impl TryFrom<AccountRow> for ServiceAccount {
    type Error = StoreError;

    fn try_from(row: AccountRow) -> Result<Self, StoreError> {
        Ok(Self {
            service_account_id: ServiceAccountId::from_uuid(row.service_account_id),
            organization_id: owner(row.organization_id, row.project_id),
            display_name: Name::stored(row.display_name),
            state: AccountState::from_word(&row.state).ok_or(StoreError::Corrupt("service_account.state"))?,
            state_revision: row.state_revision,
            revision: row.revision,
            create_time: row.create_time,
            update_time: row.update_time,
        })
    }
}

impl From<KeyRow> for ApiKey {
    fn from(row: KeyRow) -> Self {
        Self {
            api_key_id: ApiKeyId::from_uuid(row.api_key_id),
            service_account_id: ServiceAccountId::from_uuid(row.service_account_id),
            organization_id: owner(row.organization_id, row.project_id),
            display_name: Name::stored(row.display_name),
            prefix: row.prefix,
            public_jwk: row.public_jwk,
            expire_time: row.expire_time,
            last_used_time: row.last_used_time,
            revoke_time: row.revoke_time,
            revision: row.revision,
            create_time: row.create_time,
            update_time: row.update_time,
        }
    }
}

pub async fn insert(connection: &mut PgConnection, tenant: Tenant, account: &ServiceAccount) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into service_account (organization_id, project_id, service_account_id, display_name, revision, create_time, update_time)
         values ($1, $2, $3, $4, $5, $6, $7)",
        tenant.key().uuid(),
        tenant.project_id().uuid(),
        account.service_account_id.uuid(),
        account.display_name.as_str(),
        account.revision,
        account.create_time,
        account.update_time
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub async fn find(
    connection: &mut PgConnection,
    tenant: Tenant,
    account: ServiceAccountId,
) -> Result<Option<ServiceAccount>, StoreError> {
    sqlx::query_as!(
        AccountRow,
        "select organization_id, project_id, service_account_id, display_name, state, state_revision, revision, create_time,
             update_time
         from service_account where organization_id = $1 and service_account_id = $2",
        tenant.key().uuid(),
        account.uuid()
    )
    .fetch_optional(connection)
    .await?
    .map(ServiceAccount::try_from)
    .transpose()
}

pub async fn list(
    connection: &mut PgConnection,
    tenant: Tenant,
    page: &Page<ServiceAccountId>,
) -> Result<Listed<ServiceAccount, ServiceAccountId>, StoreError> {
    let rows = sqlx::query_as!(
        AccountRow,
        "select organization_id, project_id, service_account_id, display_name, state, state_revision, revision, create_time,
             update_time
         from service_account where organization_id = $1 and ($2::uuid is null or service_account_id > $2)
         order by service_account_id limit $3",
        tenant.key().uuid(),
        page.after.map(ServiceAccountId::uuid),
        page.size + 1
    )
    .fetch_all(connection)
    .await?;
    let accounts = rows.into_iter().map(ServiceAccount::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(Listed::from_rows(accounts, page.size, |account| account.service_account_id))
}

/// How many accounts stand here. Exact behind the lock of the tenant's head.
pub async fn count(connection: &mut PgConnection, tenant: Tenant) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from service_account where organization_id = $1"#,
        tenant.key().uuid()
    )
    .fetch_one(connection)
    .await?)
}

/// Writes everything that can change of an account.
pub async fn update(connection: &mut PgConnection, tenant: Tenant, account: &ServiceAccount) -> Result<(), StoreError> {
    sqlx::query!(
        "update service_account set display_name = $3, state = $4, state_revision = $5, revision = $6, update_time = $7
         where organization_id = $1 and service_account_id = $2",
        tenant.key().uuid(),
        account.service_account_id.uuid(),
        account.display_name.as_str(),
        account.state.as_str(),
        account.state_revision,
        account.revision,
        account.update_time
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The account with all its keys.
pub async fn delete(
    connection: &mut PgConnection,
    tenant: Tenant,
    account: ServiceAccountId,
) -> Result<(), StoreError> {
    sqlx::query!(
        "delete from api_key where organization_id = $1 and service_account_id = $2",
        tenant.key().uuid(),
        account.uuid()
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "delete from service_account where organization_id = $1 and service_account_id = $2",
        tenant.key().uuid(),
        account.uuid()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Whether the account has this public key, not revoked.
pub async fn has_public_key(
    connection: &mut PgConnection,
    tenant: Tenant,
    account: ServiceAccountId,
    thumbprint: &str,
) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select 1 from api_key where organization_id = $1 and service_account_id = $2 and thumbprint = $3
               and revoke_time is null) as "has!""#,
        tenant.key().uuid(),
        account.uuid(),
        thumbprint
    )
    .fetch_one(connection)
    .await?)
}

/// How many of an account's keys are neither expired nor revoked.
pub async fn live_keys(
    connection: &mut PgConnection,
    tenant: Tenant,
    account: ServiceAccountId,
) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from api_key
           where organization_id = $1 and service_account_id = $2 and revoke_time is null
               and (expire_time is null or expire_time > now())"#,
        tenant.key().uuid(),
        account.uuid()
    )
    .fetch_one(connection)
    .await?)
}

/// What a key is known by.
#[derive(Debug, Clone, Copy)]
pub enum KeyProof<'a> {
    Secret(&'a SecretHash),
    Thumbprint(&'a str),
}

pub async fn insert_key(
    connection: &mut PgConnection,
    tenant: Tenant,
    key: &ApiKey,
    proof: KeyProof<'_>,
) -> Result<(), StoreError> {
    let (secret, thumbprint) = match proof {
        KeyProof::Secret(hash) => (Some(hash.as_bytes()), None),
        KeyProof::Thumbprint(thumbprint) => (None, Some(thumbprint)),
    };
    sqlx::query!(
        "insert into api_key (organization_id, project_id, api_key_id, service_account_id, display_name, prefix, secret_hash,
             expire_time, revision, create_time, update_time, public_jwk, thumbprint)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        tenant.key().uuid(),
        tenant.project_id().uuid(),
        key.api_key_id.uuid(),
        key.service_account_id.uuid(),
        key.display_name.as_str(),
        key.prefix,
        secret,
        key.expire_time,
        key.revision,
        key.create_time,
        key.update_time,
        key.public_jwk,
        thumbprint
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The key of this account, and of no other.
pub async fn find_key(
    connection: &mut PgConnection,
    tenant: Tenant,
    account: ServiceAccountId,
    key: ApiKeyId,
) -> Result<Option<ApiKey>, StoreError> {
    let row = sqlx::query_as!(
        KeyRow,
        "select organization_id, project_id, api_key_id, service_account_id, display_name, prefix, public_jwk, expire_time, last_used_time,
             revoke_time, revision, create_time, update_time
         from api_key where organization_id = $1 and api_key_id = $2 and service_account_id = $3",
        tenant.key().uuid(),
        key.uuid(),
        account.uuid()
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(ApiKey::from))
}

pub async fn list_keys(
    connection: &mut PgConnection,
    tenant: Tenant,
    account: ServiceAccountId,
    page: &Page<ApiKeyId>,
) -> Result<Listed<ApiKey, ApiKeyId>, StoreError> {
    let rows = sqlx::query_as!(
        KeyRow,
        "select organization_id, project_id, api_key_id, service_account_id, display_name, prefix, public_jwk, expire_time, last_used_time,
             revoke_time, revision, create_time, update_time
         from api_key where organization_id = $1 and service_account_id = $2 and ($3::uuid is null or api_key_id > $3)
         order by api_key_id limit $4",
        tenant.key().uuid(),
        account.uuid(),
        page.after.map(ApiKeyId::uuid),
        page.size + 1
    )
    .fetch_all(connection)
    .await?;
    let keys: Vec<ApiKey> = rows.into_iter().map(ApiKey::from).collect();
    Ok(Listed::from_rows(keys, page.size, |key| key.api_key_id))
}

pub async fn revoke_key(connection: &mut PgConnection, tenant: Tenant, key: &ApiKey) -> Result<(), StoreError> {
    sqlx::query!(
        "update api_key set revoke_time = $3, revision = $4, update_time = $5 where organization_id = $1 and api_key_id = $2",
        tenant.key().uuid(),
        key.api_key_id.uuid(),
        key.revoke_time,
        key.revision,
        key.update_time
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A key that was found by the secret presented, with what decides whether it opens anything.
#[derive(Debug)]
pub struct Authenticated {
    pub account: ServiceAccount,
    pub project_id: ProjectId,
    pub api_key_id: ApiKeyId,
    pub last_used_time: Option<OffsetDateTime>,
    pub expire_time: Option<OffsetDateTime>,
}

/// Looks a presented key up in the tenant that it names. None where it opens nothing, whatever the reason. Whether the tenant is
/// active is not looked at here.
pub async fn authenticate(
    connection: &mut PgConnection,
    tenant: Tenant,
    presented: &Presented,
) -> Result<Option<Authenticated>, StoreError> {
    let row = sqlx::query!(
        r#"select k.secret_hash, k.last_used_time, k.expire_time, k.api_key_id,
               a.organization_id, a.project_id, a.service_account_id, a.display_name, a.state, a.state_revision, a.revision,
               a.create_time, a.update_time
           from api_key k
           join service_account a on a.organization_id = k.organization_id and a.service_account_id = k.service_account_id
           where k.organization_id = $1 and k.api_key_id = $2 and k.revoke_time is null
               and (k.expire_time is null or k.expire_time > now())"#,
        tenant.key().uuid(),
        presented.id
    )
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let account = active_account(AccountRow {
        organization_id: row.organization_id,
        project_id: row.project_id,
        service_account_id: row.service_account_id,
        display_name: row.display_name,
        state: row.state,
        state_revision: row.state_revision,
        revision: row.revision,
        create_time: row.create_time,
        update_time: row.update_time,
    })?;
    let matches = row.secret_hash.is_some_and(|hash| presented.hash.matches(&hash));
    Ok(account.filter(|_| matches).map(|account| Authenticated {
        account,
        project_id: ProjectId::from_uuid(row.project_id),
        api_key_id: ApiKeyId::from_uuid(row.api_key_id),
        last_used_time: row.last_used_time,
        expire_time: row.expire_time,
    }))
}

/// A mark of last use: neither the etag nor the time of update moves.
pub async fn mark_used(
    connection: &mut PgConnection,
    tenant: Tenant,
    key: ApiKeyId,
    time: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update api_key set last_used_time = $3 where organization_id = $1 and api_key_id = $2",
        tenant.key().uuid(),
        key.uuid(),
        time
    )
    .execute(connection)
    .await?;
    Ok(())
}
