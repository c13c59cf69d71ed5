//! Shutting an organization and opening it again.
//!
//! One write here; the other services learn of it by a call right after, and by the feed should the call be lost.

use access::Granted;
use tenancy::{Database, Once, OrganizationScope, OrganizationState, StoreError, mask::etag_matches};

use super::event;
use crate::{
    model::{OrganizationChange, OrganizationView, ProjectState, Reason},
    remote::Others,
    store::{organization, organization::WriteError},
};

/// What callers may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Suspended,
    Active,
}

impl Target {
    fn state(self) -> OrganizationState {
        match self {
            Self::Suspended => OrganizationState::Suspended,
            Self::Active => OrganizationState::Active,
        }
    }

    fn event_kind(self) -> &'static str {
        match self {
            Self::Suspended => "organization.suspended",
            Self::Active => "organization.reactivated",
        }
    }
}

#[derive(Debug, Clone)]
pub struct StateChange {
    pub target: Target,
    /// Empty: any.
    pub etag: String,
    pub reason: Reason,
}

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("no such organization")]
    Unknown,
    #[error("the project is archived")]
    ProjectArchived,
    #[error("the organization changed since the etag was read")]
    EtagMismatch,
    #[error("the organization is deleted")]
    Deleted,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<WriteError> for StateError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ExternalIdTaken => Self::Store(StoreError::Corrupt("external_id of a state change")),
            WriteError::Store(error) => Self::Store(error),
        }
    }
}

/// An organization that is in the state already is left as it is.
pub async fn change_state(
    database: &Database,
    others: &Others,
    granted: &Granted<OrganizationScope>,
    once: Option<&Once>,
    change: StateChange,
) -> Result<OrganizationView, StateError> {
    let scope = granted.scope;
    let id = scope.organization_id();
    let mut tx = database.write(scope, &granted.origin(), once).await?;
    if let Some(first) = tx.first_answer()? {
        return Ok(first);
    }
    let found = organization::find(tx.connection(), id).await?.ok_or(StateError::Unknown)?;
    if found.project_state == ProjectState::Archived {
        return Err(StateError::ProjectArchived);
    }
    let mut view = found.view;
    if !etag_matches(&change.etag, view.organization.revision) {
        return Err(StateError::EtagMismatch);
    }
    let state = change.target.state();
    if view.organization.state == OrganizationState::Deleted {
        return Err(StateError::Deleted);
    }
    if view.organization.state == state {
        return Ok(tx.commit(view).await?);
    }
    let before = view.organization.clone();
    let revision = tx.revision();
    view.organization.state = state;
    view.organization.revision = revision;
    view.organization.update_time = tenancy::event::now();
    organization::update(tx.connection(), &view.organization).await?;
    tx.set_state(state, revision).await?;
    let payload = OrganizationChange {
        before: Some(before),
        after: Some(view.organization.clone()),
        reason: change.reason.into(),
    };
    tx.append(event(change.target.event_kind(), id, &payload));
    let view = tx.commit(view).await?;
    others.tell_state(&granted.caller, &granted.call, scope, state, revision).await;
    Ok(view)
}
