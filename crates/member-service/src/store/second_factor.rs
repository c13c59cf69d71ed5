//! Authenticator apps and recovery codes. They stand with the identity, under its pool.

use access::Tenant;
use sqlx::PgConnection;
use tenancy::{IdentityId, IntermediateSessionId, StoreError};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    attempt::{self, Kind},
    intermediate,
};
use crate::model::{AddressTag, AuthFactor, Identity};

/// An app that is enrolled.
#[derive(Debug)]
pub struct Enrolled {
    /// Sealed.
    pub secret: Vec<u8>,
    pub last_step: i64,
}

pub async fn enrolled(
    connection: &mut PgConnection,
    pool: Tenant,
    identity: IdentityId,
) -> Result<Option<Enrolled>, StoreError> {
    Ok(sqlx::query_as!(
        Enrolled,
        r#"select totp_secret as "secret!", totp_step as last_step from identity
         where organization_id = $1 and identity_id = $2 and totp_secret is not null"#,
        pool.key().uuid(),
        identity.uuid()
    )
    .fetch_optional(connection)
    .await?)
}

/// Takes a step: the one statement that decides who came first with its code. False where it, or a later one, was taken before, or
/// another app was enrolled meanwhile.
pub async fn take_step(
    connection: &mut PgConnection,
    pool: Tenant,
    identity: IdentityId,
    step: i64,
    enrolled: &Enrolled,
) -> Result<bool, StoreError> {
    let taken = sqlx::query!(
        "update identity set totp_step = $3
         where organization_id = $1 and identity_id = $2 and totp_step < $3 and totp_secret = $4",
        pool.key().uuid(),
        identity.uuid(),
        step,
        enrolled.secret
    )
    .execute(connection)
    .await?;
    Ok(taken.rows_affected() == 1)
}

/// Keeps an app, sealed, that is to be confirmed.
pub async fn begin(
    connection: &mut PgConnection,
    pool: Tenant,
    identity: IdentityId,
    secret: &[u8],
    expire_time: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update identity set pending_totp_secret = $3, pending_totp_expire_time = $4
         where organization_id = $1 and identity_id = $2",
        pool.key().uuid(),
        identity.uuid(),
        secret,
        expire_time
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The app that may be confirmed, sealed.
pub async fn pending(
    connection: &mut PgConnection,
    pool: Tenant,
    identity: IdentityId,
) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select pending_totp_secret as "secret!" from identity
         where organization_id = $1 and identity_id = $2 and pending_totp_secret is not null and pending_totp_expire_time > now()"#,
        pool.key().uuid(),
        identity.uuid()
    )
    .fetch_optional(connection)
    .await?)
}

/// Enrols an app in the place of any other, with the step of the code that confirmed it.
pub async fn enroll(
    connection: &mut PgConnection,
    pool: Tenant,
    identity: &Identity,
    secret: &[u8],
    step: i64,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update identity set totp_secret = $3, totp_step = $4, pending_totp_secret = null, pending_totp_expire_time = null,
             revision = $5, update_time = $6
         where organization_id = $1 and identity_id = $2",
        pool.key().uuid(),
        identity.identity_id.uuid(),
        secret,
        step,
        identity.revision,
        identity.update_time
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// An app as it rests.
#[derive(Debug)]
pub struct Sealed {
    pub pool: Uuid,
    pub identity: IdentityId,
    pub secret: Vec<u8>,
}

/// The first apps behind a person, in the order of the keys, whose seals begin in another way.
pub async fn sealed_otherwise(
    connection: &mut PgConnection,
    after: (Uuid, Uuid),
    beginning: &[u8],
    limit: i64,
) -> Result<Vec<Sealed>, StoreError> {
    let rows = sqlx::query!(
        r#"-- cluster: a sealing key is everybody's
           select organization_id, identity_id, totp_secret as "totp_secret!" from identity
           where (organization_id, identity_id) > ($1, $2) and totp_secret is not null
               and substring(totp_secret for length($3::bytea)) <> $3
           order by organization_id, identity_id limit $4"#,
        after.0,
        after.1,
        beginning,
        limit
    )
    .fetch_all(connection)
    .await?;
    let sealed = rows.into_iter().map(|row| Sealed {
        pool: row.organization_id,
        identity: IdentityId::from_uuid(row.identity_id),
        secret: row.totp_secret,
    });
    Ok(sealed.collect())
}

/// Puts the same app in its new seal, unless the person has enrolled another one meanwhile.
pub async fn reseal(connection: &mut PgConnection, of: (Uuid, Uuid), old: &[u8], new: &[u8]) -> Result<(), StoreError> {
    sqlx::query!(
        "update identity set totp_secret = $4 where organization_id = $1 and identity_id = $2 and totp_secret = $3",
        of.0,
        of.1,
        old,
        new
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes the app and its recovery codes away.
pub async fn forget(connection: &mut PgConnection, pool: Tenant, identity: IdentityId) -> Result<(), StoreError> {
    sqlx::query!(
        "with codes as (delete from recovery_code where organization_id = $1 and identity_id = $2)
         update identity set totp_secret = null, totp_step = 0, pending_totp_secret = null, pending_totp_expire_time = null
         where organization_id = $1 and identity_id = $2",
        pool.key().uuid(),
        identity.uuid()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Puts these recovery codes in the place of all others.
pub async fn replace_codes(
    connection: &mut PgConnection,
    pool: Tenant,
    identity: IdentityId,
    hashes: &[Vec<u8>],
) -> Result<(), StoreError> {
    sqlx::query!(
        "delete from recovery_code where organization_id = $1 and identity_id = $2",
        pool.key().uuid(),
        identity.uuid()
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "insert into recovery_code (organization_id, project_id, identity_id, hash) select $1, $2, $3, unnest($4::bytea[])",
        pool.key().uuid(),
        pool.project_id().uuid(),
        identity.uuid(),
        hashes
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub async fn has_code(
    connection: &mut PgConnection,
    pool: Tenant,
    identity: IdentityId,
    hash: &[u8],
) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select exists (
               select from recovery_code where organization_id = $1 and identity_id = $2 and hash = $3
           ) as "has!""#,
        pool.key().uuid(),
        identity.uuid(),
        hash
    )
    .fetch_one(connection)
    .await?)
}

/// Uses up a code: the one statement that decides who was first with it. How many are left; None where there is none such.
pub async fn use_code(
    connection: &mut PgConnection,
    pool: Tenant,
    identity: IdentityId,
    hash: &[u8],
) -> Result<Option<i64>, StoreError> {
    let used = sqlx::query!(
        "delete from recovery_code where organization_id = $1 and identity_id = $2 and hash = $3",
        pool.key().uuid(),
        identity.uuid(),
        hash
    )
    .execute(&mut *connection)
    .await?;
    if used.rows_affected() == 0 {
        return Ok(None);
    }
    let left = sqlx::query_scalar!(
        r#"select count(*) as "left!" from recovery_code where organization_id = $1 and identity_id = $2"#,
        pool.key().uuid(),
        identity.uuid()
    )
    .fetch_one(connection)
    .await?;
    Ok(Some(left))
}

/// Writes a proof into the intermediate session that waited for it; the tries before it were the person's own. False where the session is
/// used up.
pub async fn prove(
    connection: &mut PgConnection,
    pool: Tenant,
    address: AddressTag,
    tenant: Tenant,
    session: IntermediateSessionId,
    identity: IdentityId,
    factor: &AuthFactor,
) -> Result<bool, StoreError> {
    attempt::forgive(&mut *connection, pool, Kind::SecondFactor, address).await?;
    intermediate::add_factor(connection, tenant, session, identity, factor).await
}
