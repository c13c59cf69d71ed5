//! Changing the fields of an organization.

use tenancy::{
    Database, Once, OrganizationScope, OrganizationState, Origin, StoreError,
    mask::{Mask, etag_matches},
};

use super::event;
use crate::{
    model::{Draft, Kind, OrganizationChange, OrganizationView, ProjectState},
    store::{
        organization,
        organization::WriteError,
        slug::{self, Claim},
    },
};

#[derive(Debug, Clone)]
pub struct Update {
    pub draft: Draft,
    /// Which of the draft's fields count.
    pub mask: Mask,
    /// Empty: any.
    pub etag: String,
}

#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    #[error("no such organization")]
    Unknown,
    #[error("the project is archived")]
    ProjectArchived,
    #[error("the organization changed since the etag was read")]
    EtagMismatch,
    #[error("a TEAM never becomes PERSONAL")]
    KindIsFinal,
    /// Of the values in force after the update; each by itself was fine.
    #[error("must not be longer than session_lifetime")]
    IdleTimeoutTooLong,
    #[error("the slug is, or was, another organization's in this project")]
    SlugTaken,
    #[error("the organization has had as many slugs as it may, {most}")]
    TooManySlugs { most: i64 },
    #[error("another organization of this project has the external_id")]
    ExternalIdTaken,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<WriteError> for UpdateError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ExternalIdTaken => Self::ExternalIdTaken,
            WriteError::Store(error) => Self::Store(error),
        }
    }
}

/// An update that changes nothing has no event and leaves the etag as it is.
pub async fn update(
    database: &Database,
    scope: OrganizationScope,
    origin: &Origin,
    once: Option<&Once>,
    update: Update,
) -> Result<OrganizationView, UpdateError> {
    let mut tx = database.write(scope, origin, once).await?;
    if let Some(first) = tx.first_answer()? {
        return Ok(first);
    }
    let id = scope.organization_id();
    let found = organization::find(tx.connection(), id).await?.ok_or(UpdateError::Unknown)?;
    if found.project_state == ProjectState::Archived {
        return Err(UpdateError::ProjectArchived);
    }
    let before = found.view.organization.clone();
    // It may have been deleted while this waited for its turn.
    if before.state == OrganizationState::Deleted {
        return Err(UpdateError::Unknown);
    }
    if !etag_matches(&update.etag, before.revision) {
        return Err(UpdateError::EtagMismatch);
    }
    let mut after = before.with(update.draft, |path| update.mask.has(path));
    if (before.kind, after.kind) == (Kind::Team, Kind::Personal) {
        return Err(UpdateError::KindIsFinal);
    }
    if !after.settings.idle_timeout_fits() {
        return Err(UpdateError::IdleTimeoutTooLong);
    }
    if after == before {
        return Ok(tx.commit(found.view).await?);
    }
    if after.slug != before.slug {
        match slug::claim(tx.connection(), scope.project_id(), id, &after.slug).await? {
            Claim::Own => {}
            Claim::Taken => return Err(UpdateError::SlugTaken),
            Claim::TooMany => return Err(UpdateError::TooManySlugs { most: slug::MOST }),
        }
    }
    after.revision = tx.revision();
    after.update_time = tenancy::event::now();
    organization::update(tx.connection(), &after).await?;
    // Read back, for the limits of a new plan.
    let view = organization::find(tx.connection(), id).await?.ok_or(UpdateError::Unknown)?.view;
    let change = OrganizationChange { before: Some(before), after: Some(after), reason: String::new() };
    tx.append(event("organization.updated", id, &change));
    Ok(tx.commit(view).await?)
}
