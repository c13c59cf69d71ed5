//! Shutting an organization and opening it again, deleting it and taking that back.
//!
//! One write here; the other services learn of it by a call right after, and by the feed should the call be lost.

use access::Granted;
use tenancy::{Database, Once, OrganizationScope, OrganizationState, StoreError, mask::etag_matches};
use time::{Duration, OffsetDateTime};

use super::event;
use crate::{
    model::{Organization, OrganizationChange, OrganizationView, ProjectState, Reason},
    remote::Others,
    store::{organization, organization::WriteError},
};

/// What callers may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Suspended,
    Active,
    /// To be purged when this much time has passed.
    Deleted {
        grace: Duration,
    },
    Undeleted,
}

impl Target {
    fn event_kind(self) -> &'static str {
        match self {
            Self::Suspended => "organization.suspended",
            Self::Active => "organization.reactivated",
            Self::Deleted { .. } => "organization.deleted",
            Self::Undeleted => "organization.undeleted",
        }
    }

    fn committed(self) -> &'static str {
        match self {
            Self::Suspended => "suspend-organization/committed",
            Self::Active => "reactivate-organization/committed",
            Self::Deleted { .. } => "delete-organization/committed",
            Self::Undeleted => "undelete-organization/committed",
        }
    }

    /// What becomes of an organization at a time. None: it stays as it is.
    fn of(self, before: &Organization, now: OffsetDateTime) -> Result<Option<Organization>, StateError> {
        let (was, mut after) = (before.state, before.clone());
        match self {
            Self::Suspended | Self::Active if was == OrganizationState::Deleted => return Err(StateError::Deleted),
            Self::Suspended => after.state = OrganizationState::Suspended,
            Self::Active => after.state = OrganizationState::Active,
            Self::Deleted { .. } if was == OrganizationState::Deleted => {}
            Self::Deleted { grace } => {
                after.state = OrganizationState::Deleted;
                after.purge_time = Some(now + grace);
                after.deleted_from = Some(was);
            }
            Self::Undeleted => {
                // Whoever was promised the erasure at that time gets it, a sweep that is late notwithstanding.
                if before.purge_time.is_some_and(|time| time <= now) {
                    return Err(StateError::GraceOver);
                }
                after.purge_time = None;
                after.state = after.deleted_from.take().unwrap_or(was);
            }
        }
        Ok((after != *before).then_some(after))
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
    #[error("the organization's purge_time has passed")]
    GraceOver,
    #[error("the change is made, and another service does not know of it yet")]
    NotKnownYet,
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
///
/// Also then the other services are told: whoever asks again, because the first answer was lost or said that one of them does not know yet, wants
/// to hear that it is so everywhere. What shuts is acknowledged once all know; what opens is soon known, by the feed if not by the call.
pub async fn change_state(
    database: &Database,
    others: &Others,
    granted: &Granted<OrganizationScope>,
    once: Option<&Once>,
    change: StateChange,
) -> Result<OrganizationView, StateError> {
    let (view, state, revision) = write(database, granted, once, change).await?;
    if !others.tell_state(&granted.caller, &granted.call, granted.scope, state, revision).await
        && state != OrganizationState::Active
    {
        granted.call.asked_in_vain();
        return Err(StateError::NotKnownYet);
    }
    Ok(view)
}

/// The state that is in force then, and the revision that set it.
async fn write(
    database: &Database,
    granted: &Granted<OrganizationScope>,
    once: Option<&Once>,
    change: StateChange,
) -> Result<(OrganizationView, OrganizationState, i64), StateError> {
    let scope = granted.scope;
    let id = scope.organization_id();
    let mut tx = database.write(scope, &granted.origin(), once).await?;
    let (state, revision) = (tx.head().own_state, tx.head().state_revision);
    if let Some(first) = tx.first_answer()? {
        return Ok((first, state, revision));
    }
    let found = organization::find(tx.connection(), id).await?.ok_or(StateError::Unknown)?;
    if found.project_state == ProjectState::Archived {
        return Err(StateError::ProjectArchived);
    }
    let mut view = found.view;
    if !etag_matches(&change.etag, view.organization.revision) {
        return Err(StateError::EtagMismatch);
    }
    let before = view.organization.clone();
    let now = tenancy::event::now();
    let Some(after) = change.target.of(&before, now)? else {
        return Ok((tx.commit(view).await?, state, revision));
    };
    let (state, revision) = (after.state, tx.revision());
    view.organization = Organization { revision, update_time: now, ..after };
    organization::update(tx.connection(), &view.organization).await?;
    tx.set_state(state, revision).await?;
    let payload = OrganizationChange {
        before: Some(before),
        after: Some(view.organization.clone()),
        reason: change.reason.into(),
    };
    tx.append(event(change.target.event_kind(), id, &payload));
    let view = tx.commit(view).await?;
    runtime::kill_point(change.target.committed());
    Ok((view, state, revision))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::model::{DisplayName, Slug};

    const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);
    const DELETED: Target = Target::Deleted { grace: Duration::days(30) };

    fn organization(state: OrganizationState) -> Organization {
        let organization_id = tenancy::OrganizationId::new();
        Organization {
            organization_id,
            project_id: tenancy::ProjectId::new(),
            slug: Slug::of(organization_id),
            display_name: DisplayName::parse("Acme").unwrap(),
            external_id: None,
            kind: Default::default(),
            state,
            trusted_metadata: Default::default(),
            untrusted_metadata: Default::default(),
            settings: Default::default(),
            branding: Default::default(),
            limits: Default::default(),
            plan: None,
            purge_time: None,
            deleted_from: None,
            revision: 1,
            create_time: NOW,
            update_time: NOW,
        }
    }

    #[test]
    fn an_undeletion_brings_back_the_state_from_before() {
        for state in [OrganizationState::Active, OrganizationState::Suspended] {
            let before = organization(state);
            let deleted = DELETED.of(&before, NOW).unwrap().unwrap();
            assert_eq!(
                (deleted.state, deleted.purge_time),
                (OrganizationState::Deleted, Some(NOW + Duration::days(30)))
            );
            assert_eq!(DELETED.of(&deleted, NOW + Duration::days(1)).unwrap(), None, "its purge_time stays");
            assert!(matches!(Target::Active.of(&deleted, NOW), Err(StateError::Deleted)));
            assert!(matches!(Target::Suspended.of(&deleted, NOW), Err(StateError::Deleted)));
            assert_eq!(Target::Undeleted.of(&deleted, NOW + Duration::days(29)).unwrap(), Some(before.clone()));
            assert!(matches!(Target::Undeleted.of(&deleted, NOW + Duration::days(30)), Err(StateError::GraceOver)));
            assert_eq!(Target::Undeleted.of(&before, NOW).unwrap(), None);
        }
    }

    #[test]
    fn a_state_that_holds_is_left_as_it_is() {
        let (active, suspended) = (organization(OrganizationState::Active), organization(OrganizationState::Suspended));
        assert_eq!(Target::Active.of(&active, NOW).unwrap(), None);
        assert_eq!(Target::Suspended.of(&suspended, NOW).unwrap(), None);
        assert!(Target::Suspended.of(&active, NOW).unwrap().is_some_and(|o| o.state == OrganizationState::Suspended));
        assert!(Target::Active.of(&suspended, NOW).unwrap().is_some_and(|o| o.state == OrganizationState::Active));
    }
}
