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

/// What a binding is looked for by.
#[derive(Debug, Clone)]
pub struct Alike {
    pub subject: Subject,
    pub role: RoleId,
    pub resource: Option<Resource>,
    pub effect: Effect,
}

/// The numbers of those for which there is a binding of just that subject, role, resource and effect.
pub async fn alike(
    connection: &mut PgConnection,
    organization: OrganizationId,
    asked: &[(usize, Alike)],
) -> Result<Vec<usize>, StoreError> {
    let column = |read: &dyn Fn(&Alike) -> String| -> Vec<String> { asked.iter().map(|(_, one)| read(one)).collect() };
    // No type is empty: an empty one stands for the organization.
    let types = column(&|one| one.resource.as_ref().map(|r| r.type_name.clone()).unwrap_or_default());
    let ids = column(&|one| one.resource.as_ref().map(|r| r.id.clone()).unwrap_or_default());
    let numbers: Vec<i64> = asked.iter().filter_map(|(number, _)| i64::try_from(*number).ok()).collect();
    let rows = sqlx::query_scalar!(
        r#"select asked.number as "number!"
           from unnest($2::bigint[], $3::text[], $4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::text[])
               as asked (number, kind, subject, role, type, id, effect)
           where exists (
               select from binding as b
               where b.organization_id = $1 and b.subject_kind = asked.kind and b.subject_id = asked.subject
                   and b.role_id = asked.role and b.effect = asked.effect
                   and coalesce(b.resource_type, '') = asked.type and coalesce(b.resource_id, '') = asked.id
           )"#,
        organization.uuid(),
        &numbers,
        &column(&|one| one.subject.columns().0.to_owned()),
        &asked.iter().map(|(_, one)| one.subject.columns().1).collect::<Vec<Uuid>>(),
        &asked.iter().map(|(_, one)| one.role.uuid()).collect::<Vec<Uuid>>(),
        &types,
        &ids,
        &column(&|one| one.effect.as_str().to_owned())
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().filter_map(|number| usize::try_from(number).ok()).collect())
}

/// All of them in one statement.
pub async fn insert(connection: &mut PgConnection, project: ProjectId, bindings: &[Binding]) -> Result<(), StoreError> {
    let Some(first) = bindings.first() else { return Ok(()) };
    let (kinds, subjects): (Vec<String>, Vec<Uuid>) =
        bindings.iter().map(|b| b.subject.columns()).map(|(kind, id)| (kind.to_owned(), id)).unzip();
    let (types, ids): (Vec<Option<String>>, Vec<Option<String>>) =
        bindings.iter().map(|b| b.resource.clone().map(|r| (r.type_name, r.id)).unzip()).unzip();
    let (begins, ends): (Vec<Option<OffsetDateTime>>, Vec<Option<OffsetDateTime>>) =
        bindings.iter().map(|b| (b.window.not_before, b.window.expire_time)).unzip();
    sqlx::query!(
        "insert into binding (organization_id, project_id, binding_id, subject_kind, subject_id, role_id, resource_type,
             resource_id, effect, not_before, expire_time, source, condition, create_time, update_time, revision)
         select $1, $2, new.binding_id, new.kind, new.subject_id, new.role_id, new.type, new.id, new.effect, new.not_before,
             new.expire_time, new.source, new.condition, $14, $14, $15
         from unnest($3::uuid[], $4::text[], $5::uuid[], $6::uuid[], $7::text[], $8::text[], $9::text[], $10::timestamptz[],
             $11::timestamptz[], $12::text[], $13::text[])
             as new (binding_id, kind, subject_id, role_id, type, id, effect, not_before, expire_time, source, condition)",
        first.organization_id.uuid(),
        project.uuid(),
        &bindings.iter().map(|b| b.binding_id.uuid()).collect::<Vec<_>>(),
        &kinds,
        &subjects,
        &bindings.iter().map(|b| b.role_id.uuid()).collect::<Vec<_>>(),
        &types as &[Option<String>],
        &ids as &[Option<String>],
        &bindings.iter().map(|b| b.effect.as_str().to_owned()).collect::<Vec<_>>(),
        &begins as &[Option<OffsetDateTime>],
        &ends as &[Option<OffsetDateTime>],
        &bindings.iter().map(|b| b.source.as_str().to_owned()).collect::<Vec<_>>(),
        &bindings.iter().map(|b| b.condition.clone()).collect::<Vec<_>>() as &[Option<String>],
        first.create_time,
        first.revision
    )
    .execute(connection)
    .await?;
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
