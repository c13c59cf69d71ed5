//! Sign-ins at identity providers under way, under their project, and what was said of those who came back.

use access::Tenant;
use sqlx::PgConnection;
use tenancy::{
    ConnectionId, IntermediateSessionId, OrganizationId, ProjectScope, SsoSignInId, StoreError,
    secret::{Presented, SecretHash},
};
use uuid::Uuid;

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

/// Forgets up to `limit` whose time is over; how many they were.
pub async fn forget_lapsed(connection: &mut PgConnection, limit: i64) -> Result<u64, StoreError> {
    let gone = sqlx::query!(
        "-- cluster: a sweep serves every tenant
         delete from sso_sign_in where ctid = any (array(select ctid from sso_sign_in where expire_time < now() limit $1))",
        limit
    )
    .execute(connection)
    .await?;
    Ok(gone.rows_affected())
}

/// Keeps what was said of the holder of an intermediate session.
pub async fn vouch(
    connection: &mut PgConnection,
    tenant: Tenant,
    session: IntermediateSessionId,
    vouching: &Vouching,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into vouching (organization_id, project_id, intermediate_session_id, connection_id, issuer, subject, email_address,
             email_verified, display_name, external_id, role_ids)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        tenant.key().uuid(),
        tenant.project_id().uuid(),
        session.uuid(),
        vouching.connection.uuid(),
        vouching.issuer,
        vouching.subject,
        vouching.email_address.as_ref().map(EmailAddress::as_str),
        vouching.email_verified,
        vouching.display_name.as_str(),
        vouching.external_id.as_ref().map(ExternalId::as_str),
        &vouching.role_ids
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub async fn vouched(
    connection: &mut PgConnection,
    organization: OrganizationId,
    session: IntermediateSessionId,
) -> Result<Option<Vouching>, StoreError> {
    struct Row {
        connection_id: Uuid,
        issuer: String,
        subject: String,
        email_address: Option<String>,
        email_verified: bool,
        display_name: String,
        external_id: Option<String>,
        role_ids: Vec<String>,
    }
    let row = sqlx::query_as!(
        Row,
        "select connection_id, issuer, subject, email_address, email_verified, display_name, external_id, role_ids
         from vouching where organization_id = $1 and intermediate_session_id = $2",
        organization.uuid(),
        session.uuid()
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
