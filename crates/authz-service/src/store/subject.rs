use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;
use tenancy::{OrganizationId, ProjectId, StoreError};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::model::{Standing, Subject, SubjectStatus};

struct Row {
    organization_id: Uuid,
    subject_kind: String,
    subject_id: Uuid,
    status: String,
    member_revision: i64,
    create_time: OffsetDateTime,
    update_time: OffsetDateTime,
    revision: i64,
}

impl TryFrom<Row> for Standing {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let subject = Subject::from_columns(&row.subject_kind, row.subject_id);
        Ok(Self {
            organization_id: OrganizationId::from_uuid(row.organization_id),
            subject: subject.ok_or(StoreError::Corrupt("subject kind"))?,
            status: SubjectStatus::parse(&row.status).ok_or(StoreError::Corrupt("subject status"))?,
            member_revision: row.member_revision,
            create_time: row.create_time,
            update_time: row.update_time,
            revision: row.revision,
        })
    }
}

/// What was told of a subject. None: nothing yet. Such a one is denied nothing for it, and makes no owner.
pub async fn find(
    connection: &mut PgConnection,
    organization: OrganizationId,
    subject: Subject,
) -> Result<Option<Standing>, StoreError> {
    let (kind, id) = subject.columns();
    sqlx::query_as!(
        Row,
        r#"select organization_id, subject_kind as "subject_kind: String", subject_id, status, member_revision, create_time,
               update_time, revision
           from subject_state where organization_id = $1 and subject_kind = $2::text and subject_id = $3"#,
        organization.uuid(),
        kind,
        id
    )
    .fetch_optional(connection)
    .await?
    .map(Standing::try_from)
    .transpose()
}

fn columns(subjects: &[Subject]) -> (Vec<String>, Vec<Uuid>) {
    subjects.iter().map(Subject::columns).map(|(kind, id)| (kind.to_owned(), id)).unzip()
}

/// Whether one of the subjects was told of as active, and not as something else since.
pub async fn any_active(
    connection: &mut PgConnection,
    organization: OrganizationId,
    subjects: &[Subject],
) -> Result<bool, StoreError> {
    let (kinds, ids) = columns(subjects);
    let active = sqlx::query_scalar!(
        r#"select exists (
               select from subject_state
               where organization_id = $1 and status = 'ACTIVE'
                   and (subject_kind, subject_id) in (select * from unnest($2::text[], $3::uuid[]))
           ) as "active!""#,
        organization.uuid(),
        &kinds,
        &ids
    )
    .fetch_one(connection)
    .await?;
    Ok(active)
}

/// Whether one of the subjects was never told of: neither by its state nor by roles, which a member is given before it is one.
pub async fn any_unknown(
    connection: &mut PgConnection,
    organization: OrganizationId,
    subjects: &[Subject],
) -> Result<bool, StoreError> {
    let (kinds, ids) = columns(subjects);
    let unknown = sqlx::query_scalar!(
        r#"select exists (
               select from unnest($2::text[], $3::uuid[]) as asked (kind, id)
               where not exists (
                   select from subject_state as s
                   where s.organization_id = $1 and s.subject_kind = asked.kind and s.subject_id = asked.id
               ) and not exists (
                   select from binding as b
                   where b.organization_id = $1 and b.subject_kind = asked.kind and b.subject_id = asked.id
               )
           ) as "unknown!""#,
        organization.uuid(),
        &kinds,
        &ids
    )
    .fetch_one(connection)
    .await?;
    Ok(unknown)
}

/// Whether one of the subjects was removed for good.
pub async fn any_removed(
    connection: &mut PgConnection,
    organization: OrganizationId,
    subjects: &[Subject],
) -> Result<bool, StoreError> {
    let (kinds, ids) = columns(subjects);
    let removed = sqlx::query_scalar!(
        r#"select exists (
               select from subject_state
               where organization_id = $1 and status = 'REMOVED'
                   and (subject_kind, subject_id) in (select * from unnest($2::text[], $3::uuid[]))
           ) as "removed!""#,
        organization.uuid(),
        &kinds,
        &ids
    )
    .fetch_one(connection)
    .await?;
    Ok(removed)
}

pub async fn put(connection: &mut PgConnection, project: ProjectId, standing: &Standing) -> Result<(), StoreError> {
    let (kind, id) = standing.subject.columns();
    sqlx::query!(
        "insert into subject_state (organization_id, project_id, subject_kind, subject_id, status, member_revision, create_time,
             update_time, revision)
         values ($1, $2, $3::text, $4, $5, $6, $7, $8, $9)
         on conflict (organization_id, subject_kind, subject_id) do update
         set status = excluded.status, member_revision = excluded.member_revision, update_time = excluded.update_time,
             revision = excluded.revision",
        standing.organization_id.uuid(),
        project.uuid(),
        kind,
        id,
        standing.status.as_str(),
        standing.member_revision,
        standing.create_time,
        standing.update_time,
        standing.revision
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What is known of a subject.
#[derive(Debug, Clone)]
pub struct Presence {
    pub subject: Subject,
    /// As member-service told. None: nothing yet.
    pub standing: Option<Standing>,
    /// Whether it was given something already: a member is before it is one.
    pub is_bound: bool,
}

/// What is known of each of the subjects.
pub async fn presence(
    connection: &mut PgConnection,
    organization: OrganizationId,
    subjects: &[Subject],
) -> Result<Vec<Presence>, StoreError> {
    let (kinds, ids) = columns(subjects);
    let standings = sqlx::query_as!(
        Row,
        r#"select organization_id, subject_kind as "subject_kind: String", subject_id, status, member_revision, create_time,
               update_time, revision
           from subject_state
           where organization_id = $1 and (subject_kind, subject_id) in (select * from unnest($2::text[], $3::uuid[]))"#,
        organization.uuid(),
        &kinds,
        &ids
    )
    .fetch_all(&mut *connection)
    .await?
    .into_iter()
    .map(Standing::try_from)
    .collect::<Result<Vec<_>, _>>()?;
    let told: HashMap<Subject, Standing> = standings.into_iter().map(|standing| (standing.subject, standing)).collect();
    let untold: Vec<Subject> = subjects.iter().filter(|subject| !told.contains_key(subject)).copied().collect();
    let bound = if untold.is_empty() { HashSet::new() } else { bound(connection, organization, &untold).await? };
    let of = |subject: &Subject| Presence {
        subject: *subject,
        standing: told.get(subject).cloned(),
        is_bound: bound.contains(subject),
    };
    Ok(subjects.iter().map(of).collect())
}

async fn bound(
    connection: &mut PgConnection,
    organization: OrganizationId,
    subjects: &[Subject],
) -> Result<HashSet<Subject>, StoreError> {
    let (kinds, ids) = columns(subjects);
    let rows = sqlx::query!(
        r#"select asked.kind as "kind!", asked.id as "id!" from unnest($2::text[], $3::uuid[]) as asked (kind, id)
           where exists (
               select from binding as b
               where b.organization_id = $1 and b.subject_kind = asked.kind and b.subject_id = asked.id
           )"#,
        organization.uuid(),
        &kinds,
        &ids
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().filter_map(|row| Subject::from_columns(&row.kind, row.id)).collect())
}
