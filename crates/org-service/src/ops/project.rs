//! The operator's work on projects.

use tenancy::{
    Change, ClusterScope, Database, NewEvent, Once, Origin, ProjectId, ProjectScope, StoreError,
    page::{Listed, Page},
};

use crate::{
    model::{Branding, DisplayName, Project, ProjectLimits, ProjectState, Settings, TokenSettings, UserPool},
    store::project,
};

/// What the operator writes of a new project.
#[derive(Debug, Clone)]
pub struct Draft {
    pub display_name: DisplayName,
    pub user_pool: UserPool,
    pub auto_create_organization: bool,
    pub organization_defaults: Settings,
    pub token_settings: TokenSettings,
    pub branding: Branding,
    pub limits: ProjectLimits,
}

pub async fn create(
    database: &Database,
    scope: ClusterScope,
    origin: &Origin,
    once: Option<&Once>,
    draft: Draft,
) -> Result<Project, StoreError> {
    let mut tx = database.write(scope, origin, once).await?;
    if let Some(first) = tx.first_answer()? {
        return Ok(first);
    }
    let time = tenancy::event::now();
    let project = Project {
        project_id: ProjectId::new(),
        display_name: draft.display_name,
        user_pool: draft.user_pool,
        auto_create_organization: draft.auto_create_organization,
        organization_defaults: draft.organization_defaults,
        token_settings: draft.token_settings,
        branding: draft.branding,
        limits: draft.limits,
        state: ProjectState::Active,
        revision: 1,
        create_time: time,
        update_time: time,
    };
    project::insert(tx.connection(), &project).await?;
    let subjects = vec![project.project_id.to_string()];
    let event = NewEvent::new("project.created", subjects, &Change::created(&project));
    tx.found_project(project.project_id, event).await?;
    tx.commit(project).await
}

pub async fn get(database: &Database, scope: ProjectScope) -> Result<Option<Project>, StoreError> {
    let mut read = database.read(scope).await?;
    let found = project::find(read.connection(), scope.project_id()).await?;
    read.finish().await?;
    Ok(found)
}

pub async fn list(
    database: &Database,
    scope: ClusterScope,
    state: Option<ProjectState>,
    page: &Page<ProjectId>,
) -> Result<Listed<Project, ProjectId>, StoreError> {
    let mut read = database.read(scope).await?;
    let rows = project::list(read.connection(), state, page).await?;
    read.finish().await?;
    Ok(Listed::from_rows(rows, page.size, |project| project.project_id))
}
