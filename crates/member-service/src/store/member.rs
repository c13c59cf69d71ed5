//! Members.

use std::collections::HashSet;

use serde_json::Value;
use sqlx::PgConnection;
use tenancy::{
    IdentityId, MemberId, OrganizationId, OrganizationScope, ProjectId, StoreError, constraint,
    page::{self, Listed, Page},
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{from_json, json};
use crate::model::{EmailAddress, ExternalId, Member, MemberState, Name};

struct Row {
    organization_id: Uuid,
    member_id: Uuid,
    identity_id: Uuid,
    email_address: String,
    display_name: String,
    external_id: Option<String>,
    state: String,
    state_revision: i64,
    is_breakglass: bool,
    trusted_metadata: Value,
    untrusted_metadata: Value,
    last_sign_in_time: Option<OffsetDateTime>,
    revision: i64,
    create_time: OffsetDateTime,
    update_time: OffsetDateTime,
}

impl TryFrom<Row> for Member {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            member_id: MemberId::from_uuid(row.member_id),
            organization_id: OrganizationId::from_uuid(row.organization_id),
            identity_id: IdentityId::from_uuid(row.identity_id),
            email_address: EmailAddress::stored(row.email_address),
            display_name: Name::stored(row.display_name),
            external_id: row.external_id.map(ExternalId::stored),
            state: MemberState::from_word(&row.state).ok_or(StoreError::Corrupt("member.state"))?,
            state_revision: row.state_revision,
            is_breakglass: row.is_breakglass,
            trusted_metadata: from_json(row.trusted_metadata, "member.trusted_metadata")?,
            untrusted_metadata: from_json(row.untrusted_metadata, "member.untrusted_metadata")?,
            last_sign_in_time: row.last_sign_in_time,
            revision: row.revision,
            create_time: row.create_time,
            update_time: row.update_time,
        })
    }
}

/// What a write ran into.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("a member of the organization has this email address")]
    EmailTaken,
    #[error("a member of the organization has this external_id")]
    ExternalIdTaken,
    /// The identity has another address than a moment ago, when it was found by this one.
    #[error("the identity's address has changed")]
    AddressMoved,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for WriteError {
    fn from(error: sqlx::Error) -> Self {
        match constraint(&error) {
            // One identity has one address: whichever of the two is found first, the person is here already.
            Some("member_email_key" | "member_identity_key") => Self::EmailTaken,
            Some("member_external_id_key") => Self::ExternalIdTaken,
            Some("member_address_fkey") => Self::AddressMoved,
            _ => Self::Store(error.into()),
        }
    }
}

/// How one member is found.
#[derive(Debug, Clone)]
pub enum Key {
    Id(MemberId),
    Email(EmailAddress),
    ExternalId(ExternalId),
    Identity(IdentityId),
}

pub async fn find(
    connection: &mut PgConnection,
    organization: OrganizationId,
    key: &Key,
) -> Result<Option<Member>, StoreError> {
    let (email, external_id, identity) = match key {
        // Most often, and so by a statement of its own: one index to plan for and to look in.
        Key::Id(id) => return find_by_id(connection, organization, *id).await,
        Key::Email(email) => (Some(email.as_str()), None, None),
        Key::ExternalId(external_id) => (None, Some(external_id.as_str()), None),
        Key::Identity(identity) => (None, None, Some(identity.uuid())),
    };
    sqlx::query_as!(
        Row,
        "select organization_id, member_id, identity_id, email_address, display_name, external_id, state,
             state_revision, is_breakglass, trusted_metadata, untrusted_metadata, last_sign_in_time, revision, create_time,
             update_time
         from member
         where organization_id = $1 and (email_address = $2 or external_id = $3 or identity_id = $4)",
        organization.uuid(),
        email,
        external_id,
        identity
    )
    .fetch_optional(connection)
    .await?
    .map(Member::try_from)
    .transpose()
}

async fn find_by_id(
    connection: &mut PgConnection,
    organization: OrganizationId,
    member: MemberId,
) -> Result<Option<Member>, StoreError> {
    sqlx::query_as!(
        Row,
        "select organization_id, member_id, identity_id, email_address, display_name, external_id, state,
             state_revision, is_breakglass, trusted_metadata, untrusted_metadata, last_sign_in_time, revision, create_time,
             update_time
         from member
         where organization_id = $1 and member_id = $2",
        organization.uuid(),
        member.uuid()
    )
    .fetch_optional(connection)
    .await?
    .map(Member::try_from)
    .transpose()
}

/// A member who may act now: they and their organization are active, and the project is not archived.
pub async fn find_open(
    connection: &mut PgConnection,
    organization: OrganizationId,
    member: MemberId,
) -> Result<Option<Member>, StoreError> {
    sqlx::query_as!(
        Row,
        "select m.organization_id, m.member_id, m.identity_id, m.email_address, m.display_name, m.external_id, m.state,
             m.state_revision, m.is_breakglass, m.trusted_metadata, m.untrusted_metadata, m.last_sign_in_time, m.revision,
             m.create_time, m.update_time
         from member m join head h on h.organization_id = m.organization_id
         where m.organization_id = $1 and m.member_id = $2 and m.state = 'ACTIVE' and h.state = 'ACTIVE'
             and not exists (select from head p where p.organization_id = h.project_id and p.state <> 'ACTIVE')",
        organization.uuid(),
        member.uuid()
    )
    .fetch_optional(connection)
    .await?
    .map(Member::try_from)
    .transpose()
}

/// Which of these people, of those who are members here, have proven their addresses.
pub async fn proven(
    connection: &mut PgConnection,
    organization: OrganizationId,
    people: &[IdentityId],
) -> Result<HashSet<IdentityId>, StoreError> {
    let people: Vec<Uuid> = people.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query_scalar!(
        r#"select proven_members(organization_id => $1, people => $2) as "identity_id!""#,
        organization.uuid(),
        &people
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(IdentityId::from_uuid).collect())
}

/// Which members a list shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub state: Option<MemberState>,
    /// Folded as addresses are.
    pub email_prefix: String,
}

pub async fn list(
    connection: &mut PgConnection,
    organization: OrganizationId,
    filter: &Filter,
    page: &Page<MemberId>,
) -> Result<Listed<Member, MemberId>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "select organization_id, member_id, identity_id, email_address, display_name, external_id, state,
             state_revision, is_breakglass, trusted_metadata, untrusted_metadata, last_sign_in_time, revision, create_time,
             update_time
         from member
         where organization_id = $1 and member_id > $2 and ($3::text is null or state = $3) and starts_with(email_address, $4)
         order by member_id limit $5",
        organization.uuid(),
        // Every id is above the nil uuid.
        page.after.map_or(Uuid::nil(), MemberId::uuid),
        filter.state.map(MemberState::as_str),
        filter.email_prefix,
        page.size + 1
    )
    .fetch(connection);
    let (members, _) = page::gather(rows, page::MAX_BYTES, Member::try_from).await?;
    Ok(Listed::from_rows(members, page.size, |member| member.member_id))
}

/// Those whose address is under a domain, in the order of their ids.
pub async fn of_domain(
    connection: &mut PgConnection,
    organization: OrganizationId,
    domain: &str,
    after: Option<MemberId>,
    limit: i64,
) -> Result<Vec<Member>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "select organization_id, member_id, identity_id, email_address, display_name, external_id, state,
             state_revision, is_breakglass, trusted_metadata, untrusted_metadata, last_sign_in_time, revision, create_time,
             update_time
         from member
         where organization_id = $1 and split_part(email_address, '@', 2) = $2 and ($3::uuid is null or member_id > $3)
         order by member_id limit $4",
        organization.uuid(),
        domain,
        after.map(MemberId::uuid),
        limit
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Member::try_from).collect()
}

/// The members that a person is in a project, but for deleted organizations.
pub async fn memberships(
    connection: &mut PgConnection,
    project: ProjectId,
    identity: IdentityId,
    page: &Page<MemberId>,
) -> Result<Listed<Member, MemberId>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "select m.organization_id, m.member_id, m.identity_id, m.email_address, m.display_name, m.external_id,
             m.state, m.state_revision, m.is_breakglass, m.trusted_metadata, m.untrusted_metadata, m.last_sign_in_time,
             m.revision, m.create_time, m.update_time
         from member m join head h on h.organization_id = m.organization_id
         where m.project_id = $1 and m.identity_id = $2 and ($3::uuid is null or m.member_id > $3) and h.state <> 'DELETED'
         order by m.member_id limit $4",
        project.uuid(),
        identity.uuid(),
        page.after.map(MemberId::uuid),
        page.size + 1
    )
    .fetch(connection);
    let (members, _) = page::gather(rows, page::MAX_BYTES, Member::try_from).await?;
    Ok(Listed::from_rows(members, page.size, |member| member.member_id))
}

pub async fn insert(
    connection: &mut PgConnection,
    scope: OrganizationScope,
    member: &Member,
) -> Result<(), WriteError> {
    sqlx::query!(
        "insert into member (organization_id, project_id, member_id, identity_id, email_address, display_name,
             external_id, is_breakglass, trusted_metadata, untrusted_metadata, revision, create_time, update_time)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        scope.organization_id().uuid(),
        scope.project_id().uuid(),
        member.member_id.uuid(),
        member.identity_id.uuid(),
        member.email_address.as_str(),
        member.display_name.as_str(),
        member.external_id.as_ref().map(ExternalId::as_str),
        member.is_breakglass,
        json(&member.trusted_metadata)?,
        json(&member.untrusted_metadata)?,
        member.revision,
        member.create_time,
        member.update_time
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What nobody else in an organization may have.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    pub email_addresses: HashSet<String>,
    pub external_ids: HashSet<String>,
    pub identities: HashSet<IdentityId>,
}

/// Those of the keys that members have.
pub async fn taken(
    connection: &mut PgConnection,
    organization: OrganizationId,
    keys: &Keys,
) -> Result<Keys, StoreError> {
    let rows = sqlx::query!(
        "select email_address, external_id, identity_id from member
         where organization_id = $1 and (email_address = any ($2) or external_id = any ($3) or identity_id = any ($4))",
        organization.uuid(),
        &keys.email_addresses.iter().cloned().collect::<Vec<_>>(),
        &keys.external_ids.iter().cloned().collect::<Vec<_>>(),
        &keys.identities.iter().map(|id| id.uuid()).collect::<Vec<_>>()
    )
    .fetch_all(connection)
    .await?;
    let mut taken = Keys::default();
    for row in rows {
        taken.email_addresses.insert(row.email_address);
        taken.external_ids.extend(row.external_id);
        taken.identities.insert(IdentityId::from_uuid(row.identity_id));
    }
    Ok(taken)
}

/// New ones whose keys nobody has: the organization's lock is held, and was looked behind.
pub async fn insert_all(
    connection: &mut PgConnection,
    scope: OrganizationScope,
    members: &[&Member],
) -> Result<(), WriteError> {
    let Some(first) = members.first() else { return Ok(()) };
    let text = |text: fn(&Member) -> &str| members.iter().map(|m| text(m).to_owned()).collect::<Vec<_>>();
    let external_ids: Vec<Option<String>> =
        members.iter().map(|m| m.external_id.as_ref().map(|id| id.as_str().to_owned())).collect();
    let trusted: Vec<Value> = members.iter().map(|m| json(&m.trusted_metadata)).collect::<Result<_, _>>()?;
    let untrusted: Vec<Value> = members.iter().map(|m| json(&m.untrusted_metadata)).collect::<Result<_, _>>()?;
    sqlx::query!(
        "insert into member (organization_id, project_id, member_id, identity_id, email_address, display_name, external_id,
             is_breakglass, trusted_metadata, untrusted_metadata, revision, create_time, update_time)
         select $1, $2, new.id, new.identity_id, new.email_address, new.display_name, new.external_id, new.is_breakglass,
             new.trusted, new.untrusted, $11, $12, $12
         from unnest($3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::boolean[], $9::jsonb[], $10::jsonb[])
             as new (id, identity_id, email_address, display_name, external_id, is_breakglass, trusted, untrusted)",
        scope.organization_id().uuid(),
        scope.project_id().uuid(),
        &members.iter().map(|m| m.member_id.uuid()).collect::<Vec<_>>(),
        &members.iter().map(|m| m.identity_id.uuid()).collect::<Vec<_>>(),
        &text(|m| m.email_address.as_str()),
        &text(|m| m.display_name.as_str()),
        &external_ids as _,
        &members.iter().map(|m| m.is_breakglass).collect::<Vec<_>>(),
        &trusted,
        &untrusted,
        first.revision,
        first.create_time
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes everything that can change of a member.
pub async fn update(connection: &mut PgConnection, member: &Member) -> Result<(), WriteError> {
    sqlx::query!(
        "update member set display_name = $3, external_id = $4, state = $5, state_revision = $6, is_breakglass = $7,
             trusted_metadata = $8, untrusted_metadata = $9, revision = $10, update_time = $11
         where organization_id = $1 and member_id = $2",
        member.organization_id.uuid(),
        member.member_id.uuid(),
        member.display_name.as_str(),
        member.external_id.as_ref().map(ExternalId::as_str),
        member.state.as_str(),
        member.state_revision,
        member.is_breakglass,
        json(&member.trusted_metadata)?,
        json(&member.untrusted_metadata)?,
        member.revision,
        member.update_time
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Its sessions must be gone.
pub async fn delete(
    connection: &mut PgConnection,
    organization: OrganizationId,
    member: MemberId,
) -> Result<(), StoreError> {
    sqlx::query!(
        "delete from member where organization_id = $1 and member_id = $2",
        organization.uuid(),
        member.uuid()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A mark of last use: neither the etag nor the time of update moves.
pub async fn mark_sign_in(
    connection: &mut PgConnection,
    organization: OrganizationId,
    member: MemberId,
    time: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update member set last_sign_in_time = $3 where organization_id = $1 and member_id = $2",
        organization.uuid(),
        member.uuid(),
        time
    )
    .execute(connection)
    .await?;
    Ok(())
}
