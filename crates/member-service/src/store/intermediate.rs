//! Sign-ins that have not entered an organization yet.

use access::Tenant;
use serde_json::Value;
use sqlx::PgConnection;
use tenancy::{
    IdentityId, IntermediateSessionId, ProjectId, StoreError,
    secret::{Presented, SecretHash},
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{from_json, json};
use crate::model::{EmailAddress, Intermediate};

struct Row {
    intermediate_session_id: Uuid,
    identity_id: Option<Uuid>,
    email_address: String,
    email_verified: bool,
    auth_factors: Value,
    secret_hash: Vec<u8>,
    expire_time: OffsetDateTime,
}

impl TryFrom<Row> for Intermediate {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: IntermediateSessionId::from_uuid(row.intermediate_session_id),
            identity_id: row.identity_id.map(IdentityId::from_uuid),
            email_address: EmailAddress::stored(row.email_address),
            email_verified: row.email_verified,
            auth_factors: from_json(row.auth_factors, "intermediate_session.auth_factors")?,
            expire_time: row.expire_time,
        })
    }
}

pub async fn insert(
    connection: &mut PgConnection,
    tenant: Tenant,
    new: &Intermediate,
    secret: &SecretHash,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into intermediate_session (organization_id, project_id, intermediate_session_id, identity_id, email_address,
             email_verified, auth_factors, secret_hash, expire_time)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        tenant.key().uuid(),
        tenant.project_id().uuid(),
        new.id.uuid(),
        new.identity_id.map(IdentityId::uuid),
        new.email_address.as_str(),
        new.email_verified,
        json(&new.auth_factors)?,
        secret.as_bytes(),
        new.expire_time
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The one that the secret opens, if it is still good.
pub async fn open(
    connection: &mut PgConnection,
    tenant: Tenant,
    presented: &Presented,
    most_tries: i32,
) -> Result<Option<Intermediate>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "select intermediate_session_id, identity_id, email_address, email_verified, auth_factors, secret_hash, expire_time
         from intermediate_session
         where organization_id = $1 and intermediate_session_id = $2 and expire_time > now() and tries < $3",
        tenant.key().uuid(),
        presented.id,
        most_tries
    )
    .fetch_optional(connection)
    .await?;
    row.filter(|row| presented.hash.matches(&row.secret_hash)).map(Intermediate::try_from).transpose()
}

/// Takes one of the tries. False where none is left.
pub async fn take_try(
    connection: &mut PgConnection,
    tenant: Tenant,
    id: IntermediateSessionId,
    most: i32,
) -> Result<bool, StoreError> {
    let taken = sqlx::query!(
        "update intermediate_session set tries = tries + 1
         where organization_id = $1 and intermediate_session_id = $2 and expire_time > now() and tries < $3",
        tenant.key().uuid(),
        id.uuid(),
        most
    )
    .execute(connection)
    .await?;
    Ok(taken.rows_affected() == 1)
}

/// Uses it up: the one statement that decides who was first. False where it is used up.
pub async fn end(connection: &mut PgConnection, tenant: Tenant, id: IntermediateSessionId) -> Result<bool, StoreError> {
    let ended = sqlx::query!(
        "delete from intermediate_session where organization_id = $1 and intermediate_session_id = $2",
        tenant.key().uuid(),
        id.uuid()
    )
    .execute(connection)
    .await?;
    Ok(ended.rows_affected() == 1)
}

/// Ends those of a person anywhere that the transaction's scope shows.
pub async fn end_everywhere(
    connection: &mut PgConnection,
    project: ProjectId,
    identity: IdentityId,
) -> Result<(), StoreError> {
    sqlx::query!(
        "delete from intermediate_session where project_id = $1 and identity_id = $2",
        project.uuid(),
        identity.uuid()
    )
    .execute(connection)
    .await?;
    Ok(())
}
