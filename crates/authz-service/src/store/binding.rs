use sqlx::PgConnection;
use tenancy::{BindingId, OrganizationId, ProjectId, RoleId, StoreError, page::Page};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::model::{Binding, Effect, Resource, RoleSource, Subject, Window};

struct Row {
    organization_id: Uuid,
    binding_id: Uuid,
    subject_kind: String,
    subject_id: Uuid,
    role_id: Uuid,
    resource_type: Option<String>,
    resource_id: Option<String>,
    effect: String,
    condition: Option<String>,
    not_before: Option<OffsetDateTime>,
    expire_time: Option<OffsetDateTime>,
    source: String,
    create_time: OffsetDateTime,
    update_time: OffsetDateTime,
    revision: i64,
}

impl TryFrom<Row> for Binding {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let subject = Subject::from_columns(&row.subject_kind, row.subject_id);
        Ok(Self {
            binding_id: BindingId::from_uuid(row.binding_id),
            organization_id: OrganizationId::from_uuid(row.organization_id),
            subject: subject.ok_or(StoreError::Corrupt("subject kind"))?,
            role_id: RoleId::from_uuid(row.role_id),
            resource: Resource::from_columns(row.resource_type, row.resource_id),
            effect: Effect::read(&row.effect),
            condition: row.condition,
            window: Window { not_before: row.not_before, expire_time: row.expire_time },
            source: RoleSource::read(&row.source),
            create_time: row.create_time,
            update_time: row.update_time,
            revision: row.revision,
        })
    }
}

fn bindings(rows: Vec<Row>) -> Result<Vec<Binding>, StoreError> {
    rows.into_iter().map(Binding::try_from).collect()
}

pub async fn find(
    connection: &mut PgConnection,
    organization: OrganizationId,
    ids: &[BindingId],
) -> Result<Vec<Binding>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"select organization_id, binding_id, subject_kind as "subject_kind: String", subject_id, role_id, resource_type,
               resource_id, effect, condition, not_before, expire_time, source, create_time, update_time, revision
           from binding where organization_id = $1 and binding_id = any ($2)"#,
        organization.uuid(),
        &ids
    )
    .fetch_all(connection)
    .await?;
    bindings(rows)
}

/// Which bindings a list asks for. None asks for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BindingFilter {
    pub subject: Option<Subject>,
    pub role: Option<RoleId>,
    pub resource: Option<Resource>,
}

/// One page, oldest first: up to one binding more than asked for.
pub async fn list(
    connection: &mut PgConnection,
    organization: OrganizationId,
    filter: &BindingFilter,
    page: &Page<BindingId>,
) -> Result<Vec<Binding>, StoreError> {
    let (kind, subject) = filter.subject.as_ref().map(Subject::columns).unzip();
    let rows = sqlx::query_as!(
        Row,
        r#"select organization_id, binding_id, subject_kind as "subject_kind: String", subject_id, role_id, resource_type,
               resource_id, effect, condition, not_before, expire_time, source, create_time, update_time, revision
           from binding
           where organization_id = $1
               and ($2::uuid is null or binding_id > $2)
               and ($3::text is null or (subject_kind = $3 and subject_id = $4))
               and ($5::uuid is null or role_id = $5)
               and ($6::text is null or (resource_type = $6 and resource_id = $7))
           order by binding_id limit $8"#,
        organization.uuid(),
        page.after.map(BindingId::uuid),
        kind,
        subject,
        filter.role.map(RoleId::uuid),
        filter.resource.as_ref().map(|r| r.type_name.as_str()),
        filter.resource.as_ref().map(|r| r.id.as_str()),
        page.size + 1
    )
    .fetch_all(connection)
    .await?;
    bindings(rows)
}

/// All bindings of one subject, and of nothing that it is in.
pub async fn of_subject(
    connection: &mut PgConnection,
    organization: OrganizationId,
    subject: Subject,
) -> Result<Vec<Binding>, StoreError> {
    let (kind, id) = subject.columns();
    let rows = sqlx::query_as!(
        Row,
        r#"select organization_id, binding_id, subject_kind as "subject_kind: String", subject_id, role_id, resource_type,
               resource_id, effect, condition, not_before, expire_time, source, create_time, update_time, revision
           from binding where organization_id = $1 and subject_kind = $2::text and subject_id = $3"#,
        organization.uuid(),
        kind,
        id
    )
    .fetch_all(connection)
    .await?;
    bindings(rows)
}

/// All bindings of these subjects, and of nothing that they are in.
pub async fn of_subjects(
    connection: &mut PgConnection,
    organization: OrganizationId,
    subjects: &[Subject],
) -> Result<Vec<Binding>, StoreError> {
    let (kinds, ids): (Vec<String>, Vec<Uuid>) =
        subjects.iter().map(Subject::columns).map(|(kind, id)| (kind.to_owned(), id)).unzip();
    let rows = sqlx::query_as!(
        Row,
        r#"select organization_id, binding_id, subject_kind as "subject_kind: String", subject_id, role_id, resource_type,
               resource_id, effect, condition, not_before, expire_time, source, create_time, update_time, revision
           from binding
           where organization_id = $1 and (subject_kind, subject_id) in (select * from unnest($2::text[], $3::uuid[]))"#,
        organization.uuid(),
        &kinds,
        &ids
    )
    .fetch_all(connection)
    .await?;
    bindings(rows)
}

/// All bindings at exactly these resources.
pub async fn at_resources(
    connection: &mut PgConnection,
    organization: OrganizationId,
    resources: &[Resource],
) -> Result<Vec<Binding>, StoreError> {
    let (types, ids) = super::resource::columns(resources);
    let rows = sqlx::query_as!(
        Row,
        r#"select organization_id, binding_id, subject_kind as "subject_kind: String", subject_id, role_id, resource_type,
               resource_id, effect, condition, not_before, expire_time, source, create_time, update_time, revision
           from binding
           where organization_id = $1 and (resource_type, resource_id) in (select * from unnest($2::text[], $3::text[]))"#,
        organization.uuid(),
        &types,
        &ids
    )
    .fetch_all(connection)
    .await?;
    bindings(rows)
}

pub async fn insert(connection: &mut PgConnection, project: ProjectId, bindings: &[Binding]) -> Result<(), StoreError> {
    for binding in bindings {
        let (kind, subject) = binding.subject.columns();
        sqlx::query!(
            "insert into binding (organization_id, project_id, binding_id, subject_kind, subject_id, role_id, resource_type,
                 resource_id, effect, condition, not_before, expire_time, source, create_time, update_time, revision)
             values ($1, $2, $3, $4::text, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
            binding.organization_id.uuid(),
            project.uuid(),
            binding.binding_id.uuid(),
            kind,
            subject,
            binding.role_id.uuid(),
            binding.resource.as_ref().map(|r| r.type_name.as_str()),
            binding.resource.as_ref().map(|r| r.id.as_str()),
            binding.effect.as_str(),
            binding.condition.as_deref(),
            binding.window.not_before,
            binding.window.expire_time,
            binding.source.as_str(),
            binding.create_time,
            binding.update_time,
            binding.revision
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Writes what an update may change: the condition and the window.
pub async fn update(
    connection: &mut PgConnection,
    organization: OrganizationId,
    binding: &Binding,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update binding set condition = $3, not_before = $4, expire_time = $5, update_time = $6, revision = $7
         where organization_id = $1 and binding_id = $2",
        organization.uuid(),
        binding.binding_id.uuid(),
        binding.condition.as_deref(),
        binding.window.not_before,
        binding.window.expire_time,
        binding.update_time,
        binding.revision
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub async fn delete(
    connection: &mut PgConnection,
    organization: OrganizationId,
    ids: &[BindingId],
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    sqlx::query!("delete from binding where organization_id = $1 and binding_id = any ($2)", organization.uuid(), &ids)
        .execute(connection)
        .await?;
    Ok(())
}
