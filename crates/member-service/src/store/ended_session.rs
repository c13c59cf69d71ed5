//! Sessions that were ended, and what came of them at other organizations.

use sqlx::PgConnection;
use tenancy::{OrganizationId, OrganizationScope, ProjectId, SessionId, StoreError};
use time::Duration;
use uuid::Uuid;

#[derive(Debug, Clone, Copy)]
pub struct Ended {
    pub project: ProjectId,
    pub session: SessionId,
}

/// Takes note. Whatever came of it is looked for until `lasting` is over.
pub async fn note(
    connection: &mut PgConnection,
    scope: OrganizationScope,
    session: SessionId,
    lasting: Duration,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into ended_session (organization_id, project_id, session_id, expire_time)
         values ($1, $2, $3, now() + make_interval(secs => $4))
         on conflict do nothing",
        scope.organization_id().uuid(),
        scope.project_id().uuid(),
        session.uuid(),
        lasting.as_seconds_f64()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Some that are due. Nobody else takes them until `pause` is over; those that nothing can be on its way of any more are forgotten with
/// them.
pub async fn take(connection: &mut PgConnection, pause: Duration, limit: i64) -> Result<Vec<Ended>, StoreError> {
    let rows = sqlx::query!(
        "-- cluster: a sweep serves every tenant
         with forgotten as (delete from ended_session where expire_time < now())
         update ended_session as e set next_try_time = now() + make_interval(secs => $1)
         from (select organization_id, session_id from ended_session
               where next_try_time <= now() and expire_time >= now() order by next_try_time limit $2 for update skip locked) as due
         where e.organization_id = due.organization_id and e.session_id = due.session_id
         returning e.project_id, e.session_id",
        pause.as_seconds_f64(),
        limit
    )
    .fetch_all(connection)
    .await?;
    let ended = rows.into_iter().map(|row| Ended {
        project: ProjectId::from_uuid(row.project_id),
        session: SessionId::from_uuid(row.session_id),
    });
    Ok(ended.collect())
}

/// The sessions that came of it, in whichever organization of the project.
pub async fn sessions(
    connection: &mut PgConnection,
    ended: &Ended,
) -> Result<Vec<(OrganizationId, SessionId)>, StoreError> {
    let rows = sqlx::query!(
        "select organization_id, session_id from session
         where project_id = $1 and auth_factors -> 0 ->> 'session_id' = $2
         order by organization_id",
        ended.project.uuid(),
        ended.session.to_string()
    )
    .fetch_all(connection)
    .await?;
    let found =
        |organization: Uuid, session: Uuid| (OrganizationId::from_uuid(organization), SessionId::from_uuid(session));
    Ok(rows.into_iter().map(|row| found(row.organization_id, row.session_id)).collect())
}

/// Ends what came of it and waits for a second factor.
pub async fn end_intermediate(connection: &mut PgConnection, ended: &Ended) -> Result<(), StoreError> {
    sqlx::query!(
        "delete from intermediate_session where project_id = $1 and auth_factors -> 0 ->> 'session_id' = $2",
        ended.project.uuid(),
        ended.session.to_string()
    )
    .execute(connection)
    .await?;
    Ok(())
}
