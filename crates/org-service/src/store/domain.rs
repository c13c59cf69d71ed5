//! The domains that organizations claim.

use sqlx::PgConnection;
use tenancy::{DomainId, OrganizationId, ProjectId, StoreError, constraint, page::Page};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{spelled, word};
use crate::model::{AskedName, Domain, DomainName, DomainPurpose, DomainState, RecordValue, Watched};

/// Why a row could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("the organization claims the name for this purpose already")]
    Claimed,
    #[error("another organization of the project has proven that the name is its own")]
    Taken,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for WriteError {
    fn from(error: sqlx::Error) -> Self {
        match constraint(&error) {
            Some("domain_claim_key") => Self::Claimed,
            Some("domain_verified_key") => Self::Taken,
            _ => Self::Store(error.into()),
        }
    }
}

struct Row {
    organization_id: Uuid,
    domain_id: Uuid,
    name: String,
    purpose: String,
    state: String,
    record_value: String,
    verify_time: Option<OffsetDateTime>,
    revision: i64,
    create_time: OffsetDateTime,
    update_time: OffsetDateTime,
    misses: i32,
    next_look_time: Option<OffsetDateTime>,
}

impl TryFrom<Row> for Watched {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let domain = Domain {
            domain_id: DomainId::from_uuid(row.domain_id),
            organization_id: OrganizationId::from_uuid(row.organization_id),
            name: DomainName::stored(row.name),
            purpose: word(row.purpose, "domain.purpose")?,
            state: word(row.state, "domain.state")?,
            record_value: RecordValue::stored(row.record_value),
            verify_time: row.verify_time,
            revision: row.revision,
            create_time: row.create_time,
            update_time: row.update_time,
        };
        Ok(Self { domain, misses: row.misses, next_look_time: row.next_look_time })
    }
}

/// The columns of [`Row`]. One text, so that every reader decodes the same; the macro needs it as a literal.
macro_rules! select {
    ($rest:literal, $($argument:expr),* $(,)?) => {
        sqlx::query_as!(
            Row,
            "select organization_id, domain_id, name, purpose, state, record_value, verify_time, revision, create_time,
                 update_time, misses, next_look_time
             from domain " + $rest,
            $($argument),*
        )
    };
}

pub async fn find(
    connection: &mut PgConnection,
    organization: OrganizationId,
    domain: DomainId,
) -> Result<Option<Watched>, StoreError> {
    select!("where organization_id = $1 and domain_id = $2", organization.uuid(), domain.uuid())
        .fetch_optional(connection)
        .await?
        .map(Watched::try_from)
        .transpose()
}

/// As [`find`]; nobody else changes the row until the transaction ends.
pub async fn find_to_change(
    connection: &mut PgConnection,
    organization: OrganizationId,
    domain: DomainId,
) -> Result<Option<Watched>, StoreError> {
    select!("where organization_id = $1 and domain_id = $2 for update", organization.uuid(), domain.uuid())
        .fetch_optional(connection)
        .await?
        .map(Watched::try_from)
        .transpose()
}

/// Which domains of an organization are asked for. None asks for any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    pub purpose: Option<DomainPurpose>,
    pub state: Option<DomainState>,
}

/// Up to one domain more than the page holds, in the order of their ids, which is that of creation.
pub async fn list(
    connection: &mut PgConnection,
    organization: OrganizationId,
    filter: Filter,
    page: &Page<DomainId>,
) -> Result<Vec<Domain>, StoreError> {
    let rows = select!(
        "where organization_id = $1 and domain_id > $2 and ($3::text is null or purpose = $3)
             and ($4::text is null or state = $4)
         order by domain_id limit $5",
        organization.uuid(),
        page.after.map_or(Uuid::nil(), DomainId::uuid),
        filter.purpose.map(|purpose| spelled(&purpose)).transpose()?,
        filter.state.map(|state| spelled(&state)).transpose()?,
        page.size + 1,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| Ok(Watched::try_from(row)?.domain)).collect()
}

pub async fn count(connection: &mut PgConnection, organization: OrganizationId) -> Result<i64, StoreError> {
    let row =
        sqlx::query!(r#"select count(*) as "count!" from domain where organization_id = $1"#, organization.uuid())
            .fetch_one(connection)
            .await?;
    Ok(row.count)
}

pub async fn insert(connection: &mut PgConnection, project: ProjectId, watched: &Watched) -> Result<(), WriteError> {
    let domain = &watched.domain;
    sqlx::query!(
        "insert into domain (organization_id, domain_id, project_id, name, purpose, state, record_value, verify_time, revision,
             create_time, update_time, misses, next_look_time)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        domain.organization_id.uuid(),
        domain.domain_id.uuid(),
        project.uuid(),
        domain.name.as_str(),
        spelled(&domain.purpose)?,
        spelled(&domain.state)?,
        domain.record_value.as_str(),
        domain.verify_time,
        domain.revision,
        domain.create_time,
        domain.update_time,
        watched.misses,
        watched.next_look_time
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes every field that can change.
pub async fn update(connection: &mut PgConnection, watched: &Watched) -> Result<(), WriteError> {
    let domain = &watched.domain;
    sqlx::query!(
        "update domain set state = $3, verify_time = $4, revision = $5, update_time = $6, misses = $7, next_look_time = $8
         where organization_id = $1 and domain_id = $2",
        domain.organization_id.uuid(),
        domain.domain_id.uuid(),
        spelled(&domain.state)?,
        domain.verify_time,
        domain.revision,
        domain.update_time,
        watched.misses,
        watched.next_look_time
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub async fn delete(
    connection: &mut PgConnection,
    organization: OrganizationId,
    domain: DomainId,
) -> Result<(), StoreError> {
    sqlx::query!(
        "delete from domain where organization_id = $1 and domain_id = $2",
        organization.uuid(),
        domain.uuid()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that somebody asks for a look, unless somebody did within `pause`: then false. One statement, so that of many callers at
/// once one is let through.
pub async fn ask(
    connection: &mut PgConnection,
    organization: OrganizationId,
    domain: DomainId,
    pause: Duration,
) -> Result<bool, StoreError> {
    let noted = sqlx::query!(
        "update domain set asked_time = now()
         where organization_id = $1 and domain_id = $2
             and (asked_time is null or asked_time <= now() - make_interval(secs => $3))",
        organization.uuid(),
        domain.uuid(),
        pause.as_seconds_f64()
    )
    .execute(connection)
    .await?;
    Ok(noted.rows_affected() > 0)
}

/// A look that has fallen due.
#[derive(Debug)]
pub struct Due {
    pub project: ProjectId,
    pub organization: OrganizationId,
    pub domain: DomainId,
    pub is_looked_at: bool,
}

/// Takes looks that have fallen due on loan: they fall due again unless their outcome is noted meanwhile. Other replicas pass them
/// over. Of an organization that is suspended or deleted too: what it has proven keeps others from the name, and is in force again when it comes back. In an
/// archived project, for which nothing brings anything back, nobody looks.
pub async fn take_due(connection: &mut PgConnection, limit: i64) -> Result<Vec<Due>, StoreError> {
    let rows = sqlx::query!(
        r#"-- cluster: the looks serve every tenant
         update domain as d
         set next_look_time = case when due.state = 'ACTIVE' then now() + interval '2 minutes' end
         from (select l.organization_id, l.domain_id, p.state
               from domain l join project p on p.organization_id = l.project_id
               where l.next_look_time <= now()
               order by l.next_look_time limit $1 for update of l skip locked) as due
         where d.organization_id = due.organization_id and d.domain_id = due.domain_id
         returning d.project_id, d.organization_id, d.domain_id, d.next_look_time is not null as "is_looked_at!""#,
        limit
    )
    .fetch_all(connection)
    .await?;
    let due = rows.into_iter().map(|row| Due {
        project: ProjectId::from_uuid(row.project_id),
        organization: OrganizationId::from_uuid(row.organization_id),
        domain: DomainId::from_uuid(row.domain_id),
        is_looked_at: row.is_looked_at,
    });
    Ok(due.collect())
}

/// When the next look falls due, if any does.
pub async fn next_due(connection: &mut PgConnection) -> Result<Option<Duration>, StoreError> {
    let next = sqlx::query_scalar!(
        "-- cluster: the looks serve every tenant
         select min(next_look_time) from domain where next_look_time is not null"
    )
    .fetch_one(connection)
    .await?;
    Ok(next.map(|time| time - OffsetDateTime::now_utc()))
}

/// Whose a name is in a project: the organization that has proven it.
pub async fn owner(
    connection: &mut PgConnection,
    project: ProjectId,
    name: &AskedName,
    purpose: DomainPurpose,
) -> Result<Option<OrganizationId>, StoreError> {
    let owner = sqlx::query_scalar!(
        "select organization_id from domain where project_id = $1 and name = $2 and purpose = $3 and state = 'VERIFIED'",
        project.uuid(),
        name.as_str(),
        spelled(&purpose)?
    )
    .fetch_optional(connection)
    .await?;
    Ok(owner.map(OrganizationId::from_uuid))
}

/// Whose a host name is in whatever project that is not archived; none where organizations of two have it.
pub async fn host_owner_anywhere(
    connection: &mut PgConnection,
    name: &AskedName,
) -> Result<Option<OrganizationId>, StoreError> {
    let owners = sqlx::query_scalar!(
        "-- cluster: which project is meant is what the name is to tell
         select d.organization_id from domain d join project p on p.organization_id = d.project_id
         where d.name = $1 and d.purpose = 'HOST' and d.state = 'VERIFIED' and p.state = 'ACTIVE' limit 2",
        name.as_str()
    )
    .fetch_all(connection)
    .await?;
    match owners[..] {
        [owner] => Ok(Some(OrganizationId::from_uuid(owner))),
        _ => Ok(None),
    }
}

/// Whose a slug is now in a project.
pub async fn slug_owner(
    connection: &mut PgConnection,
    project: ProjectId,
    slug: &str,
) -> Result<Option<OrganizationId>, StoreError> {
    let owner = sqlx::query_scalar!(
        "select o.organization_id from used_slug u join organization o
             on o.organization_id = u.organization_id and o.slug = u.slug
         where u.project_id = $1 and u.slug = $2",
        project.uuid(),
        slug
    )
    .fetch_optional(connection)
    .await?;
    Ok(owner.map(OrganizationId::from_uuid))
}

/// Whose a slug is in whatever project; none where it is or was anybody else's: an old link must not lead to a stranger.
pub async fn slug_owner_anywhere(
    connection: &mut PgConnection,
    slug: &str,
) -> Result<Option<OrganizationId>, StoreError> {
    let holders = sqlx::query_scalar!(
        r#"-- cluster: which project is meant is what the name is to tell
         select case when o.slug = u.slug then u.organization_id end as "now?"
         from used_slug u left join organization o on o.organization_id = u.organization_id
         where u.slug = $1 limit 2"#,
        slug
    )
    .fetch_all(connection)
    .await?;
    match holders[..] {
        [holder] => Ok(holder.map(OrganizationId::from_uuid)),
        _ => Ok(None),
    }
}
