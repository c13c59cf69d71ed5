//! The operator's work on projects.

use access::Granted;
use tenancy::{
    ClusterScope, Database, NewEvent, Once, OrganizationState, Origin, ProjectId, ProjectScope, StoreError,
    mask::{Mask, etag_matches},
    page::{Listed, Page},
};

use crate::{
    model::{DisplayName, Project, ProjectChange, ProjectDraft, ProjectState, Reason},
    remote::Others,
    store::project,
};

pub async fn create(
    database: &Database,
    scope: ClusterScope,
    origin: &Origin,
    once: Option<&Once>,
    display_name: DisplayName,
    draft: ProjectDraft,
) -> Result<Project, StoreError> {
    let mut tx = database.write(scope, origin, once).await?;
    if let Some(first) = tx.first_answer()? {
        return Ok(first);
    }
    let time = tenancy::event::now();
    let project = Project {
        project_id: ProjectId::new(),
        display_name,
        user_pool: draft.user_pool,
        auto_create_organization: draft.auto_create_organization,
        organization_defaults: draft.organization_defaults,
        token_settings: draft.token_settings,
        branding: draft.branding,
        limits: draft.limits,
        redirect_uris: draft.redirect_uris,
        state: ProjectState::Active,
        revision: 1,
        create_time: time,
        update_time: time,
    };
    project::insert(tx.connection(), &project).await?;
    let subjects = vec![project.project_id.to_string()];
    let change = ProjectChange { before: None, after: Some(project.clone()), reason: String::new() };
    let event = NewEvent::new("project.created", subjects, &change);
    tx.found_project(project.project_id, event).await?;
    tx.commit(project).await
}

pub async fn get(database: &Database, scope: ProjectScope) -> Result<Option<Project>, StoreError> {
    let mut read = database.read(scope).await?;
    let found = project::find(read.connection(), scope.project_id()).await?;
    read.finish();
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
    read.finish();
    Ok(Listed::from_rows(rows, page.size, |project| project.project_id))
}

#[derive(Debug, Clone)]
pub struct Update {
    pub draft: ProjectDraft,
    /// Which of the draft's fields count.
    pub mask: Mask,
    /// Empty: any.
    pub etag: String,
}

#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    #[error("no such project")]
    Unknown,
    #[error("the project is archived")]
    Archived,
    #[error("the project changed since the etag was read")]
    EtagMismatch,
    /// Of the values after the update; each by itself was fine.
    #[error("must not be longer than session_lifetime")]
    IdleTimeoutTooLong,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What organizations inherit changes with the commit: they hold no copy. An update that changes nothing has no event and leaves
/// the etag as it is.
pub async fn update(
    database: &Database,
    scope: ProjectScope,
    origin: &Origin,
    once: Option<&Once>,
    update: Update,
) -> Result<Project, UpdateError> {
    let mut tx = database.write(scope, origin, once).await?;
    if let Some(first) = tx.first_answer()? {
        return Ok(first);
    }
    let before = project::find(tx.connection(), scope.project_id()).await?.ok_or(UpdateError::Unknown)?;
    if before.state == ProjectState::Archived {
        return Err(UpdateError::Archived);
    }
    if !etag_matches(&update.etag, before.revision) {
        return Err(UpdateError::EtagMismatch);
    }
    let mut after = before.with(update.draft, |path| update.mask.has(path));
    if !after.organization_defaults.idle_timeout_fits() {
        return Err(UpdateError::IdleTimeoutTooLong);
    }
    if after == before {
        return Ok(tx.commit(before).await?);
    }
    after.revision = tx.revision();
    after.update_time = tenancy::event::now();
    project::update(tx.connection(), &after).await?;
    let change = ProjectChange { before: Some(before), after: Some(after.clone()), reason: String::new() };
    tx.append(NewEvent::new("project.updated", vec![after.project_id.to_string()], &change));
    Ok(tx.commit(after).await?)
}

#[derive(Debug, Clone)]
pub struct Archive {
    pub project: ProjectId,
    /// Empty: any.
    pub etag: String,
    pub reason: Reason,
}

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("no such project")]
    Unknown,
    #[error("the project changed since the etag was read")]
    EtagMismatch,
    #[error("the change is made, and another service does not know of it yet")]
    NotKnownYet,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes a project out of use, for good. What says so everywhere is the project's own head, in the way that an organization's says
/// whether it is suspended: one write here, and the other services learn of it by a call right after, and by the feed should the call
/// be lost; it is acknowledged once they know. An archived project is left as it is, and they are told again.
pub async fn archive(
    database: &Database,
    others: &Others,
    granted: &Granted<ClusterScope>,
    once: Option<&Once>,
    archive: Archive,
) -> Result<Project, ArchiveError> {
    let id = archive.project;
    let (project, revision) = write_archived(database, granted, once, archive).await?;
    let own = granted.in_organization(id, id.into()).scope;
    match others.tell_state(&granted.caller, &granted.call, own, OrganizationState::Suspended, revision).await {
        true => Ok(project),
        false => {
            granted.call.asked_in_vain();
            Err(ArchiveError::NotKnownYet)
        }
    }
}

/// With the revision that archived it.
async fn write_archived(
    database: &Database,
    granted: &Granted<ClusterScope>,
    once: Option<&Once>,
    archive: Archive,
) -> Result<(Project, i64), ArchiveError> {
    let id = archive.project;
    let mut tx = database.write(granted.in_project(id).scope, &granted.origin(), once).await?;
    let revision = tx.head().state_revision;
    if let Some(first) = tx.first_answer()? {
        return Ok((first, revision));
    }
    let before = project::find(tx.connection(), id).await?.ok_or(ArchiveError::Unknown)?;
    if !etag_matches(&archive.etag, before.revision) {
        return Err(ArchiveError::EtagMismatch);
    }
    if before.state == ProjectState::Archived {
        return Ok((tx.commit(before).await?, revision));
    }
    let revision = tx.revision();
    let after =
        Project { state: ProjectState::Archived, revision, update_time: tenancy::event::now(), ..before.clone() };
    project::update(tx.connection(), &after).await?;
    tx.set_state(OrganizationState::Suspended, revision).await?;
    let change = ProjectChange { before: Some(before), after: Some(after.clone()), reason: archive.reason.into() };
    tx.append(NewEvent::new("project.archived", vec![id.to_string()], &change));
    let after = tx.commit(after).await?;
    runtime::kill_point("archive-project/committed");
    Ok((after, revision))
}
