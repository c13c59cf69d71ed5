//! How many there are of what an organization's limits count. The limits are asked of org-service before a
//! write; counted against inside it, behind the lock of the organization's head, a count holds until the write is done.

use sqlx::PgConnection;
use tenancy::{OrganizationId, StoreError};

use crate::model::{Room, Usage};

/// Exact, as of now.
pub async fn of(connection: &mut PgConnection, organization: OrganizationId) -> Result<Usage, StoreError> {
    let row = sqlx::query!(
        r#"select coalesce((select members from member_count where organization_id = $1), 0) as "members!",
               (select count(*) from invitation where organization_id = $1 and state = 'PENDING' and expire_time > now())
                   as "pending_invitations!",
               (select count(*) from service_account where organization_id = $1) as "service_accounts!""#,
        organization.uuid()
    )
    .fetch_one(connection)
    .await?;
    Ok(Usage {
        members: row.members,
        pending_invitations: row.pending_invitations,
        service_accounts: row.service_accounts,
    })
}

/// How many more members there may be.
pub async fn room_for_members(
    connection: &mut PgConnection,
    organization: OrganizationId,
    limit: Option<i64>,
) -> Result<Room, StoreError> {
    let Some(allowed) = limit else { return Ok(Room::any()) };
    let query = sqlx::query_scalar!(
        r#"select coalesce((select members from member_count where organization_id = $1), 0) as "count!""#,
        organization.uuid()
    );
    Ok(Room::of(allowed, query.fetch_one(connection).await?))
}

/// How many more invitations may be pending.
pub async fn room_for_invitations(
    connection: &mut PgConnection,
    organization: OrganizationId,
    limit: Option<i64>,
) -> Result<Room, StoreError> {
    let Some(allowed) = limit else { return Ok(Room::any()) };
    let query = sqlx::query_scalar!(
        r#"select count(*) as "count!" from invitation
           where organization_id = $1 and state = 'PENDING' and expire_time > now()"#,
        organization.uuid()
    );
    Ok(Room::of(allowed, query.fetch_one(connection).await?))
}
