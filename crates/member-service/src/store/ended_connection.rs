//! Connections that are no more, or no more what they were, and what came of them until then.

use access::Tenant;
use sqlx::PgConnection;
use tenancy::{ConnectionId, OrganizationId, ProjectId, SessionId, StoreError};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

#[derive(Debug, Clone, Copy)]
pub struct Ended {
    pub project: ProjectId,
    /// Whose it was: the project's own key where it was the project's.
    pub tenant: OrganizationId,
    pub connection: ConnectionId,
    /// What began later came by what it is now.
    pub end_time: OffsetDateTime,
    pub is_deleted: bool,
}

impl Ended {
    pub fn is_of_project(&self) -> bool {
        self.tenant == OrganizationId::from(self.project)
    }
}

/// Takes note. Whatever came of it until then is looked for until `lasting` is over.
pub async fn note(
    connection: &mut PgConnection,
    tenant: Tenant,
    ended: &Ended,
    lasting: Duration,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into ended_connection (organization_id, project_id, connection_id, end_time, is_deleted, expire_time)
         values ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))
         on conflict (organization_id, connection_id) do update set end_time = greatest(ended_connection.end_time, $4),
             is_deleted = $5, next_try_time = now(), expire_time = now() + make_interval(secs => $6)",
        tenant.key().uuid(),
        tenant.project_id().uuid(),
        ended.connection.uuid(),
        ended.end_time,
        ended.is_deleted,
        lasting.as_seconds_f64()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// One that is due. Nobody else takes it until `pause` is over; one that nothing can be on its way of any more is forgotten with it.
pub async fn take(connection: &mut PgConnection, pause: Duration) -> Result<Option<Ended>, StoreError> {
    let row = sqlx::query!(
        "-- cluster: a sweep serves every tenant
         with forgotten as (delete from ended_connection where expire_time < now())
         update ended_connection as e set next_try_time = now() + make_interval(secs => $1)
         from (select organization_id, connection_id from ended_connection
               where next_try_time <= now() and expire_time >= now() order by next_try_time limit 1 for update skip locked) as due
         where e.organization_id = due.organization_id and e.connection_id = due.connection_id
         returning e.project_id, e.organization_id, e.connection_id, e.end_time, e.is_deleted",
        pause.as_seconds_f64()
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Ended {
        project: ProjectId::from_uuid(row.project_id),
        tenant: OrganizationId::from_uuid(row.organization_id),
        connection: ConnectionId::from_uuid(row.connection_id),
        end_time: row.end_time,
        is_deleted: row.is_deleted,
    }))
}

/// Up to `limit` sessions that came by the connection until then, in whichever organization of the project.
pub async fn sessions(
    connection: &mut PgConnection,
    ended: &Ended,
    until: OffsetDateTime,
    limit: i64,
) -> Result<Vec<(OrganizationId, SessionId)>, StoreError> {
    let rows = sqlx::query!(
        "select organization_id, session_id from session
         where project_id = $1 and connection_id = $2
             and (jsonb_path_query_first(auth_factors, '$[*] ? (exists (@.connection_id)).time') #>> '{}')::timestamptz <= $3
         order by organization_id limit $4",
        ended.project.uuid(),
        ended.connection.to_string(),
        until,
        limit
    )
    .fetch_all(connection)
    .await?;
    let found =
        |organization: Uuid, session: Uuid| (OrganizationId::from_uuid(organization), SessionId::from_uuid(session));
    Ok(rows.into_iter().map(|row| found(row.organization_id, row.session_id)).collect())
}

/// Ends the sign-ins that came by the connection until then and have not entered an organization yet.
pub async fn end_intermediate(
    connection: &mut PgConnection,
    ended: &Ended,
    until: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query!(
        "delete from intermediate_session
         where project_id = $1 and connection_id = $2
             and (jsonb_path_query_first(auth_factors, '$[*] ? (exists (@.connection_id)).time') #>> '{}')::timestamptz <= $3",
        ended.project.uuid(),
        ended.connection.to_string(),
        until
    )
    .execute(connection)
    .await?;
    Ok(())
}
