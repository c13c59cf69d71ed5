use sqlx::PgConnection;
use tenancy::{GroupId, OrganizationId, ProjectId, StoreError, page::Page};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::model::{GroupMembership, Subject};

struct Row {
    organization_id: Uuid,
    group_id: Uuid,
    subject_kind: String,
    subject_id: Uuid,
    membership_id: Uuid,
    create_time: OffsetDateTime,
    revision: i64,
}

impl TryFrom<Row> for GroupMembership {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let subject = Subject::from_columns(&row.subject_kind, row.subject_id);
        Ok(Self {
            organization_id: OrganizationId::from_uuid(row.organization_id),
            group_id: GroupId::from_uuid(row.group_id),
            subject: subject.ok_or(StoreError::Corrupt("subject kind"))?,
            membership_id: row.membership_id,
            create_time: row.create_time,
            revision: row.revision,
        })
    }
}

fn columns(subjects: &[Subject]) -> (Vec<String>, Vec<Uuid>) {
    subjects.iter().map(Subject::columns).map(|(kind, id)| (kind.to_owned(), id)).unzip()
}

/// Who is in any group, by group and subject: up to one more than asked for.
pub async fn list_all(
    connection: &mut PgConnection,
    organization: OrganizationId,
    page: &Page<(GroupId, Subject)>,
) -> Result<Vec<GroupMembership>, StoreError> {
    let (group, subject) = page.after.unzip();
    let (kind, id) = subject.as_ref().map(Subject::columns).unzip();
    sqlx::query_as!(
        Row,
        r#"select organization_id, group_id, subject_kind as "subject_kind: String", subject_id, membership_id, create_time,
               revision
           from group_member
           where organization_id = $1 and ($2::uuid is null or (group_id, subject_kind, subject_id) > ($2, $3::text, $4::uuid))
           order by group_id, subject_kind, subject_id limit $5"#,
        organization.uuid(),
        group.map(GroupId::uuid),
        kind,
        id,
        page.size + 1
    )
    .fetch_all(connection)
    .await?
    .into_iter()
    .map(GroupMembership::try_from)
    .collect()
}

/// Who is directly in the group, oldest first: up to one more than asked for.
pub async fn list(
    connection: &mut PgConnection,
    organization: OrganizationId,
    group: GroupId,
    page: &Page<Uuid>,
) -> Result<Vec<GroupMembership>, StoreError> {
    sqlx::query_as!(
        Row,
        r#"select organization_id, group_id, subject_kind as "subject_kind: String", subject_id, membership_id, create_time,
               revision
           from group_member
           where organization_id = $1 and group_id = $2 and ($3::uuid is null or membership_id > $3)
           order by membership_id limit $4"#,
        organization.uuid(),
        group.uuid(),
        page.after,
        page.size + 1
    )
    .fetch_all(connection)
    .await?
    .into_iter()
    .map(GroupMembership::try_from)
    .collect()
}

/// Puts the subjects in. Those that were in already stay as they are; only the new ones come back.
pub async fn insert(
    connection: &mut PgConnection,
    project: ProjectId,
    organization: OrganizationId,
    group: GroupId,
    subjects: &[Subject],
    time: OffsetDateTime,
    revision: i64,
) -> Result<Vec<GroupMembership>, StoreError> {
    let (kinds, ids) = columns(subjects);
    let memberships: Vec<Uuid> = subjects.iter().map(|_| Uuid::now_v7()).collect();
    sqlx::query_as!(
        Row,
        r#"insert into group_member (organization_id, project_id, group_id, subject_kind, subject_id, membership_id,
               create_time, revision)
           select $1, $2, $3, new.kind, new.id, new.membership_id, $7, $8
           from unnest($4::text[], $5::uuid[], $6::uuid[]) as new (kind, id, membership_id)
           on conflict do nothing
           returning organization_id, group_id, subject_kind as "subject_kind: String", subject_id, membership_id,
               create_time, revision"#,
        organization.uuid(),
        project.uuid(),
        group.uuid(),
        &kinds,
        &ids,
        &memberships,
        time,
        revision
    )
    .fetch_all(connection)
    .await?
    .into_iter()
    .map(GroupMembership::try_from)
    .collect()
}

/// Takes the subjects out of one group. Those that were in come back.
pub async fn delete(
    connection: &mut PgConnection,
    organization: OrganizationId,
    group: GroupId,
    subjects: &[Subject],
) -> Result<Vec<GroupMembership>, StoreError> {
    let (kinds, ids) = columns(subjects);
    sqlx::query_as!(
        Row,
        r#"delete from group_member
           where organization_id = $1 and group_id = $2
               and (subject_kind, subject_id) in (select * from unnest($3::text[], $4::uuid[]))
           returning organization_id, group_id, subject_kind as "subject_kind: String", subject_id, membership_id,
               create_time, revision"#,
        organization.uuid(),
        group.uuid(),
        &kinds,
        &ids
    )
    .fetch_all(connection)
    .await?
    .into_iter()
    .map(GroupMembership::try_from)
    .collect()
}

/// Takes one subject out of every group.
pub async fn delete_everywhere(
    connection: &mut PgConnection,
    organization: OrganizationId,
    subject: Subject,
) -> Result<Vec<GroupMembership>, StoreError> {
    let (kind, id) = subject.columns();
    sqlx::query_as!(
        Row,
        r#"delete from group_member where organization_id = $1 and subject_kind = $2::text and subject_id = $3
           returning organization_id, group_id, subject_kind as "subject_kind: String", subject_id, membership_id,
               create_time, revision"#,
        organization.uuid(),
        kind,
        id
    )
    .fetch_all(connection)
    .await?
    .into_iter()
    .map(GroupMembership::try_from)
    .collect()
}
