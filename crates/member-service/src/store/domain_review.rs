//! Members of an organization under an email domain whose roles are to be looked at anew.

use sqlx::PgConnection;
use tenancy::{MemberId, OrganizationId, OrganizationScope, ProjectId, StoreError};
use uuid::Uuid;

#[derive(Debug, Clone)]
pub struct Review {
    pub project: ProjectId,
    pub organization: OrganizationId,
    pub domain: String,
    /// Which beginning it is of.
    generation: Uuid,
    /// The last member that was looked at.
    pub after: Option<MemberId>,
}

/// Begins one, or begins it anew.
pub async fn begin(connection: &mut PgConnection, scope: OrganizationScope, domain: &str) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into domain_review (organization_id, project_id, domain) values ($1, $2, $3)
         on conflict (organization_id, domain) do update set after_member_id = null, next_try_time = now(),
             generation = gen_random_uuid()",
        scope.organization_id().uuid(),
        scope.project_id().uuid(),
        domain
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// One that is due. Nobody else takes it for a while.
pub async fn take(connection: &mut PgConnection) -> Result<Option<Review>, StoreError> {
    let row = sqlx::query!(
        "-- cluster: a sweep serves every tenant
         update domain_review as r set next_try_time = now() + interval '30 seconds'
         from (select organization_id, domain from domain_review where next_try_time <= now()
               order by next_try_time limit 1 for update skip locked) as due
         where r.organization_id = due.organization_id and r.domain = due.domain
         returning r.project_id, r.organization_id, r.domain, r.generation, r.after_member_id"
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Review {
        project: ProjectId::from_uuid(row.project_id),
        organization: OrganizationId::from_uuid(row.organization_id),
        domain: row.domain,
        generation: row.generation,
        after: row.after_member_id.map(MemberId::from_uuid),
    }))
}

/// Up to `after` all is looked at; there are more. False where it was begun anew meanwhile, or somebody else went on with it.
pub async fn advance(connection: &mut PgConnection, review: &Review, after: MemberId) -> Result<bool, StoreError> {
    let moved = sqlx::query!(
        "update domain_review set after_member_id = $5, next_try_time = now()
         where organization_id = $1 and domain = $2 and generation = $3 and after_member_id is not distinct from $4",
        review.organization.uuid(),
        review.domain,
        review.generation,
        review.after.map(MemberId::uuid),
        after.uuid()
    )
    .execute(connection)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// The same of one that is over.
pub async fn end(connection: &mut PgConnection, review: &Review) -> Result<bool, StoreError> {
    let ended = sqlx::query!(
        "delete from domain_review
         where organization_id = $1 and domain = $2 and generation = $3 and after_member_id is not distinct from $4",
        review.organization.uuid(),
        review.domain,
        review.generation,
        review.after.map(MemberId::uuid)
    )
    .execute(connection)
    .await?;
    Ok(ended.rows_affected() == 1)
}
