//! What the other services ask of organizations and projects.

use sqlx::{PgConnection, types::Json};
use tenancy::{OrganizationId, OrganizationState, ProjectId, StoreError};
use uuid::Uuid;

use super::word;
use crate::model::{
    Branding, BrandingInForce, InForce, Kind, LimitValues, LimitsInForce, Metadata, Settings, SettingsInForce, UserPool,
};

/// An organization as the other services see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub organization_id: OrganizationId,
    pub project_id: ProjectId,
    pub slug: String,
    pub state: OrganizationState,
    pub kind: Kind,
    pub user_pool: UserPool,
    pub display_name: String,
    /// At which `state` last changed.
    pub state_revision: i64,
    pub in_force: InForce,
    pub trusted_metadata: Metadata,
}

struct Row {
    organization_id: Uuid,
    project_id: Uuid,
    slug: String,
    state: String,
    kind: String,
    user_pool: String,
    display_name: String,
    state_revision: i64,
    settings: Json<Settings>,
    branding: Json<Branding>,
    limits: Json<LimitValues>,
    plan_limits: Option<Json<LimitValues>>,
    project_settings: Json<Settings>,
    refresh_token_lifetime_seconds: Option<i64>,
    project_branding: Json<Branding>,
    project_limits: Option<Json<LimitValues>>,
    trusted_metadata: Json<Metadata>,
}

impl TryFrom<Row> for Entry {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let inherited = |values: Option<Json<LimitValues>>| values.map(|v| v.0).unwrap_or_default();
        Ok(Self {
            organization_id: OrganizationId::from_uuid(row.organization_id),
            project_id: ProjectId::from_uuid(row.project_id),
            slug: row.slug,
            state: OrganizationState::parse(&row.state)?,
            kind: word(row.kind, "organization.kind")?,
            user_pool: word(row.user_pool, "project.user_pool")?,
            display_name: row.display_name,
            state_revision: row.state_revision,
            in_force: InForce {
                settings: SettingsInForce::of(
                    &row.settings.0,
                    &row.project_settings.0,
                    row.refresh_token_lifetime_seconds,
                ),
                branding: BrandingInForce::of(&row.branding.0, &row.project_branding.0),
                limits: LimitsInForce::of(&row.limits.0, &inherited(row.plan_limits), &inherited(row.project_limits)),
            },
            trusted_metadata: row.trusted_metadata.0,
        })
    }
}

/// The columns of [`Row`], of organization `o`, its project `p` and its head `h`; `$from` is what finds it. One text, as in
/// `organization`.
macro_rules! select {
    ($from:literal, $($argument:expr),* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"select o.organization_id, o.project_id, o.slug, o.state, o.kind, p.user_pool, o.display_name, h.state_revision,
                   o.settings as "settings: Json<Settings>", o.branding as "branding: Json<Branding>",
                   o.limits as "limits: Json<LimitValues>", p.limits -> 'plans' -> o.plan as "plan_limits: Json<LimitValues>",
                   p.organization_defaults as "project_settings: Json<Settings>",
                   (p.token_settings ->> 'refresh_token_lifetime_seconds')::bigint as refresh_token_lifetime_seconds,
                   p.branding as "project_branding: Json<Branding>",
                   p.limits -> 'organization' as "project_limits: Json<LimitValues>",
                   o.trusted_metadata as "trusted_metadata: Json<Metadata>"
               from organization o join project p on p.organization_id = o.project_id
                   join head h on h.organization_id = o.organization_id "#
                + $from,
            $($argument),*
        )
    };
}

pub async fn organization(connection: &mut PgConnection, id: OrganizationId) -> Result<Option<Entry>, StoreError> {
    select!("where o.organization_id = $1", id.uuid())
        .fetch_optional(connection)
        .await?
        .map(Entry::try_from)
        .transpose()
}

/// Those of a project that are there.
pub async fn organizations(
    connection: &mut PgConnection,
    project: ProjectId,
    ids: &[OrganizationId],
) -> Result<Vec<Entry>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    select!("where o.project_id = $1 and o.organization_id = any ($2)", project.uuid(), &ids)
        .fetch_all(connection)
        .await?
        .into_iter()
        .map(Entry::try_from)
        .collect()
}

/// By the slug of now: a former one finds nothing.
pub async fn organization_by_slug(
    connection: &mut PgConnection,
    project: ProjectId,
    slug: &str,
) -> Result<Option<Entry>, StoreError> {
    select!(
        "join used_slug u on u.organization_id = o.organization_id and u.slug = o.slug where u.project_id = $1 and u.slug = $2",
        project.uuid(),
        slug,
    )
    .fetch_optional(connection)
    .await?
    .map(Entry::try_from)
    .transpose()
}
