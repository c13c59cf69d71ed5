//! Identities. They stand under their pool: the project or one organization.

use std::collections::HashSet;

use access::Tenant;
use sqlx::PgConnection;
use tenancy::{IdentityId, OrganizationId, StoreError, constraint};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::model::{EmailAddress, Identity, IdentityState, Name};

struct Row {
    organization_id: Uuid,
    project_id: Uuid,
    identity_id: Uuid,
    email_address: String,
    email_verified: bool,
    display_name: String,
    state: String,
    password_hash: Option<String>,
    revision: i64,
    create_time: OffsetDateTime,
    update_time: OffsetDateTime,
}

/// An identity with what its password is checked against.
#[derive(Clone)]
pub struct Credentials {
    pub identity: Identity,
    pub password_hash: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl TryFrom<Row> for Credentials {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let identity = Identity {
            identity_id: IdentityId::from_uuid(row.identity_id),
            pool: OrganizationId::from_uuid(row.organization_id),
            pool_is_project: row.organization_id == row.project_id,
            email_address: EmailAddress::stored(row.email_address),
            email_verified: row.email_verified,
            display_name: Name::stored(row.display_name),
            has_password: row.password_hash.is_some(),
            state: IdentityState::from_word(&row.state).ok_or(StoreError::Corrupt("identity.state"))?,
            revision: row.revision,
            create_time: row.create_time,
            update_time: row.update_time,
        };
        Ok(Self { identity, password_hash: row.password_hash })
    }
}

pub async fn by_address(
    connection: &mut PgConnection,
    pool: Tenant,
    address: &EmailAddress,
) -> Result<Option<Credentials>, StoreError> {
    sqlx::query_as!(
        Row,
        "select organization_id, project_id, identity_id, email_address, email_verified, display_name, state, password_hash,
             revision, create_time, update_time
         from identity where organization_id = $1 and email_address = $2",
        pool.key().uuid(),
        address.as_str()
    )
    .fetch_optional(connection)
    .await?
    .map(Credentials::try_from)
    .transpose()
}

pub async fn get(
    connection: &mut PgConnection,
    pool: Tenant,
    identity: IdentityId,
) -> Result<Option<Identity>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "select organization_id, project_id, identity_id, email_address, email_verified, display_name, state, password_hash,
             revision, create_time, update_time
         from identity where organization_id = $1 and identity_id = $2",
        pool.key().uuid(),
        identity.uuid()
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Credentials::try_from).transpose()?.map(|credentials| credentials.identity))
}

/// False where the address has an identity already.
pub async fn insert(connection: &mut PgConnection, pool: Tenant, identity: &Identity) -> Result<bool, StoreError> {
    let inserted = sqlx::query!(
        "insert into identity (organization_id, project_id, identity_id, email_address, email_verified, display_name, state,
             revision, create_time, update_time)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        pool.key().uuid(),
        pool.project_id().uuid(),
        identity.identity_id.uuid(),
        identity.email_address.as_str(),
        identity.email_verified,
        identity.display_name.as_str(),
        identity.state.as_str(),
        identity.revision,
        identity.create_time,
        identity.update_time
    )
    .execute(connection)
    .await;
    match inserted {
        Ok(_) => Ok(true),
        Err(error) if constraint(&error) == Some("identity_email_key") => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Marks an address as proven.
pub async fn set_verified(connection: &mut PgConnection, pool: Tenant, identity: &Identity) -> Result<(), StoreError> {
    sqlx::query!(
        "update identity set email_verified = true, revision = $3, update_time = $4
         where organization_id = $1 and identity_id = $2",
        pool.key().uuid(),
        identity.identity_id.uuid(),
        identity.revision,
        identity.update_time
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Which of these have proven their address.
pub async fn verified(
    connection: &mut PgConnection,
    pool: Tenant,
    identities: &[IdentityId],
) -> Result<HashSet<IdentityId>, StoreError> {
    let rows = sqlx::query_scalar!(
        "select identity_id from identity where organization_id = $1 and identity_id = any ($2) and email_verified",
        pool.key().uuid(),
        &identities.iter().map(|id| id.uuid()).collect::<Vec<_>>()
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(IdentityId::from_uuid).collect())
}

pub async fn set_password(
    connection: &mut PgConnection,
    pool: Tenant,
    identity: &Identity,
    password_hash: &str,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update identity set password_hash = $3, revision = $4, update_time = $5
         where organization_id = $1 and identity_id = $2",
        pool.key().uuid(),
        identity.identity_id.uuid(),
        password_hash,
        identity.revision,
        identity.update_time
    )
    .execute(connection)
    .await?;
    Ok(())
}
