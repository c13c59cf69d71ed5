//! What the events of the services say about tokens.

use std::str::FromStr;

use api::{
    authz::v1::{self as authz, BindingEffect, subject::Subject as Holder},
    event::v1::{Event, event::Payload},
    member::v1::ServiceAccountState,
};
use outdated::{Set, Statement, Subject};
use tenancy::{ApiKeyId, MemberId, OrganizationId, ProjectId, ServiceAccountId, SessionId};
use uuid::Uuid;

use crate::caller::Service;

/// Takes in one event. Kinds that say nothing about tokens are passed over, and each service is believed in what is its own.
pub fn learn(set: &mut Set, service: Service, event: &Event) -> Vec<Statement> {
    let Ok(project) = event.project_id.parse().map(ProjectId::uuid) else { return Vec::new() };
    let mut learner = Learner { set, event, project, time: milliseconds(event), said: Vec::new() };
    match service {
        Service::Org => learner.organizations(),
        Service::Member => learner.members(),
        Service::Authz => learner.roles(),
        Service::Gateway => {}
    }
    learner.said
}

struct Learner<'a> {
    set: &'a mut Set,
    event: &'a Event,
    project: Uuid,
    time: u64,
    said: Vec<Statement>,
}

impl Learner<'_> {
    fn shut(&mut self, subjects: impl IntoIterator<Item = Subject>) {
        for subject in subjects {
            self.said.extend(self.set.shut(self.project, subject, self.time, self.event.revision));
        }
    }

    fn open_again(&mut self, subjects: impl IntoIterator<Item = Subject>) {
        for subject in subjects {
            self.said.extend(self.set.open_again(subject, self.event.revision));
        }
    }

    fn raise(&mut self, subject: Option<Subject>) {
        if let Some(subject) = subject {
            self.said.extend(self.set.raise(self.project, subject, self.time, self.event.revision));
        }
    }

    /// Of whoever's tokens list permissions.
    fn raise_permissions(&mut self, whose: Option<Subject>) {
        let whose = whose.unwrap_or(Subject::Project(self.project));
        self.said.extend(self.set.raise_permissions(self.project, whose, self.time, self.event.revision));
    }

    fn organization(&self) -> Option<Subject> {
        self.event.organization_id.parse().ok().map(OrganizationId::uuid).map(Subject::Organization)
    }

    fn organizations(&mut self) {
        match self.event.kind.as_str() {
            "organization.suspended" | "organization.deleted" => self.shut(self.organization()),
            // For good: nothing lets a project in again.
            "project.archived" => self.shut([Subject::Project(self.project)]),
            // Brought back in the state it was deleted in: while that is SUSPENDED, the services refuse for themselves.
            "organization.reactivated" | "organization.undeleted" => self.open_again(self.organization()),
            _ => {}
        }
    }

    fn members(&mut self) {
        let event = self.event;
        match event.kind.as_str() {
            "member.removed" | "member.suspended" => self.shut(members(event)),
            "member.reactivated" => self.open_again(members(event)),
            // One event may end several sessions: its payload shows one of them at most, its subjects are all of them.
            "session.revoked" | "session.ended" => {
                self.shut(ids(event, None, |id: SessionId| Subject::Session(id.uuid())));
            }
            "api_key.revoked" => self.shut(keys(event)),
            "access_token.revoked" => {
                if let Some(Payload::AccessTokenRevocation(revocation)) = &event.payload {
                    self.shut(revocation.token_id.parse().ok().map(Subject::Token));
                }
            }
            "service_account.deleted"
            | "service_account.suspended"
            | "service_account.reactivated"
            | "service_account.updated" => match account_may_call(event) {
                Some(false) => self.shut(accounts(event)),
                Some(true) => self.open_again(accounts(event)),
                None => {}
            },
            _ => {}
        }
    }

    /// What was taken from somebody's roles at the organization. What is given outdates no token: it says less than it could, and rights
    /// are asked of `Check`. What a role permits may change without the token's roles changing, but not without the permissions that it
    /// lists. Of a resource no token says anything.
    fn roles(&mut self) {
        let kind = self.event.kind.as_str();
        match &self.event.payload {
            Some(Payload::Binding(change)) => {
                let Some(binding) = change.after.as_ref().or(change.before.as_ref()) else { return };
                let gives = if binding.effect() == BindingEffect::Deny { "binding.deleted" } else { "binding.created" };
                if binding.resource.is_none() && kind != gives {
                    self.taken_from(binding.subject.as_ref());
                }
            }
            Some(Payload::GroupMembership(change)) if kind == "group.member_removed" => {
                self.taken_from(change.before.as_ref().and_then(|membership| membership.subject.as_ref()));
            }
            // What the group is denied, whoever joins it is denied; of what it is, nothing is said here.
            Some(Payload::GroupMembership(change)) if kind == "group.member_added" => {
                let joined = change.after.as_ref().and_then(|membership| membership.subject.as_ref());
                self.raise_permissions(holder(joined).or_else(|| self.organization()));
            }
            // Erased: it may have been anybody's.
            None if kind.starts_with("binding.") || kind == "group.member_removed" => self.raise(self.organization()),
            None if kind == "group.member_added" => self.raise_permissions(self.organization()),
            // In a deny binding more permissions take more away.
            Some(Payload::Role(change)) if permits(change.before.as_ref()) == permits(change.after.as_ref()) => {}
            // A role permits something else, or the project declares other permissions.
            _ if ["role.updated", "role.deleted", "catalog.updated"].contains(&kind) => {
                self.raise_permissions(self.organization());
            }
            _ => {}
        }
    }

    /// Whoever is in a group, and in those in it, may be anybody.
    fn taken_from(&mut self, from: Option<&authz::Subject>) {
        self.raise(holder(from).or_else(|| self.organization()));
    }
}

/// The one who holds tokens. None where it is a group, or cannot be told.
fn holder(subject: Option<&authz::Subject>) -> Option<Subject> {
    match subject?.subject.as_ref()? {
        Holder::MemberId(id) => id.parse().ok().map(|id: MemberId| Subject::Member(id.uuid())),
        Holder::ServiceAccountId(id) => id.parse().ok().map(|id: ServiceAccountId| Subject::ServiceAccount(id.uuid())),
        Holder::GroupId(_) | Holder::AllMembers(_) => None,
    }
}

fn permits(role: Option<&authz::Role>) -> Option<(&[String], &[String])> {
    role.map(|role| (role.permissions.as_slice(), role.included_role_ids.as_slice()))
}

fn milliseconds(event: &Event) -> u64 {
    let time = event.time.unwrap_or_default();
    u64::try_from(time.seconds.saturating_mul(1000).saturating_add(i64::from(time.nanos / 1_000_000))).unwrap_or(0)
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

fn members(event: &Event) -> Vec<Subject> {
    let named = match &event.payload {
        Some(Payload::Member(change)) => change.before.as_ref().or(change.after.as_ref()).map(|m| m.member_id.as_str()),
        _ => None,
    };
    ids(event, named, |id: MemberId| Subject::Member(id.uuid()))
}

fn keys(event: &Event) -> Vec<Subject> {
    let named = match &event.payload {
        Some(Payload::ApiKey(change)) => {
            change.after.as_ref().or(change.before.as_ref()).map(|k| k.api_key_id.as_str())
        }
        _ => None,
    };
    ids(event, named, |id: ApiKeyId| Subject::ApiKey(id.uuid()))
}

fn accounts(event: &Event) -> Vec<Subject> {
    let named = match &event.payload {
        Some(Payload::ServiceAccount(change)) => {
            change.after.as_ref().or(change.before.as_ref()).map(|a| a.service_account_id.as_str())
        }
        _ => None,
    };
    ids(event, named, |id: ServiceAccountId| Subject::ServiceAccount(id.uuid()))
}

/// The resource that the payload shows or, where it shows none, every id of the kind that the event touches.
fn ids<I: FromStr>(event: &Event, named: Option<&str>, subject: impl Fn(I) -> Subject) -> Vec<Subject> {
    match named.and_then(|id| id.parse().ok()) {
        Some(id) => vec![subject(id)],
        None => event.subject_ids.iter().filter_map(|id| id.parse().ok()).map(subject).collect(),
    }
}

#[cfg(test)]
#[path = "learn_tests.rs"]
mod tests;
