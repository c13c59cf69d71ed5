//! Everything that is kept of an organization, but its head and its events.

use sqlx::PgConnection;
use tenancy::{OrganizationId, StoreError};

/// How many rows of a table one statement deletes.
const AT_ONCE: i64 = 5_000;

/// Deletes some of the organization's rows; how many. None are left when it deletes none.
pub async fn some(connection: &mut PgConnection, organization: OrganizationId) -> Result<u64, StoreError> {
    let id = organization.uuid();
    let mut gone = 0;
    gone += sqlx::query!(
        "delete from binding where ctid = any (array(select ctid from binding where organization_id = $1 limit $2))",
        id,
        AT_ONCE
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    gone += sqlx::query!(
        "delete from group_member where ctid = any (array(select ctid from group_member where organization_id = $1 limit $2))",
        id,
        AT_ONCE
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    // Groups whose members are gone: one that is deleted takes its members along, however many.
    gone += sqlx::query!(
        "delete from user_group where ctid = any (array(
             select g.ctid from user_group as g
             where g.organization_id = $1 and not exists (
                 select from group_member as m where m.organization_id = $1 and m.group_id = g.group_id)
             limit $2))",
        id,
        AT_ONCE
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    gone += sqlx::query!(
        "delete from role where ctid = any (array(select ctid from role where organization_id = $1 limit $2))",
        id,
        AT_ONCE
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    gone += sqlx::query!(
        "delete from resource where ctid = any (array(select ctid from resource where organization_id = $1 limit $2))",
        id,
        AT_ONCE
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    gone += sqlx::query!(
        "delete from subject_state where ctid = any (array(select ctid from subject_state where organization_id = $1 limit $2))",
        id,
        AT_ONCE
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    Ok(gone)
}
