//! Slugs that are or were in use.

use sqlx::PgConnection;
use tenancy::{OrganizationId, ProjectId, StoreError};

use crate::model::Slug;

/// Slugs that an organization may have had. Each is taken for good, from everybody else in its project.
pub const MOST: i64 = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    Own,
    /// Another organization has or had it.
    Taken,
    /// It would be one more than [`MOST`].
    TooMany,
}

/// Takes a slug for an organization, for good; one that it had before is its own again.
///
/// Two organizations that take one slug at once meet at the unique key: the second waits for the first to commit.
pub async fn claim(
    connection: &mut PgConnection,
    project: ProjectId,
    organization: OrganizationId,
    slug: &Slug,
) -> Result<Claim, StoreError> {
    let claimed = sqlx::query!(
        "insert into used_slug (organization_id, project_id, slug, create_time) values ($1, $2, $3, now())
         on conflict on constraint organization_slug_key do nothing",
        organization.uuid(),
        project.uuid(),
        slug.as_str()
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if claimed == 1 {
        let had = sqlx::query_scalar!(
            r#"select count(*) as "count!" from used_slug where organization_id = $1"#,
            organization.uuid()
        )
        .fetch_one(connection)
        .await?;
        return Ok(if had > MOST { Claim::TooMany } else { Claim::Own });
    }
    let own = sqlx::query!(
        "select slug from used_slug where organization_id = $1 and slug = $2",
        organization.uuid(),
        slug.as_str()
    )
    .fetch_optional(connection)
    .await?;
    Ok(if own.is_some() { Claim::Own } else { Claim::Taken })
}
