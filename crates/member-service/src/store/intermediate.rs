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
use crate::model::{AuthFactor, EmailAddress, Intermediate};

struct Row {
    intermediate_session_id: Uuid,
    identity_id: Option<Uuid>,
    email_address: String,
    email_verified: bool,
    auth_factors: Value,
    no_later_than: Option<OffsetDateTime>,
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
            no_later_than: row.no_later_than,
            expire_time: row.expire_time,
        })
    }
}

/// `enrollment` is the authenticator app that is being enrolled with it, sealed.
pub async fn insert(
    connection: &mut PgConnection,
    tenant: Tenant,
    new: &Intermediate,
    secret: &SecretHash,
    enrollment: Option<&[u8]>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into intermediate_session (organization_id, project_id, intermediate_session_id, identity_id, email_address,
             email_verified, auth_factors, no_later_than, secret_hash, enrollment, expire_time)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        tenant.key().uuid(),
        tenant.project_id().uuid(),
        new.id.uuid(),
        new.identity_id.map(IdentityId::uuid),
        new.email_address.as_str(),
        new.email_verified,
        json(&new.auth_factors)?,
        new.no_later_than,
        secret.as_bytes(),
        enrollment,
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
        "select intermediate_session_id, identity_id, email_address, email_verified, auth_factors, no_later_than,
             secret_hash, expire_time
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

/// Takes one of the tries of a second factor; the app that is being enrolled, sealed. The outer None where no try is left.
pub async fn take_code_try(
    connection: &mut PgConnection,
    tenant: Tenant,
    id: IntermediateSessionId,
    most: i32,
) -> Result<Option<Option<Vec<u8>>>, StoreError> {
    Ok(sqlx::query_scalar!(
        "update intermediate_session set code_tries = code_tries + 1
         where organization_id = $1 and intermediate_session_id = $2 and expire_time > now() and code_tries < $3
         returning enrollment",
        tenant.key().uuid(),
        id.uuid(),
        most
    )
    .fetch_optional(connection)
    .await?)
}

/// Adds a proof, and ends the enrolment that came with it. False where it was used up meanwhile.
pub async fn add_factor(
    connection: &mut PgConnection,
    tenant: Tenant,
    id: IntermediateSessionId,
    identity: IdentityId,
    factor: &AuthFactor,
) -> Result<bool, StoreError> {
    let added = sqlx::query!(
        "update intermediate_session set auth_factors = auth_factors || $3, identity_id = $4, enrollment = null
         where organization_id = $1 and intermediate_session_id = $2 and expire_time > now()",
        tenant.key().uuid(),
        id.uuid(),
        json(&[factor])?,
        identity.uuid()
    )
    .execute(connection)
    .await?;
    Ok(added.rows_affected() == 1)
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
