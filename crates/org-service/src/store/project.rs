//! Projects.

use sqlx::{PgConnection, types::Json};
use tenancy::{ProjectId, StoreError, page::Page};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{spelled, word};
use crate::model::{Branding, DisplayName, Project, ProjectLimits, ProjectState, RedirectUri, Settings, TokenSettings};

struct ProjectRow {
    project_id: Uuid,
    display_name: String,
    user_pool: String,
    auto_create_organization: bool,
    organization_defaults: Json<Settings>,
    token_settings: Json<TokenSettings>,
    branding: Json<Branding>,
    limits: Json<ProjectLimits>,
    redirect_uris: Vec<String>,
    state: String,
    revision: i64,
    create_time: OffsetDateTime,
    update_time: OffsetDateTime,
}

impl TryFrom<ProjectRow> for Project {
    type Error = StoreError;

    fn try_from(row: ProjectRow) -> Result<Self, StoreError> {
        Ok(Self {
            project_id: ProjectId::from_uuid(row.project_id),
            display_name: DisplayName::stored(row.display_name),
            user_pool: word(row.user_pool, "project.user_pool")?,
            auto_create_organization: row.auto_create_organization,
            organization_defaults: row.organization_defaults.0,
            token_settings: row.token_settings.0,
            branding: row.branding.0,
            limits: row.limits.0,
            redirect_uris: row.redirect_uris.into_iter().map(RedirectUri::stored).collect(),
            state: word(row.state, "project.state")?,
            revision: row.revision,
            create_time: row.create_time,
            update_time: row.update_time,
        })
    }
}

fn redirect_uris(project: &Project) -> Vec<String> {
    project.redirect_uris.iter().map(|uri| uri.as_str().to_owned()).collect()
}

pub async fn insert(connection: &mut PgConnection, project: &Project) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into project (organization_id, project_id, display_name, user_pool, auto_create_organization,
             organization_defaults, token_settings, branding, limits, redirect_uris, state, revision, create_time, update_time)
         values ($1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        project.project_id.uuid(),
        project.display_name.as_str(),
        spelled(&project.user_pool)?,
        project.auto_create_organization,
        Json(&project.organization_defaults) as _,
        Json(&project.token_settings) as _,
        Json(&project.branding) as _,
        Json(&project.limits) as _,
        &redirect_uris(project),
        spelled(&project.state)?,
        project.revision,
        project.create_time,
        project.update_time
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes every field that can change.
pub async fn update(connection: &mut PgConnection, project: &Project) -> Result<(), StoreError> {
    sqlx::query!(
        "update project set display_name = $2, auto_create_organization = $3, organization_defaults = $4, token_settings = $5,
             branding = $6, limits = $7, redirect_uris = $8, state = $9, revision = $10, update_time = $11
         where organization_id = $1",
        project.project_id.uuid(),
        project.display_name.as_str(),
        project.auto_create_organization,
        Json(&project.organization_defaults) as _,
        Json(&project.token_settings) as _,
        Json(&project.branding) as _,
        Json(&project.limits) as _,
        &redirect_uris(project),
        spelled(&project.state)?,
        project.revision,
        project.update_time
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub async fn find(connection: &mut PgConnection, project: ProjectId) -> Result<Option<Project>, StoreError> {
    sqlx::query_as!(
        ProjectRow,
        r#"select project_id, display_name, user_pool, auto_create_organization,
               organization_defaults as "organization_defaults: Json<Settings>",
               token_settings as "token_settings: Json<TokenSettings>", branding as "branding: Json<Branding>",
               limits as "limits: Json<ProjectLimits>", redirect_uris, state, revision, create_time, update_time
           from project where organization_id = $1"#,
        project.uuid()
    )
    .fetch_optional(connection)
    .await?
    .map(Project::try_from)
    .transpose()
}

/// Up to one project more than the page holds, in the order of creation.
pub async fn list(
    connection: &mut PgConnection,
    state: Option<ProjectState>,
    page: &Page<ProjectId>,
) -> Result<Vec<Project>, StoreError> {
    let state = state.map(|state| spelled(&state)).transpose()?;
    sqlx::query_as!(
        ProjectRow,
        r#"select project_id, display_name, user_pool, auto_create_organization,
               organization_defaults as "organization_defaults: Json<Settings>",
               token_settings as "token_settings: Json<TokenSettings>", branding as "branding: Json<Branding>",
               limits as "limits: Json<ProjectLimits>", redirect_uris, state, revision, create_time, update_time
           from project
           where organization_id > $1 and ($2::text is null or state = $2)
           order by organization_id
           limit $3"#,
        page.after.map_or(Uuid::nil(), ProjectId::uuid),
        state,
        page.size + 1
    )
    .fetch_all(connection)
    .await?
    .into_iter()
    .map(Project::try_from)
    .collect()
}
