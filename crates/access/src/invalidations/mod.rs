//! What was valid and is no longer: told by the services' events, and refused within a second by whoever holds this, which is the
//! gateway and every service (see crate `outdated` for how).
//!
//! member-service tells of members, sessions, service accounts and keys; org-service of whole organizations and projects;
//! authz-service of roles. The feed of each says every second up to when it is complete, by the clock of its database: what is
//! committed and held back there (see crate tenancy, module feed) is not yet told. When that of member-service lies further back than
//! `--revocation-lag`, a token might be revoked without our knowing, and every token that can be revoked is refused with UNAVAILABLE
//! until the feed has caught up. The operator's token is not among them: it is revoked by changing the configuration.
//!
//! The other two may be late without anybody being let in who is out: every service looks at the state of organization and project
//! itself, and asks authz-service for rights and never the token. They are waited for where somebody outside goes by what is said here alone:
//! a verifier that is told how far all has come ([`Invalidations::complete_until`]), and whoever asks whether a token is good
//! ([`Invalidations::check_all_heard`]).

mod learn;

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use api::event::v1::Event;
use outdated::{Ahead, Bearer, Complete, KEEP, Moment, Set, Statement, Subject};
use prost_types::Timestamp;
use tenancy::{OrganizationId, ProjectId};
use tokens::AccessClaims;
use tokio::sync::broadcast;
use tonic::Status;

use crate::{
    caller::{Caller, Impersonator, Service},
    refusal::{credential_revoked, revocations_unknown},
    verify::Verified,
};

/// So many may be told before a listener has to begin anew.
const UNHEARD: usize = 4096;
const NEVER: i64 = i64::MIN;

/// How long this process believes tokens without news of what was revoked.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct RevocationOptions {
    /// For how many seconds this process may be without news of revocations. After that it refuses all tokens that can be revoked, with
    /// UNAVAILABLE: nothing revoked stays in force. The news come every second, so less than 2 is not steady.
    #[arg(long, env = "GUILDHALL_REVOCATION_LAG", value_name = "SECONDS", default_value = "5", value_parser = runtime::seconds)]
    pub revocation_lag: Duration,
}

impl RevocationOptions {
    /// Every fault of these options, for `check-config`.
    pub fn faults(&self) -> Vec<String> {
        let none = "--revocation-lag (GUILDHALL_REVOCATION_LAG): must be more than 0";
        self.revocation_lag.is_zero().then(|| none.to_owned()).into_iter().collect()
    }
}

/// What listeners are told as it is learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    Statement(Statement),
    /// Every token is refused that was issued up to then, in seconds since 1970.
    Everything(u64),
}

/// What is held of a project, and what comes.
#[derive(Debug)]
pub struct Listening {
    pub held: Vec<Statement>,
    /// 0: not everything is refused up to any time.
    pub all_until: u64,
    /// Of every project.
    pub news: broadcast::Receiver<Told>,
}

/// What this process knows of it.
#[derive(Debug)]
pub struct Invalidations {
    set: RwLock<Set>,
    /// Up to when each service's feed has been heard.
    heard: [Complete; 3],
    /// What each service said last, in microseconds since 1970 by its database's clock.
    said: [AtomicI64; 3],
    told: broadcast::Sender<Told>,
}

impl Invalidations {
    /// Nothing is known yet, so that no token that can be revoked is believed.
    pub fn new(options: &RevocationOptions) -> Arc<Self> {
        let lag = options.revocation_lag;
        Arc::new(Self {
            set: RwLock::new(Set::new(KEEP)),
            heard: [lag; 3].map(Complete::new),
            said: [NEVER; 3].map(AtomicI64::new),
            told: broadcast::channel(UNHEARD).0,
        })
    }

    /// Refuses a credential that was revoked, or of which that is not known.
    pub fn check(&self, verified: &Verified) -> Result<(), Status> {
        match bearer(verified) {
            Some(bearer) => self.check_bearer(&bearer),
            None => Ok(()),
        }
    }

    /// The same of what a credential is known by.
    pub fn check_bearer(&self, bearer: &Bearer) -> Result<(), Status> {
        // Asked first: what comes in after the set was looked at must not make that look count as young. Known to be revoked is said even
        // when what else was revoked is not known.
        let live = self.is_live();
        if self.set.read().unwrap_or_else(PoisonError::into_inner).refuses(bearer) {
            return Err(credential_revoked());
        }
        if live { Ok(()) } else { Err(revocations_unknown()) }
    }

    /// Whether the news are young enough to believe a token.
    pub fn is_live(&self) -> bool {
        index(Service::Member).is_some_and(|members| self.heard[members].is_live())
    }

    /// Refuses to answer for a token where the news of any service are too old: for whoever is told that it is good, and asks no service.
    pub fn check_all_heard(&self) -> Result<(), Status> {
        if self.heard.iter().all(Complete::is_live) { Ok(()) } else { Err(revocations_unknown()) }
    }

    /// Whether a credential was revoked, as far as is known.
    pub fn is_revoked(&self, verified: &Verified) -> bool {
        let bearer = bearer(verified);
        bearer.is_some_and(|bearer| self.set.read().unwrap_or_else(PoisonError::into_inner).refuses(&bearer))
    }

    /// Refuses a session's tokens, or one token, from now on, without waiting for the feed to say so.
    pub fn end(&self, project: ProjectId, subject: Subject) {
        self.change(|set| set.shut(project.uuid(), subject, milliseconds_now(), 0));
    }

    /// Takes in one event of a service's feed.
    pub fn hear(&self, service: Service, event: &Event) {
        self.changes(|set| learn::learn(set, service, event));
    }

    /// Every event of a service has been heard that was committed before that time, by its database's clock.
    pub fn heard_until(&self, service: Service, time: Timestamp) {
        let Some((said, heard)) = index(service).map(|index| (&self.said[index], &self.heard[index])) else { return };
        let micros = time.seconds.saturating_mul(1_000_000).saturating_add(i64::from(time.nanos / 1000));
        // After all that was told before it.
        said.store(micros, Ordering::Release);
        if let Err(Ahead(by)) = heard.until(system_time(time), SystemTime::now()) {
            let (service, seconds) = (service.name(), by.as_secs());
            tracing::warn!(
                service,
                seconds,
                "the database's clock is ahead of ours: what it says of revocations is not believed"
            );
        }
    }

    /// Up to when everything of all services has been heard: the least of what they said. None before each said something.
    pub fn complete_until(&self) -> Option<Timestamp> {
        let said = self.said.iter().map(|said| said.load(Ordering::Acquire)).min();
        let micros = said.filter(|micros| *micros != NEVER)?;
        let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1000).unwrap_or_default();
        Some(Timestamp { seconds: micros.div_euclid(1_000_000), nanos })
    }

    /// All that is held of a project, and what comes from then on: nothing between the two is missed.
    pub fn listen(&self, project: ProjectId) -> Listening {
        let set = self.set.read().unwrap_or_else(PoisonError::into_inner);
        Listening { held: set.of_project(project.uuid()), all_until: set.all_until(), news: self.told.subscribe() }
    }

    /// Drops what no token outlives.
    pub fn forget(&self) {
        self.set.write().unwrap_or_else(PoisonError::into_inner).forget(Moment::now());
    }

    fn change(&self, change: impl FnOnce(&mut Set) -> Option<Statement>) {
        self.changes(|set| change(set).into_iter().collect());
    }

    /// Told while the set is held, so that listeners hear it in the order in which it came to be.
    fn changes(&self, change: impl FnOnce(&mut Set) -> Vec<Statement>) {
        let mut set = self.set.write().unwrap_or_else(PoisonError::into_inner);
        let all_until = set.all_until();
        let statements = change(&mut set);
        if set.all_until() != all_until {
            tracing::warn!("too many revocations at once: every token of before now is refused");
            let _ = self.told.send(Told::Everything(set.all_until()));
        }
        for statement in statements {
            // Nobody may listen.
            let _ = self.told.send(Told::Statement(statement));
        }
    }
}

/// None for what cannot be revoked in this way.
pub(crate) fn bearer(verified: &Verified) -> Option<Bearer> {
    let (issued_at, epoch) = verified.claims.as_ref().map_or((0, 0), |claims| (claims.iat, claims.epoch));
    let project_epoch = verified.claims.as_ref().and_then(AccessClaims::permissions_read_at);
    let bearer = match verified.caller {
        Caller::Member { project, organization, member, session, impersonator } => {
            let ids = (project.uuid(), organization.uuid(), member.uuid(), session.uuid());
            let acting = impersonator.map(|impersonator| match impersonator {
                Impersonator::Member(id, session) => (Subject::Member(id.uuid()), Subject::Session(session.uuid())),
                Impersonator::ServiceAccount(id, key, _) => {
                    (Subject::ServiceAccount(id.uuid()), Subject::ApiKey(key.uuid()))
                }
            });
            Bearer { acting, project_epoch, ..Bearer::member(ids.0, ids.1, ids.2, ids.3, issued_at, epoch) }
        }
        Caller::ServiceAccount { project, organization, id, key } => {
            let organization = organization.map(OrganizationId::uuid);
            let bearer = Bearer::service_account(project.uuid(), organization, id.uuid(), key.uuid(), issued_at);
            Bearer { epoch: project_epoch.map(|_| epoch), project_epoch, ..bearer }
        }
        Caller::Operator | Caller::Anonymous | Caller::Workload { .. } => return None,
    };
    Some(Bearer { token: verified.claims.as_ref().and_then(|claims| claims.jti.parse().ok()), ..bearer })
}

fn index(service: Service) -> Option<usize> {
    match service {
        Service::Org => Some(0),
        Service::Member => Some(1),
        Service::Authz => Some(2),
        Service::Gateway => None,
    }
}

fn milliseconds_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or_default()
}

/// A time before 1970 is no time of ours, and older than any bound.
fn system_time(time: Timestamp) -> SystemTime {
    let nanos = u32::try_from(time.nanos).unwrap_or_default();
    let since_epoch = u64::try_from(time.seconds).map_or(Duration::ZERO, |seconds| Duration::new(seconds, nanos));
    UNIX_EPOCH.checked_add(since_epoch).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use tenancy::{MemberId, SessionId};
    use tonic::Code;

    use super::*;

    fn token(caller: Caller) -> Verified {
        Verified { caller, claims: None, begins_at: 0, expires_at: u64::MAX }
    }

    fn member() -> (Verified, ProjectId, SessionId) {
        let session = SessionId::new();
        let (project, organization, member) = (ProjectId::new(), OrganizationId::new(), MemberId::new());
        (token(Caller::Member { project, organization, member, session, impersonator: None }), project, session)
    }

    fn now() -> Timestamp {
        SystemTime::now().into()
    }

    #[test]
    fn without_news_only_what_cannot_be_revoked_is_let_through() {
        let invalidations = Invalidations::new(&RevocationOptions { revocation_lag: Duration::from_secs(60) });
        let (member, project, session) = member();
        assert_eq!(invalidations.check(&member).unwrap_err().code(), Code::Unavailable);
        assert!(invalidations.check(&token(Caller::Operator)).is_ok());
        for others in [Service::Org, Service::Authz] {
            invalidations.heard_until(others, now());
            assert_eq!(invalidations.check(&member).unwrap_err().code(), Code::Unavailable);
        }
        invalidations.heard_until(Service::Member, now());
        assert!(invalidations.check(&member).is_ok());
        invalidations.end(project, Subject::Session(session.uuid()));
        assert_eq!(invalidations.check(&member).unwrap_err().code(), Code::Unauthenticated);
    }

    #[test]
    fn whoever_listens_hears_what_is_there_and_what_comes() {
        let invalidations = Invalidations::new(&RevocationOptions { revocation_lag: Duration::from_secs(60) });
        let (project, first, second) = (ProjectId::new(), SessionId::new(), SessionId::new());
        let end = |project, session: SessionId| invalidations.end(project, Subject::Session(session.uuid()));
        end(project, first);
        end(ProjectId::new(), second);
        let mut listening = invalidations.listen(project);
        let held: Vec<_> = listening.held.iter().map(|statement| statement.project).collect();
        assert_eq!((held, listening.all_until), (vec![project.uuid()], 0));
        let third = SessionId::new();
        end(project, third);
        let Ok(Told::Statement(news)) = listening.news.try_recv() else { panic!("nothing was told") };
        assert_eq!(news.subject, Subject::Session(third.uuid()));
        assert!(listening.news.try_recv().is_err());
    }

    #[test]
    fn all_is_told_up_to_where_the_last_has_come() {
        let invalidations = Invalidations::new(&RevocationOptions { revocation_lag: Duration::from_secs(60) });
        let at = |seconds| Timestamp { seconds, nanos: 5000 };
        invalidations.heard_until(Service::Org, at(30));
        invalidations.heard_until(Service::Member, at(10));
        assert_eq!(invalidations.complete_until(), None);
        invalidations.heard_until(Service::Authz, at(20));
        assert_eq!(invalidations.complete_until(), Some(at(10)));
    }
}
