//! Assertions that were used, and access tokens that were revoked, each until it has expired.

use access::Tenant;
use sqlx::PgConnection;
use tenancy::{ApiKeyId, ProjectId, StoreError};
use time::OffsetDateTime;
use uuid::Uuid;

use super::service_account::{AccountRow, Authenticated, active_account};

/// A public key with its account, both in use. None where there is none.
pub async fn public_key(
    connection: &mut PgConnection,
    tenant: Tenant,
    key: ApiKeyId,
) -> Result<Option<(String, Authenticated)>, StoreError> {
    let row = sqlx::query!(
        r#"select k.public_jwk as "public_jwk!", k.last_used_time, k.expire_time, k.api_key_id,
               a.organization_id, a.project_id, a.service_account_id, a.display_name, a.state, a.state_revision, a.revision,
               a.create_time, a.update_time
           from api_key k
           join service_account a on a.organization_id = k.organization_id and a.service_account_id = k.service_account_id
           where k.organization_id = $1 and k.api_key_id = $2 and k.public_jwk is not null and k.revoke_time is null
               and (k.expire_time is null or k.expire_time > now())"#,
        tenant.key().uuid(),
        key.uuid()
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
    Ok(account.map(|account| {
        let found = Authenticated {
            account,
            project_id: ProjectId::from_uuid(row.project_id),
            api_key_id: ApiKeyId::from_uuid(row.api_key_id),
            last_used_time: row.last_used_time,
            expire_time: row.expire_time,
        };
        (row.public_jwk, found)
    }))
}

/// Whether this is the first use. Of two at once one is.
pub async fn spend(
    connection: &mut PgConnection,
    tenant: Tenant,
    key: ApiKeyId,
    token_hash: &[u8],
    forget_time: OffsetDateTime,
) -> Result<bool, StoreError> {
    let inserted = sqlx::query!(
        "insert into used_assertion (organization_id, project_id, api_key_id, token_hash, expire_time) values ($1, $2, $3, $4, $5)
         on conflict do nothing",
        tenant.key().uuid(),
        tenant.project_id().uuid(),
        key.uuid(),
        token_hash,
        forget_time
    )
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Whether the token was not revoked before.
pub async fn revoke_token(
    connection: &mut PgConnection,
    tenant: Tenant,
    token_id: Uuid,
    expire_time: OffsetDateTime,
) -> Result<bool, StoreError> {
    let inserted = sqlx::query!(
        "insert into revoked_token (organization_id, project_id, token_id, expire_time) values ($1, $2, $3, $4) on conflict do nothing",
        tenant.key().uuid(),
        tenant.project_id().uuid(),
        token_id,
        expire_time
    )
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Of each kind at most `limit`; how many rows of the fuller kind went.
pub async fn lapsed(connection: &mut PgConnection, limit: i64) -> Result<u64, StoreError> {
    let most = sqlx::query_scalar!(
        r#"-- cluster: a sweep serves every tenant
        with a as (delete from used_assertion where ctid = any (array(select ctid from used_assertion where expire_time < now() limit $1)) returning 1),
             t as (delete from revoked_token where ctid = any (array(select ctid from revoked_token where expire_time < now() limit $1)) returning 1)
        select greatest((select count(*) from a), (select count(*) from t)) as "most!""#,
        limit
    )
    .fetch_one(connection)
    .await?;
    Ok(most.unsigned_abs())
}
