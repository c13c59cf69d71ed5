//! Making an organization.

use tenancy::{Database, Once, OrganizationId, OrganizationState, Origin, ProjectScope, StoreError, Write};

use super::event;
use crate::{
    model::{
        DisplayName, Draft, LimitValues, LimitsInForce, Organization, OrganizationChange, OrganizationView, Project,
        ProjectState, Slug,
    },
    store::{
        organization,
        organization::WriteError,
        project,
        slug::{self, Claim},
    },
};

#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The caller's project is not here: its credential is older than a loss of data.
    #[error("no such project")]
    ProjectUnknown,
    #[error("the project is archived")]
    ProjectArchived,
    #[error("the project holds {used} organizations and may hold {limit}")]
    LimitReached { limit: i32, used: i64 },
    #[error("the slug is, or was, another organization's in this project")]
    SlugTaken,
    /// Of a TEAM, which nobody is the name of.
    #[error("is required for a TEAM")]
    NameMissing,
    #[error("another organization of this project has the external_id")]
    ExternalIdTaken,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<WriteError> for CreateError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ExternalIdTaken => Self::ExternalIdTaken,
            WriteError::Store(error) => Self::Store(error),
        }
    }
}

/// Makes an organization, ACTIVE, in the scope's project, whose head is locked: that makes the limit exact, and one of two
/// calls with one `request_id` the first.
pub async fn create(
    database: &Database,
    scope: ProjectScope,
    origin: &Origin,
    once: Option<&Once>,
    display_name: DisplayName,
    draft: Draft,
) -> Result<OrganizationView, CreateError> {
    let mut tx = database.write(scope, origin, once).await?;
    if let Some(first) = tx.first_answer()? {
        return Ok(first);
    }
    let project = project::find(tx.connection(), scope.project_id()).await?.ok_or(CreateError::ProjectUnknown)?;
    if project.state == ProjectState::Archived {
        return Err(CreateError::ProjectArchived);
    }
    let organization = made(&project, OrganizationId::new(), display_name, draft);
    let view = insert(&mut tx, &project, organization).await?;
    Ok(tx.commit(view).await?)
}

/// In a write of the project: the organization's row, its slug, its own chain with its first event.
pub(super) async fn insert(
    tx: &mut Write,
    project: &Project,
    organization: Organization,
) -> Result<OrganizationView, CreateError> {
    leave_room(tx, project).await?;
    let id = organization.organization_id;
    if slug::claim(tx.connection(), project.project_id, id, &organization.slug).await? != Claim::Own {
        return Err(CreateError::SlugTaken);
    }
    organization::insert(tx.connection(), &organization).await?;
    let plan = organization.plan.as_ref().and_then(|plan| project.limits.plans.get(plan)).copied();
    let limits = LimitsInForce::of(&organization.limits, &plan.unwrap_or(NO_LIMITS), &project.limits.organization);
    let change = OrganizationChange { before: None, after: Some(organization.clone()), reason: String::new() };
    tx.found(id, event("organization.created", id, &change)).await?;
    Ok(OrganizationView { organization, limits })
}

const NO_LIMITS: LimitValues = LimitValues {
    max_members: None,
    max_pending_invitations: None,
    max_custom_roles: None,
    max_service_accounts: None,
};

async fn leave_room(tx: &mut Write, project: &Project) -> Result<(), CreateError> {
    let Some(limit) = project.limits.max_organizations else { return Ok(()) };
    let used = organization::count(tx.connection(), project.project_id).await?;
    if used < i64::from(limit) { Ok(()) } else { Err(CreateError::LimitReached { limit, used }) }
}

pub(super) fn made(
    project: &Project,
    organization_id: OrganizationId,
    display_name: DisplayName,
    draft: Draft,
) -> Organization {
    let time = tenancy::event::now();
    Organization {
        organization_id,
        project_id: project.project_id,
        slug: draft.slug.unwrap_or_else(|| Slug::of(organization_id)),
        display_name,
        external_id: draft.external_id,
        kind: draft.kind,
        state: OrganizationState::Active,
        trusted_metadata: draft.trusted_metadata,
        untrusted_metadata: draft.untrusted_metadata,
        settings: draft.settings,
        branding: draft.branding,
        limits: draft.limits,
        plan: draft.plan,
        purge_time: None,
        deleted_from: None,
        revision: 1,
        create_time: time,
        update_time: time,
    }
}
