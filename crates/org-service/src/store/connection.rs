//! The identity providers of organizations, and their sealed secrets.

use std::collections::BTreeMap;

use sqlx::{PgConnection, types::Json};
use tenancy::{ConnectionId, OrganizationId, ProjectId, StoreError, page::Page};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{spelled, word};
use crate::model::{
    AttributeMapping, ClientId, Connection, ConnectionKind, ConnectionName, ConnectionState, GroupName, Issuer,
    RoleReference, SamlSettings,
};

type Groups = BTreeMap<GroupName, Vec<RoleReference>>;

struct Row {
    organization_id: Uuid,
    project_id: Uuid,
    connection_id: Uuid,
    kind: String,
    display_name: String,
    issuer: String,
    client_id: Option<String>,
    has_client_secret: bool,
    saml: Option<Json<SamlSettings>>,
    attribute_mapping: Json<AttributeMapping>,
    group_role_ids: Json<Groups>,
    state: String,
    revision: i64,
    create_time: OffsetDateTime,
    update_time: OffsetDateTime,
}

impl TryFrom<Row> for Connection {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            connection_id: ConnectionId::from_uuid(row.connection_id),
            organization_id: OrganizationId::from_uuid(row.organization_id),
            is_of_project: row.organization_id == row.project_id,
            kind: word(row.kind, "connection.kind")?,
            display_name: ConnectionName::stored(row.display_name),
            issuer: Issuer::stored(row.issuer),
            client_id: row.client_id.map(ClientId::stored),
            has_client_secret: row.has_client_secret,
            saml: row.saml.map(|saml| saml.0),
            attribute_mapping: row.attribute_mapping.0,
            group_role_ids: row.group_role_ids.0,
            state: word(row.state, "connection.state")?,
            revision: row.revision,
            create_time: row.create_time,
            update_time: row.update_time,
        })
    }
}

/// The columns of [`Row`]. One text, so that every reader decodes the same; the macro needs it as a literal.
macro_rules! select {
    ($rest:literal, $($argument:expr),* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"select organization_id, project_id, connection_id, kind, display_name, issuer, client_id,
                   client_secret is not null as "has_client_secret!", saml as "saml: Json<SamlSettings>",
                   attribute_mapping as "attribute_mapping: Json<AttributeMapping>",
                   group_role_ids as "group_role_ids: Json<Groups>", state, revision, create_time, update_time
               from connection "# + $rest,
            $($argument),*
        )
    };
}

pub async fn find(
    connection: &mut PgConnection,
    organization: OrganizationId,
    id: ConnectionId,
) -> Result<Option<Connection>, StoreError> {
    select!("where organization_id = $1 and connection_id = $2", organization.uuid(), id.uuid())
        .fetch_optional(connection)
        .await?
        .map(Connection::try_from)
        .transpose()
}

/// One of a project's organizations, or of the project itself.
pub async fn of_project(
    connection: &mut PgConnection,
    project: ProjectId,
    id: ConnectionId,
) -> Result<Option<Connection>, StoreError> {
    select!("where project_id = $1 and connection_id = $2", project.uuid(), id.uuid())
        .fetch_optional(connection)
        .await?
        .map(Connection::try_from)
        .transpose()
}

/// A connection's secret, sealed, if it is still of this issuer.
pub async fn secret(
    connection: &mut PgConnection,
    organization: OrganizationId,
    id: ConnectionId,
    issuer: &Issuer,
) -> Result<Option<Vec<u8>>, StoreError> {
    let found = sqlx::query_scalar!(
        "select client_secret from connection where organization_id = $1 and connection_id = $2 and issuer = $3",
        organization.uuid(),
        id.uuid(),
        issuer.as_str()
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.flatten())
}

/// Which connections of an organization are asked for. None asks for any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    pub kind: Option<ConnectionKind>,
    pub state: Option<ConnectionState>,
}

/// Up to one connection more than the page holds, in the order of their ids, which is that of creation.
pub async fn list(
    connection: &mut PgConnection,
    organization: OrganizationId,
    filter: Filter,
    page: &Page<ConnectionId>,
) -> Result<Vec<Connection>, StoreError> {
    let rows = select!(
        "where organization_id = $1 and connection_id > $2 and ($3::text is null or kind = $3)
             and ($4::text is null or state = $4)
         order by connection_id limit $5",
        organization.uuid(),
        page.after.map_or(Uuid::nil(), ConnectionId::uuid),
        filter.kind.map(|kind| spelled(&kind)).transpose()?,
        filter.state.map(|state| spelled(&state)).transpose()?,
        page.size + 1,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Connection::try_from).collect()
}

pub async fn count(connection: &mut PgConnection, organization: OrganizationId) -> Result<i64, StoreError> {
    let row =
        sqlx::query!(r#"select count(*) as "count!" from connection where organization_id = $1"#, organization.uuid())
            .fetch_one(connection)
            .await?;
    Ok(row.count)
}

pub async fn insert(
    connection: &mut PgConnection,
    project: ProjectId,
    new: &Connection,
    sealed_secret: Option<&[u8]>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into connection (organization_id, connection_id, project_id, kind, display_name, issuer, client_id, client_secret,
             saml, attribute_mapping, group_role_ids, state, revision, create_time, update_time)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        new.organization_id.uuid(),
        new.connection_id.uuid(),
        project.uuid(),
        spelled(&new.kind)?,
        new.display_name.as_str(),
        new.issuer.as_str(),
        new.client_id.as_ref().map(ClientId::as_str),
        sealed_secret,
        new.saml.as_ref().map(Json) as _,
        Json(&new.attribute_mapping) as _,
        Json(&new.group_role_ids) as _,
        spelled(&new.state)?,
        new.revision,
        new.create_time,
        new.update_time
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes every field that can change, but for the secret.
pub async fn update(connection: &mut PgConnection, changed: &Connection) -> Result<(), StoreError> {
    sqlx::query!(
        "update connection set display_name = $3, issuer = $4, client_id = $5, saml = $6, attribute_mapping = $7,
             group_role_ids = $8, state = $9, revision = $10, update_time = $11
         where organization_id = $1 and connection_id = $2",
        changed.organization_id.uuid(),
        changed.connection_id.uuid(),
        changed.display_name.as_str(),
        changed.issuer.as_str(),
        changed.client_id.as_ref().map(ClientId::as_str),
        changed.saml.as_ref().map(Json) as _,
        Json(&changed.attribute_mapping) as _,
        Json(&changed.group_role_ids) as _,
        spelled(&changed.state)?,
        changed.revision,
        changed.update_time
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub async fn set_secret(
    connection: &mut PgConnection,
    organization: OrganizationId,
    id: ConnectionId,
    sealed: Option<&[u8]>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update connection set client_secret = $3 where organization_id = $1 and connection_id = $2",
        organization.uuid(),
        id.uuid(),
        sealed
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub async fn delete(
    connection: &mut PgConnection,
    organization: OrganizationId,
    id: ConnectionId,
) -> Result<(), StoreError> {
    sqlx::query!(
        "delete from connection where organization_id = $1 and connection_id = $2",
        organization.uuid(),
        id.uuid()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that somebody tests the connection, unless somebody did within `pause`: then false. One statement, so that of many
/// callers at once one is let through.
pub async fn note_test(
    connection: &mut PgConnection,
    organization: OrganizationId,
    id: ConnectionId,
    pause: Duration,
) -> Result<bool, StoreError> {
    let noted = sqlx::query!(
        "update connection set test_time = now()
         where organization_id = $1 and connection_id = $2
             and (test_time is null or test_time <= now() - make_interval(secs => $3))",
        organization.uuid(),
        id.uuid(),
        pause.as_seconds_f64()
    )
    .execute(connection)
    .await?;
    Ok(noted.rows_affected() > 0)
}

/// A secret as it rests.
#[derive(Debug)]
pub struct Sealed {
    pub organization: OrganizationId,
    pub id: ConnectionId,
    pub issuer: Issuer,
    pub secret: Vec<u8>,
}

/// The first secrets behind a connection, in the order of the keys, whose seals begin in another way.
pub async fn sealed_otherwise(
    connection: &mut PgConnection,
    after: (Uuid, Uuid),
    beginning: &[u8],
    limit: i64,
) -> Result<Vec<Sealed>, StoreError> {
    let rows = sqlx::query!(
        r#"-- cluster: a sealing key is everybody's
           select organization_id, connection_id, issuer, client_secret as "client_secret!" from connection
           where (organization_id, connection_id) > ($1, $2) and substring(client_secret for length($3::bytea)) <> $3
           order by organization_id, connection_id limit $4"#,
        after.0,
        after.1,
        beginning,
        limit
    )
    .fetch_all(connection)
    .await?;
    let sealed = rows.into_iter().map(|row| Sealed {
        organization: OrganizationId::from_uuid(row.organization_id),
        id: ConnectionId::from_uuid(row.connection_id),
        issuer: Issuer::stored(row.issuer),
        secret: row.client_secret,
    });
    Ok(sealed.collect())
}

/// Puts the same secret in its new seal, unless somebody has set another one meanwhile.
pub async fn reseal(connection: &mut PgConnection, of: (Uuid, Uuid), old: &[u8], new: &[u8]) -> Result<(), StoreError> {
    sqlx::query!(
        "update connection set client_secret = $4
         where organization_id = $1 and connection_id = $2 and client_secret = $3",
        of.0,
        of.1,
        old,
        new
    )
    .execute(connection)
    .await?;
    Ok(())
}
