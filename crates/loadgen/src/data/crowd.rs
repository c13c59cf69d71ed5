//! Organizations and members by the hundred thousand.

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use sqlx::PgConnection;
use uuid::Uuid;

use super::copy::{Copy, NULL};
use super::id;
use crate::Failure;

const NOW: &str = "2026-01-01 00:00:00+00";
const STATE: &str = "ACTIVE";

/// Organizations of a project, with their heads in every service. Their ids, in order.
pub async fn organizations(
    database: &mut PgConnection,
    project: Uuid,
    seed: u64,
    count: usize,
) -> Result<Vec<Uuid>, Failure> {
    let mut rng = StdRng::seed_from_u64(seed);
    let ids: Vec<Uuid> = (0..count).map(|n| id::nth(&mut rng, n)).collect();
    let slug = |n: usize| format!("load-{seed}-{n:07}");

    let columns = "(organization_id, project_id, slug, display_name, folded_name, kind, state, trusted_metadata, \
         untrusted_metadata, settings, branding, limits, revision, create_time, update_time)";
    let mut rows = Copy::into(database, &format!("org.organization {columns}")).await?;
    for (n, organization) in ids.iter().enumerate() {
        let (name, folded) = (format!("Load {n:07}"), format!("load {n:07}"));
        rows.row(&[
            organization,
            &project,
            &slug(n),
            &name,
            &folded,
            &"TEAM",
            &STATE,
            &"{}",
            &"{}",
            &"{}",
            &"{}",
            &"{}",
            &0,
            &NOW,
            &NOW,
        ])
        .await?;
    }
    rows.finish().await?;
    let mut rows = Copy::into(database, "org.used_slug (organization_id, project_id, slug, create_time)").await?;
    for (n, organization) in ids.iter().enumerate() {
        rows.row(&[organization, &project, &slug(n), &NOW]).await?;
    }
    rows.finish().await?;
    for service in ["org", "member", "authz"] {
        let mut rows = Copy::into(database, &format!("{service}.head (organization_id, project_id)")).await?;
        for organization in &ids {
            rows.row(&[organization, &project]).await?;
        }
        rows.finish().await?;
    }
    Ok(ids)
}

/// Members of one organization, with their identities in the project's shared pool; authz-service knows them.
pub async fn members(
    database: &mut PgConnection,
    project: Uuid,
    organization: Uuid,
    seed: u64,
    members: &[Uuid],
) -> Result<(), Failure> {
    let mut rng = StdRng::seed_from_u64(seed ^ 0x1d);
    let identities: Vec<Uuid> = (0..members.len()).map(|n| id::nth(&mut rng, n)).collect();
    let address = |n: usize| format!("person-{n:07}@load-{seed}.test");

    let columns =
        "(organization_id, project_id, identity_id, email_address, display_name, revision, create_time, update_time)";
    let mut rows = Copy::into(database, &format!("member.identity {columns}")).await?;
    for (n, identity) in identities.iter().enumerate() {
        rows.row(&[&project, &project, identity, &address(n), &format!("Person {n}"), &0, &NOW, &NOW]).await?;
    }
    rows.finish().await?;
    let columns = "(organization_id, project_id, member_id, identity_id, email_address, display_name, external_id, revision, \
         create_time, update_time)";
    let mut rows = Copy::into(database, &format!("member.member {columns}")).await?;
    for (n, (member, identity)) in members.iter().zip(&identities).enumerate() {
        let name = format!("Person {n}");
        rows.row(&[&organization, &project, member, identity, &address(n), &name, &NULL, &0, &NOW, &NOW]).await?;
    }
    rows.finish().await?;
    known(database, project, organization, members).await
}

/// What authz-service is told of those who are there.
pub async fn known(
    database: &mut PgConnection,
    project: Uuid,
    organization: Uuid,
    members: &[Uuid],
) -> Result<(), Failure> {
    let columns = "(organization_id, project_id, subject_kind, subject_id, status, member_revision, create_time, update_time, revision)";
    let mut rows = Copy::into(database, &format!("authz.subject_state {columns}")).await?;
    for member in members {
        rows.row(&[&organization, &project, &"MEMBER", member, &STATE, &0, &NOW, &NOW, &0]).await?;
    }
    rows.finish().await?;
    Ok(())
}

/// Has the planner know what is there, as it would after a while by itself.
pub async fn settle(database: &mut PgConnection) -> Result<(), Failure> {
    for schema in ["org", "member", "authz"] {
        let tables: Vec<String> = sqlx::query_scalar("select tablename::text from pg_tables where schemaname = $1")
            .bind(schema)
            .fetch_all(&mut *database)
            .await
            .map_err(Failure::database("listing tables"))?;
        for table in tables {
            sqlx::raw_sql(sqlx::AssertSqlSafe(format!("vacuum (analyze) {schema}.{table}")))
                .execute(&mut *database)
                .await
                .map_err(Failure::database("gathering statistics"))?;
        }
    }
    Ok(())
}
