//! Making the organization of somebody who signs up. Its id is chosen by member-service before it is there, so that asking again after a
//! lost answer makes no second one.

use tenancy::{Database, Head, OrganizationId, OrganizationState, Origin, ProjectScope};

use super::create::{CreateError, insert, made};
use crate::{
    model::{DisplayName, Draft, Kind, ProjectState, Slug},
    store::{directory, directory::Entry, project},
};

/// What the person says of it.
#[derive(Debug)]
pub struct Foundation {
    pub organization: OrganizationId,
    /// None: as the project's setting says.
    pub kind: Option<Kind>,
    pub slug: Option<Slug>,
    /// Must be there for a TEAM.
    pub display_name: Option<DisplayName>,
    /// What a PERSONAL organization is called that has no name of its own.
    pub person_name: DisplayName,
}

/// None where another project's organization has the id, or one that is deleted or was purged: what its project did away with is not made
/// again by whoever has begun to sign up with it.
pub async fn found(
    database: &Database,
    scope: ProjectScope,
    origin: &Origin,
    foundation: Foundation,
) -> Result<Option<Entry>, CreateError> {
    let mut tx = database.write(scope, origin, None).await?;
    let project = project::find(tx.connection(), scope.project_id()).await?.ok_or(CreateError::ProjectUnknown)?;
    if let Some(entry) = directory::organization(tx.connection(), foundation.organization).await? {
        let is_there = entry.project_id == scope.project_id() && entry.state != OrganizationState::Deleted;
        return Ok(is_there.then_some(entry));
    }
    // Its head is what a purge leaves of an organization.
    if Head::find(tx.connection(), foundation.organization).await?.is_some() {
        return Ok(None);
    }
    if project.state == ProjectState::Archived {
        return Err(CreateError::ProjectArchived);
    }
    let automatic = if project.auto_create_organization { Kind::Personal } else { Kind::Team };
    let kind = foundation.kind.unwrap_or(automatic);
    let display_name = match (kind, foundation.display_name) {
        (_, Some(name)) => name,
        (Kind::Personal, None) => foundation.person_name,
        (Kind::Team, None) => return Err(CreateError::NameMissing),
    };
    let draft = Draft { kind, slug: foundation.slug, ..Draft::default() };
    insert(&mut tx, &project, made(&project, foundation.organization, display_name, draft)).await?;
    let entry = directory::organization(tx.connection(), foundation.organization).await?;
    tx.commit(()).await?;
    runtime::kill_point("found-organization/committed");
    Ok(entry)
}
