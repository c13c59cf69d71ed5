//! The project's part in what decides (catalogue, roles): its counter, and the lock that keeps it still.

use sqlx::PgConnection;
use tenancy::{OrganizationId, ProjectId, StoreError};

/// Keeps the project's templates as they are until this transaction ends, and says their revision: 0 while there are none. Many
/// organizations may hold it at once; a write of the project waits for them, and they for it. Taken after the tenant's own head,
/// by both sides, so that nobody waits in a circle.
pub async fn hold(connection: &mut PgConnection, project: ProjectId) -> Result<i64, StoreError> {
    // Its own statement: the revision must be read by a look that began after the wait.
    sqlx::query!(
        "-- cluster: a lock, no row
         select pg_advisory_xact_lock_shared(hashtextextended($1::text, 0))",
        project.to_string()
    )
    .execute(&mut *connection)
    .await?;
    revision(connection, project).await
}

pub async fn revision(connection: &mut PgConnection, project: ProjectId) -> Result<i64, StoreError> {
    let key = OrganizationId::from(project);
    let revision = sqlx::query_scalar!("select revision from template where organization_id = $1", key.uuid())
        .fetch_optional(connection)
        .await?;
    Ok(revision.unwrap_or(0))
}

/// Opens the templates for a change by the project: waits until no organization holds them.
pub async fn open(connection: &mut PgConnection, project: ProjectId) -> Result<(), StoreError> {
    sqlx::query!(
        "-- cluster: a lock, no row
         select pg_advisory_xact_lock(hashtextextended($1::text, 0))",
        project.to_string()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Sets the counter to the project's revision that this write takes. Every write of the project ends with it.
pub async fn moved(connection: &mut PgConnection, project: ProjectId, revision: i64) -> Result<(), StoreError> {
    let key = OrganizationId::from(project);
    sqlx::query!(
        "insert into template (organization_id, project_id, revision) values ($1, $2, $3)
         on conflict (organization_id) do update set revision = excluded.revision",
        key.uuid(),
        project.uuid(),
        revision
    )
    .execute(connection)
    .await?;
    Ok(())
}
