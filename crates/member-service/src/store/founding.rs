//! Organizations that are being made by signing up.

use serde_json::Value;
use sqlx::PgConnection;
use tenancy::{IntermediateSessionId, OrganizationId, ProjectId, ProjectScope, StoreError};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{from_json, json};
use crate::model::{AuthFactor, EmailAddress, Founding, Name};

/// A founding with the request that it came of.
#[derive(Debug)]
pub struct Kept {
    pub founding: Founding,
    pub auth_factors: Vec<AuthFactor>,
    pub request_id: String,
    pub body_tag: Vec<u8>,
    /// Until then the request may be repeated.
    pub expire_time: OffsetDateTime,
    /// It was written just now.
    pub first: bool,
}

/// Who came first.
#[derive(Debug)]
pub enum Claim {
    First(Kept),
    /// What somebody else wrote.
    Late(Kept),
}

struct Row {
    project_id: Uuid,
    intermediate_session_id: Uuid,
    founded_id: Uuid,
    email_address: String,
    person_name: String,
    plan: Value,
    auth_factors: Value,
    password_hash: Option<String>,
    request_id: String,
    body_tag: Vec<u8>,
    done: bool,
    expire_time: OffsetDateTime,
}

impl TryFrom<Row> for Kept {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            founding: Founding {
                project_id: ProjectId::from_uuid(row.project_id),
                intermediate: IntermediateSessionId::from_uuid(row.intermediate_session_id),
                organization_id: OrganizationId::from_uuid(row.founded_id),
                email_address: EmailAddress::stored(row.email_address),
                person_name: Name::stored(row.person_name),
                plan: from_json(row.plan, "founding.plan")?,
                password_hash: row.password_hash,
                done: row.done,
            },
            auth_factors: from_json(row.auth_factors, "founding.auth_factors")?,
            request_id: row.request_id,
            body_tag: row.body_tag,
            expire_time: row.expire_time,
            first: false,
        })
    }
}

pub async fn find(
    connection: &mut PgConnection,
    scope: ProjectScope,
    intermediate: IntermediateSessionId,
) -> Result<Option<Kept>, StoreError> {
    sqlx::query_as!(
        Row,
        "select project_id, intermediate_session_id, founded_id, email_address, person_name, plan, auth_factors, password_hash, request_id,
             body_tag, done, expire_time
         from founding where organization_id = $1 and intermediate_session_id = $2",
        scope.own_key().uuid(),
        intermediate.uuid()
    )
    .fetch_optional(connection)
    .await?
    .map(Kept::try_from)
    .transpose()
}

/// Writes it down, unless the same intermediate session is founding already.
pub async fn claim(
    connection: &mut PgConnection,
    scope: ProjectScope,
    kept: Kept,
    next_try: OffsetDateTime,
) -> Result<Claim, StoreError> {
    let founding = &kept.founding;
    let inserted = sqlx::query!(
        "insert into founding (organization_id, project_id, intermediate_session_id, founded_id, email_address, person_name, plan,
             auth_factors, password_hash, request_id, body_tag, next_try_time, expire_time)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
         on conflict (organization_id, intermediate_session_id) do nothing",
        scope.own_key().uuid(),
        scope.project_id().uuid(),
        founding.intermediate.uuid(),
        founding.organization_id.uuid(),
        founding.email_address.as_str(),
        founding.person_name.as_str(),
        json(&founding.plan)?,
        json(&kept.auth_factors)?,
        founding.password_hash,
        kept.request_id,
        kept.body_tag,
        next_try,
        kept.expire_time
    )
    .execute(&mut *connection)
    .await?;
    if inserted.rows_affected() == 1 {
        return Ok(Claim::First(kept));
    }
    let found = find(connection, scope, kept.founding.intermediate).await?;
    // Refused for good in between: the caller may come again.
    found.map(Claim::Late).ok_or(StoreError::Busy)
}

pub async fn finished(
    connection: &mut PgConnection,
    scope: ProjectScope,
    intermediate: IntermediateSessionId,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update founding set done = true, password_hash = null
         where organization_id = $1 and intermediate_session_id = $2",
        scope.own_key().uuid(),
        intermediate.uuid()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Of one that is not done.
pub async fn forget(
    connection: &mut PgConnection,
    scope: ProjectScope,
    intermediate: IntermediateSessionId,
) -> Result<(), StoreError> {
    sqlx::query!(
        "delete from founding where organization_id = $1 and intermediate_session_id = $2 and not done",
        scope.own_key().uuid(),
        intermediate.uuid()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Those that nobody goes on with; the next look at each is a while later.
pub async fn abandoned(connection: &mut PgConnection, limit: i64) -> Result<Vec<Founding>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "-- cluster: a sweep serves every tenant
         update founding as f set next_try_time = now() + interval '30 seconds'
         from (select organization_id, intermediate_session_id from founding where not done and next_try_time < now()
               order by next_try_time limit $1 for update skip locked) as old
         where f.organization_id = old.organization_id and f.intermediate_session_id = old.intermediate_session_id
         returning f.project_id, f.intermediate_session_id, f.founded_id, f.email_address, f.person_name, f.plan, f.auth_factors,
             f.password_hash, f.request_id, f.body_tag, f.done, f.expire_time",
        limit
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| Kept::try_from(row).map(|kept| kept.founding)).collect()
}
