//! Organizations. Each is read together with what it inherits from its project.

use sqlx::{PgConnection, types::Json};
use tenancy::{
    OrganizationId, OrganizationState, ProjectId, StoreError, constraint,
    page::{self, Page},
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{spelled, word};
use crate::model::{
    Branding, DisplayName, ExternalId, Kind, LimitValues, LimitsInForce, Metadata, Organization, OrganizationView,
    Plan, ProjectState, Settings, Slug, fold,
};

/// Why a row could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("another organization of the project has this external_id")]
    ExternalIdTaken,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for WriteError {
    fn from(error: sqlx::Error) -> Self {
        match constraint(&error) {
            Some("organization_external_id_key") => Self::ExternalIdTaken,
            _ => Self::Store(error.into()),
        }
    }
}

/// An organization with what decides about it.
#[derive(Debug)]
pub struct Found {
    pub view: OrganizationView,
    pub project_state: ProjectState,
}

struct Row {
    organization_id: Uuid,
    project_id: Uuid,
    slug: String,
    display_name: String,
    external_id: Option<String>,
    kind: String,
    state: String,
    trusted_metadata: Json<Metadata>,
    untrusted_metadata: Json<Metadata>,
    settings: Json<Settings>,
    branding: Json<Branding>,
    limits: Json<LimitValues>,
    plan: Option<String>,
    purge_time: Option<OffsetDateTime>,
    deleted_from: Option<String>,
    revision: i64,
    create_time: OffsetDateTime,
    update_time: OffsetDateTime,
    project_state: String,
    plan_limits: Option<Json<LimitValues>>,
    project_limits: Option<Json<LimitValues>>,
}

impl TryFrom<Row> for Found {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let inherited = |values: Option<Json<LimitValues>>| values.map(|v| v.0).unwrap_or_default();
        let limits = LimitsInForce::of(&row.limits.0, &inherited(row.plan_limits), &inherited(row.project_limits));
        let organization = Organization {
            organization_id: OrganizationId::from_uuid(row.organization_id),
            project_id: ProjectId::from_uuid(row.project_id),
            slug: Slug::stored(row.slug),
            display_name: DisplayName::stored(row.display_name),
            external_id: row.external_id.map(ExternalId::stored),
            kind: word(row.kind, "organization.kind")?,
            state: OrganizationState::parse(&row.state)?,
            trusted_metadata: row.trusted_metadata.0,
            untrusted_metadata: row.untrusted_metadata.0,
            settings: row.settings.0,
            branding: row.branding.0,
            limits: row.limits.0,
            plan: row.plan.map(Plan::stored),
            purge_time: row.purge_time,
            deleted_from: row.deleted_from.as_deref().map(OrganizationState::parse).transpose()?,
            revision: row.revision,
            create_time: row.create_time,
            update_time: row.update_time,
        };
        Ok(Self {
            view: OrganizationView { organization, limits },
            project_state: word(row.project_state, "project.state")?,
        })
    }
}

/// The columns of [`Row`], of organization `o` and its project `p`. One text, so that every reader decodes the same; the macro
/// needs it as a literal.
macro_rules! select {
    ($rest:literal, $($argument:expr),* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"select o.organization_id, o.project_id, o.slug, o.display_name, o.external_id, o.kind, o.state,
                   o.trusted_metadata as "trusted_metadata: Json<Metadata>",
                   o.untrusted_metadata as "untrusted_metadata: Json<Metadata>", o.settings as "settings: Json<Settings>",
                   o.branding as "branding: Json<Branding>", o.limits as "limits: Json<LimitValues>", o.plan, o.purge_time, o.deleted_from,
                   o.revision, o.create_time, o.update_time, p.state as project_state,
                   p.limits -> 'plans' -> o.plan as "plan_limits: Json<LimitValues>",
                   p.limits -> 'organization' as "project_limits: Json<LimitValues>"
               from organization o join project p on p.organization_id = o.project_id "#
                + $rest,
            $($argument),*
        )
    };
}

pub async fn find(connection: &mut PgConnection, organization: OrganizationId) -> Result<Option<Found>, StoreError> {
    select!("where o.organization_id = $1", organization.uuid())
        .fetch_optional(connection)
        .await?
        .map(Found::try_from)
        .transpose()
}

/// By the slug of now: a former one finds nothing.
pub async fn find_by_slug(
    connection: &mut PgConnection,
    project: ProjectId,
    slug: &str,
) -> Result<Option<Found>, StoreError> {
    select!(
        "join used_slug u on u.organization_id = o.organization_id and u.slug = o.slug where u.project_id = $1 and u.slug = $2",
        project.uuid(),
        slug,
    )
    .fetch_optional(connection)
    .await?
    .map(Found::try_from)
    .transpose()
}

pub async fn find_by_external_id(
    connection: &mut PgConnection,
    project: ProjectId,
    external_id: &str,
) -> Result<Option<Found>, StoreError> {
    select!("where o.project_id = $1 and o.external_id = $2", project.uuid(), external_id)
        .fetch_optional(connection)
        .await?
        .map(Found::try_from)
        .transpose()
}

/// Which organizations of a project are asked for. None asks for any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Not empty.
    pub states: Vec<OrganizationState>,
    pub kind: Option<Kind>,
    /// `Some(None)`: those on no plan.
    pub plan: Option<Option<Plan>>,
    pub display_name_prefix: Option<String>,
}

/// The place behind one organization in a list.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Cursor {
    /// In a list by names only.
    folded_name: Option<String>,
    organization_id: OrganizationId,
}

impl Cursor {
    pub fn behind(organization: &Organization, filter: &Filter) -> Self {
        let by_name = filter.display_name_prefix.is_some();
        Self {
            folded_name: by_name.then(|| fold(organization.display_name.as_str())),
            organization_id: organization.organization_id,
        }
    }
}

/// Up to one organization more than the page holds, or than fits: in the order of creation or, with a prefix, of the folded names. Each order has
/// an index that a page is read from in one range, whatever the page's place in the list.
pub async fn list(
    connection: &mut PgConnection,
    project: ProjectId,
    filter: &Filter,
    page: &Page<Cursor>,
) -> Result<Vec<OrganizationView>, StoreError> {
    let states: Vec<String> = filter.states.iter().map(|state| state.as_str().to_owned()).collect();
    let kind = filter.kind.map(|kind| spelled(&kind)).transpose()?;
    let plan = filter.plan.as_ref().and_then(Option::as_ref).map(Plan::as_str);
    // Every id is above the nil uuid.
    let after = page.after.as_ref().map_or(Uuid::nil(), |cursor| cursor.organization_id.uuid());
    let view = |row| Found::try_from(row).map(|found| found.view);
    let (views, _) = match filter.display_name_prefix.as_deref().map(fold) {
        None => {
            let rows = select!(
                "where o.project_id = $1 and o.organization_id > $2 and o.state = any ($3)
                     and ($4::text is null or o.kind = $4) and (not $5 or o.plan is not distinct from $6)
                 order by o.organization_id
                 limit $7",
                project.uuid(),
                after,
                &states,
                kind,
                filter.plan.is_some(),
                plan,
                page.size + 1,
            );
            page::gather(rows.fetch(connection), page::MAX_BYTES, view).await?
        }
        Some(prefix) => {
            // Byte by byte, whatever begins with the prefix is below the prefix with the highest character behind it.
            let beyond = format!("{prefix}{}", char::MAX);
            let from = page.after.as_ref().and_then(|cursor| cursor.folded_name.clone()).unwrap_or(prefix);
            let rows = select!(
                "where o.project_id = $1 and (o.folded_name, o.organization_id) > ($2, $3) and o.folded_name < $4
                     and o.state = any ($5) and ($6::text is null or o.kind = $6)
                     and (not $7 or o.plan is not distinct from $8)
                 order by o.folded_name, o.organization_id
                 limit $9",
                project.uuid(),
                from,
                after,
                beyond,
                &states,
                kind,
                filter.plan.is_some(),
                plan,
                page.size + 1,
            );
            page::gather(rows.fetch(connection), page::MAX_BYTES, view).await?
        }
    };
    Ok(views)
}

/// Several of a project's organizations, and whether these are all: no more of them are read than `most` bytes. Those that are not there
/// are left out.
pub async fn find_several(
    connection: &mut PgConnection,
    project: ProjectId,
    organizations: &[OrganizationId],
    most: usize,
) -> Result<(Vec<OrganizationView>, bool), StoreError> {
    let ids: Vec<Uuid> = organizations.iter().map(|id| id.uuid()).collect();
    let rows = select!("where o.project_id = $1 and o.organization_id = any ($2)", project.uuid(), &ids);
    page::gather(rows.fetch(connection), most, |row| Found::try_from(row).map(|found| found.view)).await
}

/// The deleted organizations whose grace is over, longest over first, up to `limit`.
pub async fn due_for_purge(
    connection: &mut PgConnection,
    limit: i64,
) -> Result<Vec<(ProjectId, OrganizationId)>, StoreError> {
    let rows = sqlx::query!(
        "-- cluster: serves every tenant
         select project_id, organization_id from organization where purge_time <= now() order by purge_time limit $1",
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .iter()
        .map(|row| (ProjectId::from_uuid(row.project_id), OrganizationId::from_uuid(row.organization_id)))
        .collect())
}

/// How many organizations a project has, those awaiting their purge included.
pub async fn count(connection: &mut PgConnection, project: ProjectId) -> Result<i64, StoreError> {
    let row = sqlx::query!(r#"select count(*) as "count!" from organization where project_id = $1"#, project.uuid())
        .fetch_one(connection)
        .await?;
    Ok(row.count)
}

pub async fn insert(connection: &mut PgConnection, organization: &Organization) -> Result<(), WriteError> {
    sqlx::query!(
        "insert into organization (organization_id, project_id, slug, display_name, folded_name, external_id, kind, state,
             trusted_metadata, untrusted_metadata, settings, branding, limits, plan, purge_time, deleted_from, revision, create_time, update_time)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
        organization.organization_id.uuid(),
        organization.project_id.uuid(),
        organization.slug.as_str(),
        organization.display_name.as_str(),
        fold(organization.display_name.as_str()),
        organization.external_id.as_ref().map(ExternalId::as_str),
        spelled(&organization.kind)?,
        organization.state.as_str(),
        Json(&organization.trusted_metadata) as _,
        Json(&organization.untrusted_metadata) as _,
        Json(&organization.settings) as _,
        Json(&organization.branding) as _,
        Json(&organization.limits) as _,
        organization.plan.as_ref().map(Plan::as_str),
        organization.purge_time,
        organization.deleted_from.map(OrganizationState::as_str),
        organization.revision,
        organization.create_time,
        organization.update_time
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes every field that can change.
pub async fn update(connection: &mut PgConnection, organization: &Organization) -> Result<(), WriteError> {
    sqlx::query!(
        "update organization set slug = $2, display_name = $3, folded_name = $4, external_id = $5, kind = $6, state = $7,
             trusted_metadata = $8, untrusted_metadata = $9, settings = $10, branding = $11, limits = $12, plan = $13,
             purge_time = $14, deleted_from = $15, revision = $16, update_time = $17
         where organization_id = $1",
        organization.organization_id.uuid(),
        organization.slug.as_str(),
        organization.display_name.as_str(),
        fold(organization.display_name.as_str()),
        organization.external_id.as_ref().map(ExternalId::as_str),
        spelled(&organization.kind)?,
        organization.state.as_str(),
        Json(&organization.trusted_metadata) as _,
        Json(&organization.untrusted_metadata) as _,
        Json(&organization.settings) as _,
        Json(&organization.branding) as _,
        Json(&organization.limits) as _,
        organization.plan.as_ref().map(Plan::as_str),
        organization.purge_time,
        organization.deleted_from.map(OrganizationState::as_str),
        organization.revision,
        organization.update_time
    )
    .execute(connection)
    .await?;
    Ok(())
}
