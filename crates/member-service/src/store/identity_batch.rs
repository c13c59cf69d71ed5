//! Identities, many at once.

use access::Tenant;
use sqlx::PgConnection;
use tenancy::{IdentityId, StoreError};

use crate::model::{EmailAddress, Identity, Person};

/// Whoever has one of these addresses.
pub async fn people(
    connection: &mut PgConnection,
    pool: Tenant,
    addresses: &[String],
) -> Result<Vec<Person>, StoreError> {
    let rows = sqlx::query!(
        "select identity_id, email_address, email_verified from identity
         where organization_id = $1 and email_address = any ($2)",
        pool.key().uuid(),
        addresses
    )
    .fetch_all(connection)
    .await?;
    let person = |(id, address, email_verified)| Person {
        identity_id: IdentityId::from_uuid(id),
        email_address: EmailAddress::stored(address),
        email_verified,
    };
    Ok(rows.into_iter().map(|row| person((row.identity_id, row.email_address, row.email_verified))).collect())
}

/// New ones, whose addresses nobody has: the pool's lock is held, and was looked behind.
pub async fn insert(connection: &mut PgConnection, pool: Tenant, new: &[Identity]) -> Result<(), StoreError> {
    let Some(first) = new.first() else { return Ok(()) };
    sqlx::query!(
        "insert into identity (organization_id, project_id, identity_id, email_address, email_verified, display_name, state,
             revision, create_time, update_time)
         select $1, $2, new.id, new.email_address, false, new.display_name, $6, $7, $8, $8
         from unnest($3::uuid[], $4::text[], $5::text[]) as new (id, email_address, display_name)",
        pool.key().uuid(),
        pool.project_id().uuid(),
        &new.iter().map(|identity| identity.identity_id.uuid()).collect::<Vec<_>>(),
        &new.iter().map(|identity| identity.email_address.as_str().to_owned()).collect::<Vec<_>>(),
        &new.iter().map(|identity| identity.display_name.as_str().to_owned()).collect::<Vec<_>>(),
        first.state.as_str(),
        first.revision,
        first.create_time
    )
    .execute(connection)
    .await?;
    Ok(())
}
