//! Who somebody at an identity provider is here, under the organization or project whose connection it is.

use access::Tenant;
use sqlx::PgConnection;
use tenancy::{ConnectionId, IdentityId, MemberId, OrganizationId, OrganizationScope, ProjectId, StoreError};
use time::OffsetDateTime;

use crate::model::{ProviderAccount, Vouching};

/// Who it is, if they have signed in before.
pub async fn find(
    connection: &mut PgConnection,
    tenant: Tenant,
    vouching: &Vouching,
) -> Result<Option<IdentityId>, StoreError> {
    let found = sqlx::query_scalar!(
        "select identity_id from provider_account
         where organization_id = $1 and connection_id = $2 and issuer = $3 and subject = $4",
        tenant.key().uuid(),
        vouching.connection.uuid(),
        vouching.issuer,
        vouching.subject
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.map(IdentityId::from_uuid))
}

pub async fn insert(
    connection: &mut PgConnection,
    project: ProjectId,
    new: &ProviderAccount,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into provider_account (organization_id, project_id, connection_id, issuer, subject, identity_id, create_time)
         values ($1, $2, $3, $4, $5, $6, $7)",
        new.tenant.uuid(),
        project.uuid(),
        new.connection_id.uuid(),
        new.issuer,
        new.subject,
        new.identity_id.uuid(),
        new.create_time
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets up to `limit` accounts of a connection; how many they were.
pub async fn forget(
    connection: &mut PgConnection,
    tenant: OrganizationId,
    id: ConnectionId,
    limit: i64,
) -> Result<u64, StoreError> {
    let gone = sqlx::query!(
        "delete from provider_account where ctid = any (array(
             select ctid from provider_account where organization_id = $1 and connection_id = $2 limit $3))",
        tenant.uuid(),
        id.uuid(),
        limit
    )
    .execute(connection)
    .await?;
    Ok(gone.rows_affected())
}

/// Notes that a member's roles by group come of a connection now.
pub async fn note_roles(
    connection: &mut PgConnection,
    scope: OrganizationScope,
    member: MemberId,
    id: ConnectionId,
    time: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into connection_member (organization_id, project_id, member_id, connection_id, sign_in_time)
         values ($1, $2, $3, $4, $5)
         on conflict (organization_id, member_id) do update set connection_id = $4, sign_in_time = $5",
        scope.organization_id().uuid(),
        scope.project_id().uuid(),
        member.uuid(),
        id.uuid(),
        time
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Up to `limit` members whose roles by group come of a connection as it was until then.
pub async fn with_roles(
    connection: &mut PgConnection,
    organization: OrganizationId,
    id: ConnectionId,
    until: OffsetDateTime,
    limit: i64,
) -> Result<Vec<MemberId>, StoreError> {
    let members = sqlx::query_scalar!(
        "select member_id from connection_member
         where organization_id = $1 and connection_id = $2 and sign_in_time <= $3 order by member_id limit $4",
        organization.uuid(),
        id.uuid(),
        until,
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(members.into_iter().map(MemberId::from_uuid).collect())
}

/// A member's roles by group came of the connection as it was until then, and are taken.
pub async fn forget_roles(
    connection: &mut PgConnection,
    organization: OrganizationId,
    member: MemberId,
    id: ConnectionId,
    until: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query!(
        "delete from connection_member
         where organization_id = $1 and member_id = $2 and connection_id = $3 and sign_in_time <= $4",
        organization.uuid(),
        member.uuid(),
        id.uuid(),
        until
    )
    .execute(connection)
    .await?;
    Ok(())
}
