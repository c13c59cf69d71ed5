//! Identities. They stand under their pool: the project or one organization.

use std::collections::HashSet;

use access::Tenant;
use sqlx::PgConnection;
use tenancy::{IdentityId, OrganizationId, ProjectId, SessionId, StoreError, constraint};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::model::{EmailAddress, Identity, IdentityState, Name, PictureUri};

struct Row {
    organization_id: Uuid,
    project_id: Uuid,
    identity_id: Uuid,
    email_address: String,
    email_verified: bool,
    retired_email_addresses: Vec<String>,
    display_name: String,
    picture_uri: String,
    state: String,
    password_hash: Option<String>,
    password_is_short: bool,
    has_totp: bool,
    sessions_from: Option<OffsetDateTime>,
    revision: i64,
    create_time: OffsetDateTime,
    update_time: OffsetDateTime,
}

/// An identity with what its password is checked against.
#[derive(Clone)]
pub struct Credentials {
    pub identity: Identity,
    pub password_hash: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl TryFrom<Row> for Credentials {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let identity = Identity {
            identity_id: IdentityId::from_uuid(row.identity_id),
            pool: OrganizationId::from_uuid(row.organization_id),
            pool_is_project: row.organization_id == row.project_id,
            email_address: EmailAddress::stored(row.email_address),
            email_verified: row.email_verified,
            retired_email_addresses: row.retired_email_addresses.into_iter().map(EmailAddress::stored).collect(),
            display_name: Name::stored(row.display_name),
            picture_uri: PictureUri::stored(row.picture_uri),
            has_password: row.password_hash.is_some(),
            password_is_short: row.password_is_short,
            has_totp: row.has_totp,
            sessions_from: row.sessions_from,
            state: IdentityState::from_word(&row.state).ok_or(StoreError::Corrupt("identity.state"))?,
            revision: row.revision,
            create_time: row.create_time,
            update_time: row.update_time,
        };
        Ok(Self { identity, password_hash: row.password_hash })
    }
}

pub async fn by_address(
    connection: &mut PgConnection,
    pool: Tenant,
    address: &EmailAddress,
) -> Result<Option<Credentials>, StoreError> {
    sqlx::query_as!(
        Row,
        r#"select organization_id, project_id, identity_id, email_address, email_verified, retired_email_addresses, display_name,
             picture_uri, state, password_hash, password_is_short, totp_secret is not null as "has_totp!", sessions_from,
             revision, create_time, update_time
         from identity where organization_id = $1 and email_address = $2"#,
        pool.key().uuid(),
        address.as_str()
    )
    .fetch_optional(connection)
    .await?
    .map(Credentials::try_from)
    .transpose()
}

pub async fn get(
    connection: &mut PgConnection,
    pool: Tenant,
    identity: IdentityId,
) -> Result<Option<Identity>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        r#"select organization_id, project_id, identity_id, email_address, email_verified, retired_email_addresses, display_name,
             picture_uri, state, password_hash, password_is_short, totp_secret is not null as "has_totp!", sessions_from,
             revision, create_time, update_time
         from identity where organization_id = $1 and identity_id = $2"#,
        pool.key().uuid(),
        identity.uuid()
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Credentials::try_from).transpose()?.map(|credentials| credentials.identity))
}

/// An identity of the project, in whichever of its pools.
pub async fn of_project(
    connection: &mut PgConnection,
    project: ProjectId,
    identity: IdentityId,
) -> Result<Option<Identity>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        r#"select organization_id, project_id, identity_id, email_address, email_verified, retired_email_addresses, display_name,
             picture_uri, state, password_hash, password_is_short, totp_secret is not null as "has_totp!", sessions_from,
             revision, create_time, update_time
         from identity where project_id = $1 and identity_id = $2"#,
        project.uuid(),
        identity.uuid()
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Credentials::try_from).transpose()?.map(|credentials| credentials.identity))
}

/// Which project an identity is of, for a service that names the identity alone.
pub async fn project_of(connection: &mut PgConnection, identity: IdentityId) -> Result<Option<ProjectId>, StoreError> {
    let project = sqlx::query_scalar!(
        "-- cluster: a service asks, which knows the person and not the project
         select project_id from identity where identity_id = $1",
        identity.uuid()
    )
    .fetch_optional(connection)
    .await?;
    Ok(project.map(ProjectId::from_uuid))
}

/// False where the address has an identity already; the transaction can go on then.
pub async fn insert(
    connection: &mut PgConnection,
    pool: Tenant,
    identity: &Identity,
    password_hash: Option<&str>,
) -> Result<bool, StoreError> {
    let inserted = sqlx::query!(
        "insert into identity (organization_id, project_id, identity_id, email_address, email_verified, display_name, picture_uri,
             state, password_hash, revision, create_time, update_time)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         on conflict on constraint identity_email_key do nothing",
        pool.key().uuid(),
        pool.project_id().uuid(),
        identity.identity_id.uuid(),
        identity.email_address.as_str(),
        identity.email_verified,
        identity.display_name.as_str(),
        identity.picture_uri.as_str(),
        identity.state.as_str(),
        password_hash,
        identity.revision,
        identity.create_time,
        identity.update_time
    )
    .execute(connection)
    .await?
    .rows_affected();
    Ok(inserted == 1)
}

/// Writes everything that an update changes. The address of the members changes with it, by their foreign key. False where the pool
/// has the address.
pub async fn update(connection: &mut PgConnection, pool: Tenant, identity: &Identity) -> Result<bool, StoreError> {
    let retired: Vec<String> =
        identity.retired_email_addresses.iter().map(|address| address.as_str().to_owned()).collect();
    let updated = sqlx::query!(
        "update identity set email_address = $3, email_verified = $4, retired_email_addresses = $5, display_name = $6,
             picture_uri = $7, state = $8, revision = $9, update_time = $10
         where organization_id = $1 and identity_id = $2",
        pool.key().uuid(),
        identity.identity_id.uuid(),
        identity.email_address.as_str(),
        identity.email_verified,
        retired.as_slice(),
        identity.display_name.as_str(),
        identity.picture_uri.as_str(),
        identity.state.as_str(),
        identity.revision,
        identity.update_time
    )
    .execute(connection)
    .await;
    match updated {
        Ok(_) => Ok(true),
        Err(error) if matches!(constraint(&error), Some("identity_email_key" | "member_email_key")) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Puts our own hash in the place of the one that the password was just checked against, unless another was set meanwhile. No change
/// that anybody sees: neither an event nor a new etag.
pub async fn replace_hash(
    connection: &mut PgConnection,
    pool: Tenant,
    identity: IdentityId,
    checked: &str,
    ours: &str,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update identity set password_hash = $4 where organization_id = $1 and identity_id = $2 and password_hash = $3",
        pool.key().uuid(),
        identity.uuid(),
        checked,
        ours
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The organizations of a project where a person has sessions.
pub async fn organizations_with_sessions(
    connection: &mut PgConnection,
    project: ProjectId,
    identity: IdentityId,
) -> Result<Vec<OrganizationId>, StoreError> {
    let organizations = sqlx::query_scalar!(
        "select distinct organization_id from session where project_id = $1 and identity_id = $2",
        project.uuid(),
        identity.uuid()
    )
    .fetch_all(connection)
    .await?;
    Ok(organizations.into_iter().map(OrganizationId::from_uuid).collect())
}

/// Somebody who has sessions that should be over.
#[derive(Debug, Clone, Copy)]
pub struct Lingering {
    pub project: ProjectId,
    pub organization: OrganizationId,
    pub identity: IdentityId,
    /// None: all of theirs, for they are suspended. Else those on the strength of what was proven before.
    pub outdated: Option<OffsetDateTime>,
}

/// People who are suspended, and who got another password a short while ago: no session of theirs is refreshed, now or later.
pub async fn lingering(connection: &mut PgConnection, limit: i64) -> Result<Vec<Lingering>, StoreError> {
    let rows = sqlx::query!(
        r#"-- cluster: a sweep serves every tenant
         (select distinct s.project_id as "project_id!", s.organization_id as "organization_id!", s.identity_id as "identity_id!",
             null::timestamptz as outdated
         from identity i join session s on s.project_id = i.project_id and s.identity_id = i.identity_id
         where i.state = 'SUSPENDED' limit $1)
         union all
         (select distinct s.project_id, s.organization_id, s.identity_id, i.sessions_from
         from identity i join session s on s.project_id = i.project_id and s.identity_id = i.identity_id
         where i.sessions_from > now() - interval '15 minutes' and (s.auth_factors -> 0 ->> 'time')::timestamptz < i.sessions_from
         limit $1)"#,
        limit
    )
    .fetch_all(connection)
    .await?;
    let lingering = rows.into_iter().map(|row| Lingering {
        project: ProjectId::from_uuid(row.project_id),
        organization: OrganizationId::from_uuid(row.organization_id),
        identity: IdentityId::from_uuid(row.identity_id),
        outdated: row.outdated,
    });
    Ok(lingering.collect())
}

/// The sessions of a person in one organization on the strength of what was proven before.
pub async fn outdated_sessions(
    connection: &mut PgConnection,
    organization: OrganizationId,
    identity: IdentityId,
    before: OffsetDateTime,
) -> Result<Vec<SessionId>, StoreError> {
    let sessions = sqlx::query_scalar!(
        "select session_id from session
         where organization_id = $1 and identity_id = $2 and (auth_factors -> 0 ->> 'time')::timestamptz < $3",
        organization.uuid(),
        identity.uuid(),
        before
    )
    .fetch_all(connection)
    .await?;
    Ok(sessions.into_iter().map(SessionId::from_uuid).collect())
}

/// Nobody changes the identity of this address until the transaction ends; others may hold it too.
pub async fn hold(connection: &mut PgConnection, pool: Tenant, address: &EmailAddress) -> Result<(), StoreError> {
    sqlx::query!(
        "select from identity where organization_id = $1 and email_address = $2 for share",
        pool.key().uuid(),
        address.as_str()
    )
    .fetch_optional(connection)
    .await?;
    Ok(())
}

/// Locks an identity against everybody who holds or changes it, and tells the moment at which none of them was left, by the database's
/// clock.
pub async fn lock(
    connection: &mut PgConnection,
    pool: Tenant,
    identity: IdentityId,
) -> Result<OffsetDateTime, StoreError> {
    sqlx::query!(
        "select from identity where organization_id = $1 and identity_id = $2 for update",
        pool.key().uuid(),
        identity.uuid()
    )
    .fetch_optional(&mut *connection)
    .await?;
    // A statement of its own: one that waits for a lock has computed its columns before.
    Ok(sqlx::query_scalar!(
        r#"-- cluster: of nobody
         select clock_timestamp() as "now!""#
    )
    .fetch_one(connection)
    .await?)
}

/// Marks an address as proven.
pub async fn set_verified(connection: &mut PgConnection, pool: Tenant, identity: &Identity) -> Result<(), StoreError> {
    sqlx::query!(
        "update identity set email_verified = true, revision = $3, update_time = $4
         where organization_id = $1 and identity_id = $2",
        pool.key().uuid(),
        identity.identity_id.uuid(),
        identity.revision,
        identity.update_time
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Which of these have proven their address.
pub async fn verified(
    connection: &mut PgConnection,
    pool: Tenant,
    identities: &[IdentityId],
) -> Result<HashSet<IdentityId>, StoreError> {
    let rows = sqlx::query_scalar!(
        "select identity_id from identity where organization_id = $1 and identity_id = any ($2) and email_verified",
        pool.key().uuid(),
        &identities.iter().map(|id| id.uuid()).collect::<Vec<_>>()
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(IdentityId::from_uuid).collect())
}

pub async fn set_password(
    connection: &mut PgConnection,
    pool: Tenant,
    identity: &Identity,
    password_hash: &str,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update identity set password_hash = $3, password_is_short = $4, sessions_from = $5, revision = $6, update_time = $7
         where organization_id = $1 and identity_id = $2",
        pool.key().uuid(),
        identity.identity_id.uuid(),
        password_hash,
        identity.password_is_short,
        identity.sessions_from,
        identity.revision,
        identity.update_time
    )
    .execute(connection)
    .await?;
    Ok(())
}
