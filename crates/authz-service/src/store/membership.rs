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

fn columns<'a>(subjects: impl IntoIterator<Item = &'a Subject>) -> (Vec<String>, Vec<Uuid>) {
    subjects.into_iter().map(Subject::columns).map(|(kind, id)| (kind.to_owned(), id)).unzip()
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

/// Those of the memberships that there are.
pub async fn find(
    connection: &mut PgConnection,
    organization: OrganizationId,
    places: &[(GroupId, Subject)],
) -> Result<Vec<GroupMembership>, StoreError> {
    let groups: Vec<Uuid> = places.iter().map(|(group, _)| group.uuid()).collect();
    let (kinds, ids) = columns(places.iter().map(|(_, subject)| subject));
    sqlx::query_as!(
        Row,
        r#"select organization_id, group_id, subject_kind as "subject_kind: String", subject_id, membership_id, create_time,
               revision
           from group_member
           where organization_id = $1
               and (group_id, subject_kind, subject_id) in (select * from unnest($2::uuid[], $3::text[], $4::uuid[]))"#,
        organization.uuid(),
        &groups,
        &kinds,
        &ids
    )
    .fetch_all(connection)
    .await?
    .into_iter()
    .map(GroupMembership::try_from)
    .collect()
}

/// Where the subjects are in directly.
pub async fn of_subjects(
    connection: &mut PgConnection,
    organization: OrganizationId,
    subjects: &[Subject],
) -> Result<Vec<GroupMembership>, StoreError> {
    let (kinds, ids) = columns(subjects);
    sqlx::query_as!(
        Row,
        r#"select organization_id, group_id, subject_kind as "subject_kind: String", subject_id, membership_id, create_time,
               revision
           from group_member
           where organization_id = $1 and (subject_kind, subject_id) in (select * from unnest($2::text[], $3::uuid[]))"#,
        organization.uuid(),
        &kinds,
        &ids
    )
    .fetch_all(connection)
    .await?
    .into_iter()
    .map(GroupMembership::try_from)
    .collect()
}

pub async fn insert(
    connection: &mut PgConnection,
    project: ProjectId,
    memberships: &[GroupMembership],
) -> Result<(), StoreError> {
    let Some(first) = memberships.first() else { return Ok(()) };
    let (kinds, ids) = columns(memberships.iter().map(|membership| &membership.subject));
    sqlx::query!(
        "insert into group_member (organization_id, project_id, group_id, subject_kind, subject_id, membership_id,
             create_time, revision)
         select $1, $2, new.group_id, new.kind, new.id, new.membership_id, $7, $8
         from unnest($3::uuid[], $4::text[], $5::uuid[], $6::uuid[]) as new (group_id, kind, id, membership_id)",
        first.organization_id.uuid(),
        project.uuid(),
        &memberships.iter().map(|membership| membership.group_id.uuid()).collect::<Vec<_>>(),
        &kinds,
        &ids,
        &memberships.iter().map(|membership| membership.membership_id).collect::<Vec<_>>(),
        first.create_time,
        first.revision
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub async fn delete(
    connection: &mut PgConnection,
    organization: OrganizationId,
    memberships: &[GroupMembership],
) -> Result<(), StoreError> {
    let groups: Vec<Uuid> = memberships.iter().map(|membership| membership.group_id.uuid()).collect();
    let (kinds, ids) = columns(memberships.iter().map(|membership| &membership.subject));
    sqlx::query!(
        "delete from group_member
         where organization_id = $1
             and (group_id, subject_kind, subject_id) in (select * from unnest($2::uuid[], $3::text[], $4::uuid[]))",
        organization.uuid(),
        &groups,
        &kinds,
        &ids
    )
    .execute(connection)
    .await?;
    Ok(())
}
