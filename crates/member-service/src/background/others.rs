//! What the feeds of the other services mean here. A call tells most of it sooner; the feed tells what a call failed to.

use std::{collections::BTreeSet, sync::Arc};

use access::Tenant;
use api::{
    authz::v1::{SubjectState, SubjectStatus, subject::Subject},
    event::v1::{Event, ProjectChange, event::Payload},
    org::v1::{
        Connection, ConnectionState, Domain, DomainPurpose, DomainState, Organization,
        OrganizationState as SpokenState, ProjectState,
    },
};
use feed::{Applied, Consumer};
use tenancy::{MemberId, OrganizationScope, OrganizationState, ProjectId, ProjectScope, ServiceAccountId, StoreError};
use time::OffsetDateTime;

use super::origin;
use crate::{
    ops::{
        Context,
        member::{finish_removal, finish_suspension},
        service_account, sso, tenant,
    },
    store::ended_connection::Ended,
};

/// org-service's feed: the states of organizations and projects, the end of organizations, and what their email domains give.
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
        for domain in reviewed_domains(event) {
            let Some(scope) = scope(event) else { return Applied::Done };
            if let Err(error) = tenant::review_domain(&self.0, scope, &domain).await {
                return later(event, &error);
            }
        }
        if let Some((tenant, ended)) = ended_connection(event)
            && let Err(error) = sso::note_end(&self.0, tenant, &ended).await
        {
            return later(event, &error);
        }
        let Some((state, named)) = state_change(event) else { return Applied::Done };
        match tenant::set_state(&self.0, named, &origin(), state, event.revision).await {
            Ok(_) => Applied::Done,
            Err(error) => later(event, &error),
        }
    }
}

/// The state that an event of org-service brought about. None where it changed none: a new organization is taken up when it is first
/// asked for.
fn state_change(event: &Event) -> Option<(OrganizationState, Tenant)> {
    let change = match event.payload.as_ref()? {
        Payload::Organization(change) => change,
        Payload::Project(ProjectChange { after: Some(after), .. }) if after.state() == ProjectState::Archived => {
            let scope = ProjectScope::granted(event.project_id.parse().ok()?);
            return Some((OrganizationState::Suspended, Tenant::Project(scope)));
        }
        _ => return None,
    };
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
    Some((state, Tenant::Organization(scope(event)?)))
}

/// The connection that an event of org-service ends: people signed in by it as it was, and would not by what it is now.
fn ended_connection(event: &Event) -> Option<(Tenant, Ended)> {
    let Some(Payload::Connection(change)) = &event.payload else { return None };
    let before = change.before.as_ref()?;
    let proof = |connection: &Connection| (connection.issuer.clone(), connection.client_id.clone());
    let goes_on = change.after.as_ref().is_some_and(|after| {
        let stays = before.state() != ConnectionState::Active || after.state() == ConnectionState::Active;
        stays && proof(before) == proof(after)
    });
    if goes_on {
        return None;
    }
    let project: ProjectId = event.project_id.parse().ok()?;
    let tenant = match scope(event) {
        Some(scope) => Tenant::Organization(scope),
        None => Tenant::Project(ProjectScope::granted(project)),
    };
    let time = event.time.as_ref()?;
    let nanos = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    let ended = Ended {
        project,
        tenant: tenant.key(),
        connection: before.connection_id.parse().ok()?,
        end_time: OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?,
        is_deleted: change.after.is_none(),
    };
    Some((tenant, ended))
}

/// The email domains that an event of org-service gives another say: by another state of the domain, or another policy. A claim that
/// was never verified has none, before or after.
fn reviewed_domains(event: &Event) -> Vec<String> {
    match &event.payload {
        Some(Payload::Domain(change)) => {
            let verified = |domain: &Option<Domain>| {
                let email = domain.as_ref().filter(|domain| domain.purpose() == DomainPurpose::Email);
                email.filter(|domain| domain.state() == DomainState::Verified).map(|domain| domain.name.clone())
            };
            let (before, after) = (verified(&change.before), verified(&change.after));
            if before == after { Vec::new() } else { before.or(after).into_iter().collect() }
        }
        Some(Payload::Organization(change)) => {
            let roles = |organization: &Option<Organization>| {
                let settings = organization.as_ref().and_then(|organization| organization.settings.clone());
                settings.unwrap_or_default().domain_role_ids
            };
            let (Some(_), before, after) = (&change.before, roles(&change.before), roles(&change.after)) else {
                return Vec::new();
            };
            let domains: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            domains.into_iter().filter(|domain| before.get(*domain) != after.get(*domain)).cloned().collect()
        }
        _ => Vec::new(),
    }
}

/// authz-service's feed: removals and suspensions that it was told of by a call of this service which never got further.
#[derive(Debug)]
pub struct Subjects(pub Arc<Context>);

impl Consumer for Subjects {
    async fn apply(&self, event: &Event) -> Applied {
        let Some((status, whom, told)) = verdict(event) else { return Applied::Done };
        let Some(scope) = scope(event) else { return Applied::Done };
        let member = match whom {
            Whom::Member(member) => member,
            Whom::Account(account) => return self.apply_to_account(event, scope, status, account, told).await,
        };
        let applied = match status {
            SubjectStatus::Removed => finish_removal(&self.0, scope, &origin(), member).await,
            SubjectStatus::Suspended => finish_suspension(&self.0, scope, &origin(), member, told).await,
            SubjectStatus::Active | SubjectStatus::Unspecified => Ok(()),
        };
        match applied {
            Ok(()) => Applied::Done,
            Err(error) => later(event, &error),
        }
    }
}

impl Subjects {
    async fn apply_to_account(
        &self,
        event: &Event,
        scope: OrganizationScope,
        status: SubjectStatus,
        account: ServiceAccountId,
        told: i64,
    ) -> Applied {
        let applied = match status {
            SubjectStatus::Removed => service_account::finish_deletion(&self.0, scope, &origin(), account).await,
            SubjectStatus::Suspended => {
                service_account::finish_suspension(&self.0, scope, &origin(), account, told).await
            }
            SubjectStatus::Active | SubjectStatus::Unspecified => Ok(()),
        };
        match applied {
            Ok(()) => Applied::Done,
            Err(error) => later(event, &error),
        }
    }
}

/// Whom authz-service's event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whom {
    Member(MemberId),
    Account(ServiceAccountId),
}

fn verdict(event: &Event) -> Option<(SubjectStatus, Whom, i64)> {
    let Some(Payload::SubjectState(change)) = &event.payload else { return None };
    let after: &SubjectState = change.after.as_ref()?;
    let whom = match after.subject.as_ref()?.subject.as_ref()? {
        Subject::MemberId(id) => Whom::Member(id.parse().ok()?),
        Subject::ServiceAccountId(id) => Whom::Account(id.parse().ok()?),
        Subject::GroupId(_) | Subject::AllMembers(_) => return None,
    };
    Some((after.status(), whom, after.member_revision))
}

/// None for what happened in the project itself.
fn scope(event: &Event) -> Option<OrganizationScope> {
    Some(OrganizationScope::granted(event.project_id.parse().ok()?, event.organization_id.parse().ok()?))
}

/// The same event comes again, unless it is one that can never be applied: then it must not hold up the rest.
fn later(event: &Event, error: &StoreError) -> Applied {
    match error {
        StoreError::Busy
        | StoreError::TimedOut
        | StoreError::Unreachable(_)
        | StoreError::Full(_)
        | StoreError::Database(_) => Applied::Later,
        // The organization was never heard of here, so nothing here belongs to it.
        StoreError::TenantUnknown => Applied::Done,
        StoreError::RequestIdReused | StoreError::NotText | StoreError::Corrupt(_) => {
            tracing::error!(error = %runtime::Chain(error), event = event.event_id, kind = event.kind, "an event cannot be applied and is passed over");
            Applied::Done
        }
    }
}

#[cfg(test)]
mod tests {
    use api::{
        authz::v1::Subject as SubjectMessage,
        event::v1::{DomainChange, OrganizationChange, SubjectStateChange},
        org::v1::Project,
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

        let project = |state: ProjectState| {
            let after = Some(Project { state: state.into(), ..Project::default() });
            event(Payload::Project(ProjectChange { after, ..ProjectChange::default() }))
        };
        let archived = state_change(&project(ProjectState::Archived));
        assert!(matches!(archived, Some((OrganizationState::Suspended, Tenant::Project(_)))), "{archived:?}");
        assert!(state_change(&project(ProjectState::Active)).is_none());
    }

    #[test]
    fn a_domain_has_a_say_once_it_is_verified_and_when_it_is_no_more() {
        let domain = |state: DomainState, purpose: DomainPurpose| {
            Some(Domain {
                name: "acme.test".to_owned(),
                state: state.into(),
                purpose: purpose.into(),
                ..Domain::default()
            })
        };
        let email = |state| domain(state, DomainPurpose::Email);
        let change = |before, after| reviewed_domains(&event(Payload::Domain(DomainChange { before, after })));
        assert_eq!(change(email(DomainState::Pending), email(DomainState::Verified)), ["acme.test"]);
        assert_eq!(change(email(DomainState::Verified), email(DomainState::Failed)), ["acme.test"]);
        assert_eq!(change(email(DomainState::Verified), None), ["acme.test"]);
        assert!(change(email(DomainState::Pending), None).is_empty());
        assert!(change(email(DomainState::Verified), email(DomainState::Verified)).is_empty());
        assert!(change(domain(DomainState::Verified, DomainPurpose::Host), None).is_empty());
    }

    #[test]
    fn a_verdict_is_about_a_member_or_a_service_account() {
        let (member, account) = (MemberId::new(), ServiceAccountId::new());
        let removed = |subject| {
            let subject = Some(SubjectMessage { subject: Some(subject) });
            let status = SubjectStatus::Removed.into();
            let after = Some(SubjectState { subject, status, member_revision: 3, ..SubjectState::default() });
            event(Payload::SubjectState(SubjectStateChange { before: None, after }))
        };
        let told = verdict(&removed(Subject::MemberId(member.to_string())));
        assert_eq!(told, Some((SubjectStatus::Removed, Whom::Member(member), 3)));
        let told = verdict(&removed(Subject::ServiceAccountId(account.to_string())));
        assert_eq!(told, Some((SubjectStatus::Removed, Whom::Account(account), 3)));
        assert_eq!(verdict(&removed(Subject::AllMembers(true))), None);
    }
}
