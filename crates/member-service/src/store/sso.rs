//! Sign-ins at identity providers under way, under their project, and what was said of those who came back.

use sqlx::PgConnection;
use tenancy::{
    ConnectionId, OrganizationId, OrganizationScope, ProjectScope, SsoSignInId, StoreError,
    secret::{Presented, SecretHash},
};
use time::OffsetDateTime;

use crate::model::{EmailAddress, ExternalId, Name, SsoSignIn, Vouching};

pub async fn begin(
    connection: &mut PgConnection,
    scope: ProjectScope,
    new: &SsoSignIn,
    state: &SecretHash,
    secrets: &[u8],
) -> Result<(), StoreError> {
    let project = scope.project_id().uuid();
    sqlx::query!(
        "insert into sso_sign_in (organization_id, project_id, sso_sign_in_id, state_hash, secrets, code_challenge, entered_id,
             connection_id, issuer, redirect_uri, expire_time)
         values ($1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        project,
        new.id.uuid(),
        state.as_bytes(),
        secrets,
        new.code_challenge,
        new.organization.map(OrganizationId::uuid),
        new.connection.uuid(),
        new.issuer,
        new.redirect_uri,
        new.expire_time
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes a sign-in away with its sealed secrets: of many who come with one state, one finds it. None of one whose time is over.
pub async fn take(
    connection: &mut PgConnection,
    scope: ProjectScope,
    state: &Presented,
) -> Result<Option<(SsoSignIn, Vec<u8>)>, StoreError> {
    let row = sqlx::query!(
        r#"delete from sso_sign_in where organization_id = $1 and sso_sign_in_id = $2 and state_hash = $3
           returning sso_sign_in_id, secrets, code_challenge, entered_id, connection_id, issuer, redirect_uri, expire_time,
               expire_time > now() as "in_time!""#,
        scope.project_id().uuid(),
        state.id,
        state.hash.as_bytes()
    )
    .fetch_optional(connection)
    .await?;
    let Some(row) = row.filter(|row| row.in_time) else { return Ok(None) };
    let sign_in = SsoSignIn {
        id: SsoSignInId::from_uuid(row.sso_sign_in_id),
        code_challenge: row.code_challenge,
        organization: row.entered_id.map(OrganizationId::from_uuid),
        connection: ConnectionId::from_uuid(row.connection_id),
        issuer: row.issuer,
        redirect_uri: row.redirect_uri,
        expire_time: row.expire_time,
    };
    Ok(Some((sign_in, row.secrets)))
}

/// Forgets up to `limit` of each kind whose time is over; how many of the fullest kind they were.
pub async fn forget_lapsed(connection: &mut PgConnection, limit: i64) -> Result<u64, StoreError> {
    let most = sqlx::query_scalar!(
        r#"-- cluster: a sweep serves every tenant
        with s as (delete from sso_sign_in where ctid = any (array(select ctid from sso_sign_in where expire_time < now() limit $1)) returning 1),
             v as (delete from vouching where ctid = any (array(select ctid from vouching where expire_time < now() limit $1)) returning 1)
        select greatest((select count(*) from s), (select count(*) from v)) as "most!""#,
        limit
    )
    .fetch_one(connection)
    .await?;
    Ok(most.unsigned_abs())
}

/// Keeps what was said of whoever came back from a sign-in.
pub async fn vouch(
    connection: &mut PgConnection,
    scope: OrganizationScope,
    sign_in: SsoSignInId,
    vouching: &Vouching,
    until: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into vouching (organization_id, project_id, sso_sign_in_id, connection_id, issuer, subject, email_address,
             email_verified, display_name, external_id, role_ids, expire_time)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        scope.organization_id().uuid(),
        scope.project_id().uuid(),
        sign_in.uuid(),
        vouching.connection.uuid(),
        vouching.issuer,
        vouching.subject,
        vouching.email_address.as_ref().map(EmailAddress::as_str),
        vouching.email_verified,
        vouching.display_name.as_str(),
        vouching.external_id.as_ref().map(ExternalId::as_str),
        &vouching.role_ids,
        until
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub async fn vouched(
    connection: &mut PgConnection,
    organization: OrganizationId,
    sign_in: SsoSignInId,
) -> Result<Option<Vouching>, StoreError> {
    let row = sqlx::query!(
        "select connection_id, issuer, subject, email_address, email_verified, display_name, external_id, role_ids
         from vouching where organization_id = $1 and sso_sign_in_id = $2 and expire_time > now()",
        organization.uuid(),
        sign_in.uuid()
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Vouching {
        connection: ConnectionId::from_uuid(row.connection_id),
        issuer: row.issuer,
        subject: row.subject,
        email_address: row.email_address.map(EmailAddress::stored),
        email_verified: row.email_verified,
        display_name: Name::stored(row.display_name),
        external_id: row.external_id.map(ExternalId::stored),
        role_ids: row.role_ids,
    }))
}
