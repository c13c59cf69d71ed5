//! Members whose roles are being bound before they are there.
//!
//! The row is written before the first binding and deleted by the write that makes the member. One that is left over, because a
//! process died or a step was refused, names the bindings to take back: an owner who does not exist must not count as one.

use sqlx::PgConnection;
use tenancy::{MemberId, OrganizationId, OrganizationScope, ProjectId, StoreError};

/// A member that did not come to be.
#[derive(Debug, Clone, Copy)]
pub struct Abandoned {
    pub project: ProjectId,
    pub organization: OrganizationId,
    pub member: MemberId,
}

pub async fn announce(
    connection: &mut PgConnection,
    scope: OrganizationScope,
    member: MemberId,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into prospect (organization_id, project_id, member_id) values ($1, $2, $3)",
        scope.organization_id().uuid(),
        scope.project_id().uuid(),
        member.uuid()
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub async fn announce_all(
    connection: &mut PgConnection,
    scope: OrganizationScope,
    members: &[MemberId],
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into prospect (organization_id, project_id, member_id) select $1, $2, unnest($3::uuid[])",
        scope.organization_id().uuid(),
        scope.project_id().uuid(),
        &members.iter().map(|id| id.uuid()).collect::<Vec<_>>()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// False where one of them was given up meanwhile: then none must come to be.
pub async fn arrive_all(
    connection: &mut PgConnection,
    organization: OrganizationId,
    members: &[MemberId],
) -> Result<bool, StoreError> {
    let deleted = sqlx::query!(
        "delete from prospect where organization_id = $1 and member_id = any ($2) and not abandoned",
        organization.uuid(),
        &members.iter().map(|id| id.uuid()).collect::<Vec<_>>()
    )
    .execute(connection)
    .await?;
    Ok(usize::try_from(deleted.rows_affected()).is_ok_and(|deleted| deleted == members.len()))
}

/// Gives up those that have not become members: the sweep takes their bindings back.
pub async fn abandon_all(
    connection: &mut PgConnection,
    organization: OrganizationId,
    members: &[MemberId],
) -> Result<(), StoreError> {
    sqlx::query!(
        "update prospect set abandoned = true where organization_id = $1 and member_id = any ($2)",
        organization.uuid(),
        &members.iter().map(|id| id.uuid()).collect::<Vec<_>>()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// False where it was given up meanwhile: then the member must not come to be.
pub async fn arrive(
    connection: &mut PgConnection,
    organization: OrganizationId,
    member: MemberId,
) -> Result<bool, StoreError> {
    let deleted = sqlx::query!(
        "delete from prospect where organization_id = $1 and member_id = $2 and not abandoned",
        organization.uuid(),
        member.uuid()
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected() == 1)
}

/// Gives one up. False where it has become a member after all.
pub async fn abandon(
    connection: &mut PgConnection,
    organization: OrganizationId,
    member: MemberId,
) -> Result<bool, StoreError> {
    let updated = sqlx::query!(
        "update prospect set abandoned = true where organization_id = $1 and member_id = $2",
        organization.uuid(),
        member.uuid()
    )
    .execute(connection)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// Once the bindings are taken back.
pub async fn forget(
    connection: &mut PgConnection,
    organization: OrganizationId,
    member: MemberId,
) -> Result<(), StoreError> {
    sqlx::query!(
        "delete from prospect where organization_id = $1 and member_id = $2 and abandoned",
        organization.uuid(),
        member.uuid()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Gives up what is older than any call may be, and names it with what was given up before.
pub async fn abandon_old(connection: &mut PgConnection, limit: i64) -> Result<Vec<Abandoned>, StoreError> {
    let rows = sqlx::query!(
        "update prospect as p set abandoned = true
         from (select organization_id, member_id from prospect where abandoned or create_time < now() - interval '3 minutes'
               order by create_time limit $1 for update skip locked) as old
         where p.organization_id = old.organization_id and p.member_id = old.member_id
         returning p.organization_id, p.project_id, p.member_id",
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Abandoned {
            project: ProjectId::from_uuid(row.project_id),
            organization: OrganizationId::from_uuid(row.organization_id),
            member: MemberId::from_uuid(row.member_id),
        })
        .collect())
}
