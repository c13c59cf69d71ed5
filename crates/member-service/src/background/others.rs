//! What the feeds of the other services mean here. A call tells most of it sooner; the feed tells what a call failed to.

use std::sync::Arc;

use api::{
    authz::v1::{SubjectState, SubjectStatus, subject::Subject},
    event::v1::{Event, event::Payload},
    org::v1::OrganizationState as SpokenState,
};
use feed::{Applied, Consumer};
use tenancy::{MemberId, OrganizationScope, OrganizationState, StoreError};

use super::origin;
use crate::{
    ops::{
        Context,
        member::{StateError, finish_removal, finish_suspension},
        tenant,
    },
    remote::RemoteError,
};

/// org-service's feed: the states of organizations, and their end.
#[derive(Debug)]
pub struct Organizations(pub Arc<Context>);

impl Consumer for Organizations {
    async fn apply(&self, event: &Event) -> Applied {
        if event.kind == "organization.purged" {
            let Some(scope) = scope(event) else { return Applied::Done };
            return match tenant::purge(&self.0, scope, &origin(), event.revision).await {
                Ok(()) => Applied::Done,
                Err(error) => later(event, &error),
            };
        }
        let Some((state, scope)) = state_change(event) else { return Applied::Done };
        match tenant::set_state(&self.0, scope, &origin(), state, event.revision).await {
            Ok(_) => Applied::Done,
            Err(error) => later(event, &error),
        }
    }
}

/// The state that an event of org-service brought about. None where it changed none: a new organization is taken up when it is first
/// asked for.
fn state_change(event: &Event) -> Option<(OrganizationState, OrganizationScope)> {
    let Some(Payload::Organization(change)) = &event.payload else { return None };
    let (before, after) = (change.before.as_ref()?, change.after.as_ref()?);
    if before.state() == after.state() {
        return None;
    }
    let state = match after.state() {
        SpokenState::Active => OrganizationState::Active,
        SpokenState::Suspended => OrganizationState::Suspended,
        SpokenState::Deleted => OrganizationState::Deleted,
        SpokenState::Unspecified => return None,
    };
    Some((state, scope(event)?))
}

/// authz-service's feed: removals and suspensions that it was told of by a call of this service which never got further.
#[derive(Debug)]
pub struct Subjects(pub Arc<Context>);

impl Consumer for Subjects {
    async fn apply(&self, event: &Event) -> Applied {
        let Some((status, member, told)) = verdict(event) else { return Applied::Done };
        let Some(scope) = scope(event) else { return Applied::Done };
        let applied = match status {
            SubjectStatus::Removed => {
                finish_removal(&self.0, scope, &origin(), member).await.map_err(StateError::Store)
            }
            SubjectStatus::Suspended => finish_suspension(&self.0, scope, &origin(), member, told).await,
            SubjectStatus::Active | SubjectStatus::Unspecified => Ok(()),
        };
        match applied {
            Ok(()) | Err(StateError::Unknown | StateError::EtagMismatch | StateError::NotActive(_)) => Applied::Done,
            Err(StateError::Store(error)) => later(event, &error),
            Err(StateError::Remote(error)) => unreachable_now(&error),
        }
    }
}

fn verdict(event: &Event) -> Option<(SubjectStatus, MemberId, i64)> {
    let Some(Payload::SubjectState(change)) = &event.payload else { return None };
    let after: &SubjectState = change.after.as_ref()?;
    let Some(Subject::MemberId(member)) = after.subject.as_ref()?.subject.as_ref() else { return None };
    Some((after.status(), member.parse().ok()?, after.member_revision))
}

/// None for what happened in the project itself.
fn scope(event: &Event) -> Option<OrganizationScope> {
    Some(OrganizationScope::granted(event.project_id.parse().ok()?, event.organization_id.parse().ok()?))
}

/// The same event comes again, unless it is one that can never be applied: then it must not hold up the rest.
fn later(event: &Event, error: &StoreError) -> Applied {
    match error {
        StoreError::Busy | StoreError::Unreachable(_) | StoreError::Database(_) => Applied::Later,
        // The organization was never heard of here, so nothing here belongs to it.
        StoreError::TenantUnknown => Applied::Done,
        StoreError::RequestIdReused | StoreError::Corrupt(_) => {
            tracing::error!(error = %runtime::Chain(error), event = event.event_id, kind = event.kind, "an event cannot be applied and is passed over");
            Applied::Done
        }
    }
}

fn unreachable_now(error: &RemoteError) -> Applied {
    tracing::warn!(error = %runtime::Chain(error), "an event waits for another service");
    Applied::Later
}

#[cfg(test)]
mod tests {
    use api::{
        authz::v1::Subject as SubjectMessage,
        event::v1::{OrganizationChange, SubjectStateChange},
        org::v1::Organization,
    };
    use tenancy::{OrganizationId, ProjectId};

    use super::*;

    fn event(payload: Payload) -> Event {
        Event {
            organization_id: OrganizationId::new().to_string(),
            project_id: ProjectId::new().to_string(),
            revision: 7,
            payload: Some(payload),
            ..Event::default()
        }
    }

    #[test]
    fn only_a_changed_state_is_news() {
        let organization = |state: SpokenState| Some(Organization { state: state.into(), ..Organization::default() });
        let change =
            |before, after| event(Payload::Organization(OrganizationChange { before, after, ..Default::default() }));
        let suspended = change(organization(SpokenState::Active), organization(SpokenState::Suspended));
        assert_eq!(state_change(&suspended).map(|(state, _)| state), Some(OrganizationState::Suspended));
        assert!(state_change(&change(organization(SpokenState::Active), organization(SpokenState::Active))).is_none());
        assert!(state_change(&change(None, organization(SpokenState::Active))).is_none());
    }

    #[test]
    fn a_service_account_is_no_member() {
        let (member, account) = (MemberId::new(), tenancy::ServiceAccountId::new());
        let removed = |subject| {
            let subject = Some(SubjectMessage { subject: Some(subject) });
            let status = SubjectStatus::Removed.into();
            let after = Some(SubjectState { subject, status, member_revision: 3, ..SubjectState::default() });
            event(Payload::SubjectState(SubjectStateChange { before: None, after }))
        };
        let told = verdict(&removed(Subject::MemberId(member.to_string())));
        assert_eq!(told, Some((SubjectStatus::Removed, member, 3)));
        assert_eq!(verdict(&removed(Subject::ServiceAccountId(account.to_string()))), None);
    }
}
