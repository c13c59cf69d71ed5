//! What the events of member-service and org-service say about tokens.

use std::{str::FromStr, time::Instant};

use access::Service;
use api::{
    event::v1::{Event, event::Payload},
    member::v1::ServiceAccountState,
};
use tenancy::{ApiKeyId, MemberId, OrganizationId, ProjectId, ServiceAccountId, SessionId};
use uuid::Uuid;

use super::set::Set;

/// Takes in one event. Kinds that say nothing about tokens are passed over.
pub fn learn(set: &mut Set, event: &Event, now: Instant) {
    let revision = event.revision;
    let time = event.time.unwrap_or_default();
    let time = u64::try_from(time.seconds * 1000 + i64::from(time.nanos / 1_000_000)).unwrap_or(0);
    match event.kind.as_str() {
        "organization.suspended" | "organization.deleted" if event.service == Service::Org.name() => {
            organization(event).into_iter().for_each(|id| set.refuse_since(id, time, revision, now));
        }
        // For good: nothing lets a project in again.
        "project.archived" if event.service == Service::Org.name() => {
            let project: Option<ProjectId> = event.project_id.parse().ok();
            project.into_iter().for_each(|id| set.refuse_since(id.uuid(), time, revision, now));
        }
        // Brought back in the state it was deleted in: while that is SUSPENDED, the services refuse for themselves.
        "organization.reactivated" | "organization.undeleted" if event.service == Service::Org.name() => {
            organization(event).into_iter().for_each(|id| set.allow_again(id, revision));
        }
        "member.removed" | "member.suspended" => {
            members(event).into_iter().for_each(|id| set.refuse_since(id, time, revision, now));
        }
        "member.reactivated" => members(event).into_iter().for_each(|id| set.allow_again(id, revision)),
        "session.revoked" | "session.ended" => {
            sessions(event).into_iter().for_each(|id| set.refuse(id, revision, now));
        }
        "api_key.revoked" => keys(event).into_iter().for_each(|id| set.refuse(id, revision, now)),
        "access_token.revoked" => {
            if let Some(Payload::AccessTokenRevocation(revocation)) = &event.payload {
                revocation.token_id.parse().into_iter().for_each(|id| set.refuse(id, revision, now));
            }
        }
        "service_account.deleted"
        | "service_account.suspended"
        | "service_account.reactivated"
        | "service_account.updated" => {
            for id in accounts(event) {
                match account_may_call(event) {
                    Some(false) => set.refuse_since(id, time, revision, now),
                    Some(true) => set.allow_again(id, revision),
                    None => {}
                }
            }
        }
        _ => {}
    }
}

fn organization(event: &Event) -> Option<Uuid> {
    event.organization_id.parse().ok().map(OrganizationId::uuid)
}

/// None where the event does not say: its payload was erased and its kind leaves it open.
fn account_may_call(event: &Event) -> Option<bool> {
    match (event.kind.as_str(), &event.payload) {
        ("service_account.deleted" | "service_account.suspended", _) => Some(false),
        ("service_account.reactivated", _) => Some(true),
        (_, Some(Payload::ServiceAccount(change))) => {
            change.after.as_ref().map(|account| account.state() != ServiceAccountState::Suspended)
        }
        _ => None,
    }
}

fn members(event: &Event) -> Vec<Uuid> {
    let named = match &event.payload {
        Some(Payload::Member(change)) => change.before.as_ref().or(change.after.as_ref()).map(|m| m.member_id.as_str()),
        _ => None,
    };
    ids(event, named, |id: MemberId| id.uuid())
}

/// One event may end several sessions: its payload shows one of them at most, its subjects are all of them.
fn sessions(event: &Event) -> Vec<Uuid> {
    ids(event, None, |id: SessionId| id.uuid())
}

fn keys(event: &Event) -> Vec<Uuid> {
    let named = match &event.payload {
        Some(Payload::ApiKey(change)) => {
            change.after.as_ref().or(change.before.as_ref()).map(|k| k.api_key_id.as_str())
        }
        _ => None,
    };
    ids(event, named, |id: ApiKeyId| id.uuid())
}

fn accounts(event: &Event) -> Vec<Uuid> {
    let named = match &event.payload {
        Some(Payload::ServiceAccount(change)) => {
            change.after.as_ref().or(change.before.as_ref()).map(|a| a.service_account_id.as_str())
        }
        _ => None,
    };
    ids(event, named, |id: ServiceAccountId| id.uuid())
}

/// The resource that the payload shows or, where it shows none, every id of the kind that the event touches.
fn ids<I: FromStr>(event: &Event, named: Option<&str>, uuid: impl Fn(I) -> Uuid) -> Vec<Uuid> {
    match named.and_then(|id| id.parse().ok()) {
        Some(id) => vec![uuid(id)],
        None => event.subject_ids.iter().filter_map(|id| id.parse().ok()).map(uuid).collect(),
    }
}

#[cfg(test)]
mod tests {
    use api::{event::v1::MemberChange, member::v1::Member};

    use super::*;
    use crate::revocation::set::Bearer;

    fn refuses(set: &Set, holder: Uuid, by: Uuid) -> bool {
        set.refuses(&Bearer {
            holder,
            project: Uuid::nil(),
            organization: None,
            by,
            token: Uuid::nil(),
            began_at: 0,
            issued_at: 0,
        })
    }

    #[test]
    fn a_removed_member_s_tokens_are_refused_and_the_remover_s_are_not() {
        let (mut set, ada, grace) = (Set::default(), MemberId::new(), MemberId::new());
        let before = Some(Member { member_id: grace.to_string(), ..Member::default() });
        let event = Event {
            kind: "member.removed".to_owned(),
            revision: 4,
            subject_ids: vec![ada.to_string(), grace.to_string()],
            payload: Some(Payload::Member(MemberChange { before, after: None })),
            ..Event::default()
        };
        learn(&mut set, &event, Instant::now());
        assert!(refuses(&set, grace.uuid(), Uuid::now_v7()));
        assert!(!refuses(&set, ada.uuid(), Uuid::now_v7()));
    }

    #[test]
    fn an_archived_projects_tokens_are_refused_and_no_others() {
        let (mut set, archived) = (Set::default(), ProjectId::new());
        let archive = |service: Service| Event {
            kind: "project.archived".to_owned(),
            service: service.name().to_owned(),
            project_id: archived.to_string(),
            revision: 2,
            ..Event::default()
        };
        let refuses = |set: &Set, project: ProjectId| {
            let (holder, by, organization) = (Uuid::now_v7(), Uuid::now_v7(), Some(Uuid::now_v7()));
            set.refuses(&Bearer {
                holder,
                project: project.uuid(),
                organization,
                by,
                token: Uuid::nil(),
                began_at: 0,
                issued_at: 0,
            })
        };
        learn(&mut set, &archive(Service::Member), Instant::now());
        assert!(!refuses(&set, archived), "org-service alone archives");
        learn(&mut set, &archive(Service::Org), Instant::now());
        assert!(refuses(&set, archived) && !refuses(&set, ProjectId::new()));
    }

    #[test]
    fn an_erased_payload_hides_no_revocation() {
        let (mut set, key) = (Set::default(), ApiKeyId::new());
        let event = Event {
            kind: "api_key.revoked".to_owned(),
            revision: 1,
            subject_ids: vec![ServiceAccountId::new().to_string(), key.to_string()],
            ..Event::default()
        };
        learn(&mut set, &event, Instant::now());
        assert!(refuses(&set, Uuid::now_v7(), key.uuid()));
    }
}
