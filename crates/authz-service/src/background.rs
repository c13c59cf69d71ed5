//! What org-service and member-service tell by their feeds, again: usually a call has told it before, and then it changes nothing.
//! Both are ordered by the revision of the service that speaks, so a late word never undoes a newer one.

use access::{Access, Service, Tenant};
use api::{
    event::v1::{Event, MemberChange, OrganizationChange, ProjectChange, ServiceAccountChange, event::Payload},
    member::v1::{MemberState, ServiceAccountState},
    org::v1::{OrganizationState, ProjectState},
};
use feed::{Applied, Consumer};
use runtime::CallContext;
use tenancy::{OrganizationId, OrganizationScope, Origin, PURGED, ProjectId, ProjectScope, StoreError};
use tonic::Code;

use crate::{
    grpc::organization_state,
    model::{Grantor, Subject},
    ops::{
        self, Call, Refused,
        subject::{News, OrganizationNews},
    },
    snapshots::Snapshots,
};

/// Applies the feed of one other service.
#[derive(Debug, Clone)]
pub struct Repair {
    pub access: Access,
    pub snapshots: Snapshots,
}

/// What an event means here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Organization(tenancy::OrganizationState),
    /// The project itself.
    Archived,
    Purged,
    Suspended(Subject, bool),
    Removed(Subject),
}

/// None where it means nothing.
fn meaning(event: &Event) -> Option<Meaning> {
    // The other services close their own chains by an event of this kind as well.
    if event.kind == PURGED {
        return (event.service == Service::Org.name()).then_some(Meaning::Purged);
    }
    match event.payload.as_ref()? {
        Payload::Organization(OrganizationChange { before, after: Some(after), .. }) => {
            let was = before.as_ref().map(|before| before.state());
            let is = after.state();
            let news = was != Some(is) && is != OrganizationState::Unspecified;
            if news { organization_state(is).map(Meaning::Organization) } else { None }
        }
        Payload::Project(ProjectChange { after: Some(after), .. }) => {
            (after.state() == ProjectState::Archived).then_some(Meaning::Archived)
        }
        Payload::Member(MemberChange { before, after }) => {
            let named = after.as_ref().or(before.as_ref())?;
            let subject = Subject::Member(named.member_id.parse().ok()?);
            let was = before.as_ref().map(|before| before.state() == MemberState::Suspended);
            standing(subject, was, after.as_ref().map(|after| after.state() == MemberState::Suspended))
        }
        Payload::ServiceAccount(ServiceAccountChange { before, after }) => {
            let named = after.as_ref().or(before.as_ref())?;
            let subject = Subject::ServiceAccount(named.service_account_id.parse().ok()?);
            let was = before.as_ref().map(|before| before.state() == ServiceAccountState::Suspended);
            standing(subject, was, after.as_ref().map(|after| after.state() == ServiceAccountState::Suspended))
        }
        _ => None,
    }
}

/// From whether it was suspended before and is after; None where it was not there. Who is new is noted as well: only who is known to
/// be there counts as an owner.
fn standing(subject: Subject, before: Option<bool>, after: Option<bool>) -> Option<Meaning> {
    match (before, after) {
        (_, None) => Some(Meaning::Removed(subject)),
        (before, Some(after)) if before != Some(after) => Some(Meaning::Suspended(subject, after)),
        (_, Some(_)) => None,
    }
}

impl Repair {
    async fn note(&self, event: &Event, meaning: Meaning) -> Result<(), Refused> {
        let Ok(project) = event.project_id.parse::<ProjectId>() else { return Ok(()) };
        let origin = Origin {
            on_behalf_of: event.actor.as_ref().and_then(feed::actor_from_proto),
            request_id: event.request_id.clone(),
            trace_id: event.trace_id.clone(),
            ..Origin::background(Service::Authz.name())
        };
        let call = Call { origin, once: None, grantor: Grantor::Free };
        let news = |subject| News { subject, member_revision: event.revision, protect_last_owner: false };
        let database = self.snapshots.database();
        let noted = |state| OrganizationNews { state, org_revision: event.revision };
        if meaning == Meaning::Archived {
            let (tenant, news) = (ProjectScope::granted(project), noted(tenancy::OrganizationState::Suspended));
            ops::subject::set_organization_state(database, Tenant::Project(tenant), &call, news).await?;
            return Ok(());
        }
        let Ok(organization) = event.organization_id.parse::<OrganizationId>() else { return Ok(()) };
        let scope = OrganizationScope::granted(project, organization);
        match meaning {
            Meaning::Archived => {}
            Meaning::Purged => ops::purge::purge(&self.snapshots, scope, &call, event.revision).await?,
            Meaning::Organization(state) => {
                ops::subject::set_organization_state(database, Tenant::Organization(scope), &call, noted(state))
                    .await?;
            }
            Meaning::Suspended(subject, suspended) => {
                ops::subject::set_state(database, scope, &call, news(subject), suspended).await?;
            }
            Meaning::Removed(subject) => {
                ops::subject::remove(database, scope, &call, news(subject)).await?;
            }
        }
        Ok(())
    }

    /// A member's organization may be new here: org-service is asked for it.
    async fn knows(&self, organization: &str) -> Result<bool, Code> {
        let Ok(organization) = organization.parse() else { return Ok(false) };
        let head = self.access.head(&CallContext::background(), organization).await;
        head.map(|head| head.is_some()).map_err(|status| status.code())
    }
}

impl Consumer for Repair {
    async fn apply(&self, event: &Event) -> Applied {
        let Some(meaning) = meaning(event) else { return Applied::Done };
        if !matches!(meaning, Meaning::Organization(_) | Meaning::Archived | Meaning::Purged) {
            match self.knows(&event.organization_id).await {
                Ok(true) => {}
                Ok(false) => return Applied::Done,
                Err(code) => {
                    tracing::warn!(?code, kind = event.kind, "an event waits for its organization");
                    return Applied::Later;
                }
            }
        }
        match self.note(event, meaning).await {
            // The organization is gone for good, and with it whoever was in it.
            Ok(()) | Err(Refused::Store(StoreError::TenantUnknown)) => Applied::Done,
            Err(error) => {
                tracing::warn!(error = %runtime::Chain(&error), kind = event.kind, "an event is left for later");
                Applied::Later
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use api::{
        member::v1::Member,
        org::v1::{Organization, Project},
    };
    use tenancy::MemberId;

    use super::*;

    fn member(id: MemberId, state: MemberState) -> Option<Member> {
        Some(Member { member_id: id.to_string(), state: state.into(), ..Member::default() })
    }

    fn means(payload: Payload) -> Option<Meaning> {
        meaning(&Event { payload: Some(payload), ..Event::default() })
    }

    #[test]
    fn only_org_service_purges() {
        let told = |service: Service, kind: &str| {
            meaning(&Event { service: service.name().to_owned(), kind: kind.to_owned(), ..Event::default() })
        };
        assert_eq!(told(Service::Org, PURGED), Some(Meaning::Purged));
        assert_eq!(told(Service::Member, PURGED), None);
        assert_eq!(told(Service::Org, "organization.updated"), None);
    }

    #[test]
    fn a_member_that_is_gone_is_removed_and_a_change_of_state_is_noted() {
        let id = MemberId::new();
        let subject = Subject::Member(id);
        let (active, suspended) = (member(id, MemberState::Active), member(id, MemberState::Suspended));
        let means = |before, after| means(Payload::Member(MemberChange { before, after }));
        assert_eq!(means(active.clone(), None), Some(Meaning::Removed(subject)));
        assert_eq!(means(active.clone(), suspended.clone()), Some(Meaning::Suspended(subject, true)));
        assert_eq!(means(suspended.clone(), active.clone()), Some(Meaning::Suspended(subject, false)));
        assert_eq!(means(None, active.clone()), Some(Meaning::Suspended(subject, false)), "who is new is told of");
        assert_eq!(means(active.clone(), active), None);
    }

    #[test]
    fn a_project_is_noted_when_it_is_archived_and_not_when_it_is_changed() {
        let means = |state: ProjectState| {
            let after = Some(Project { state: state.into(), ..Project::default() });
            means(Payload::Project(ProjectChange { after, ..ProjectChange::default() }))
        };
        assert_eq!(means(ProjectState::Archived), Some(Meaning::Archived));
        assert_eq!(means(ProjectState::Active), None);
    }

    #[test]
    fn an_organization_is_noted_when_its_state_changes() {
        let organization =
            |state: OrganizationState| Some(Organization { state: state.into(), ..Organization::default() });
        let means =
            |before, after| means(Payload::Organization(OrganizationChange { before, after, ..Default::default() }));
        let (active, deleted) = (organization(OrganizationState::Active), organization(OrganizationState::Deleted));
        assert_eq!(means(None, active.clone()), Some(Meaning::Organization(tenancy::OrganizationState::Active)));
        assert_eq!(means(active.clone(), deleted), Some(Meaning::Organization(tenancy::OrganizationState::Deleted)));
        assert_eq!(means(active.clone(), active), None);
    }
}
