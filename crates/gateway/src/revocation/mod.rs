//! What was valid and is no longer: told by member-service's events, and of whole organizations and projects by org-service's, and refused here
//! within a second.
//!
//! Tokens are verified offline, so a token goes on being well-formed after its member was removed. The gateway therefore follows the
//! feed from further back than a token lives, and holds what it says in memory. The feed says every second up to when it is complete, by
//! the clock of member-service's database: what is committed and held back there (see crate tenancy, module feed) is not yet told. When
//! that time lies further back than `--revocation-lag`, a token might be revoked without our knowing, and every token that can be
//! revoked is refused with UNAVAILABLE until the feed has caught up. The operator's token is not among them: it is revoked by changing
//! the configuration.
//!
//! Two clocks are compared here, once for each time that comes; from then on a clock that nobody sets counts. Where ours is ahead
//! of the database's, the news look older than they are and tokens are refused the sooner, up to all of them. Where it is behind by
//! some seconds, news may be older than the bound by as many; from a time that is ahead of us by more than the bound itself nothing
//! is believed. So the longest that a revoked token is let through is the bound plus the clocks' difference, and never twice the bound.

mod learn;
mod set;

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use access::{Caller, Verified};
use api::event::v1::Event;
use feed::News;
use prost_types::Timestamp;
use runtime::Condition;
use tenancy::{OrganizationId, SessionId};
use tokio::{sync::Notify, time::timeout};
use tonic::Status;

use crate::{mint, refusal};
use set::{Bearer, Set};

/// How long an entry is held from the moment it is learnt: a token lives no longer, the difference of two clocks included.
const KEEP: Duration = mint::LIFETIME.saturating_add(Duration::from_secs(60));
/// How far back the feed is read at the start.
const LOOK_BACK: Duration = Duration::from_secs(15 * 60);
const LOOK_AFTER: Duration = Duration::from_millis(250);
const NEVER: u64 = u64::MAX;

#[derive(Debug)]
pub struct Revocations {
    set: RwLock<Set>,
    /// Up to when the feed is complete, in milliseconds since `since`.
    complete_until: AtomicU64,
    since: Instant,
    lag: Duration,
    /// Told whenever the time above changes.
    told: Notify,
}

impl Revocations {
    pub fn new(lag: Duration) -> Self {
        // News of before the start count too, up to the bound.
        let since = Instant::now().checked_sub(lag).unwrap_or_else(Instant::now);
        Self { set: RwLock::default(), complete_until: AtomicU64::new(NEVER), since, lag, told: Notify::new() }
    }

    /// Refuses a credential that was revoked, or of which that is not known.
    pub fn check(&self, verified: &Verified) -> Result<(), Status> {
        let issued_at = verified.claims.as_ref().map_or(0, |claims| claims.iat);
        let bearer = match verified.caller {
            Caller::Member { project, organization, member, session } => Bearer {
                holder: member.uuid(),
                project: project.uuid(),
                organization: Some(organization.uuid()),
                by: session.uuid(),
                began_at: milliseconds_of(session),
                issued_at,
            },
            Caller::ServiceAccount { project, organization, id, key } => Bearer {
                holder: id.uuid(),
                project: project.uuid(),
                organization: organization.map(OrganizationId::uuid),
                by: key.uuid(),
                began_at: issued_at.saturating_mul(1000),
                issued_at,
            },
            Caller::Operator | Caller::Anonymous | Caller::Workload { .. } => return Ok(()),
        };
        // Known to be revoked is said even when what else was revoked is not known.
        if self.set.read().unwrap_or_else(PoisonError::into_inner).refuses(&bearer) {
            return Err(refusal::credential_revoked());
        }
        if self.is_live() { Ok(()) } else { Err(refusal::revocations_unknown()) }
    }

    /// Refuses a session's tokens from now on, without waiting for the feed to say so.
    pub fn end(&self, session: SessionId) {
        self.write(|set, now| set.refuse(session.uuid(), i64::MAX, now));
    }

    fn hear(&self, event: &Event) {
        self.write(|set, now| learn::learn(set, event, now));
    }

    /// Everything is known that was committed before a time of the database's, which it told at a time of ours. A later word counts
    /// also where it says less: the feed may have begun anew.
    fn complete_until(&self, time: SystemTime, now: SystemTime) {
        let age = match now.duration_since(time) {
            Ok(age) => age,
            Err(ahead) if ahead.duration() <= self.lag => Duration::ZERO,
            Err(ahead) => {
                let seconds = ahead.duration().as_secs();
                tracing::warn!(
                    seconds,
                    "the database's clock is ahead of ours: what it says of revocations is not believed"
                );
                return self.complete_until.store(NEVER, Ordering::Relaxed);
            }
        };
        let age = u64::try_from(age.as_millis()).unwrap_or(NEVER);
        self.complete_until.store(self.elapsed().checked_sub(age).unwrap_or(NEVER), Ordering::Relaxed);
        self.told.notify_one();
    }

    fn is_live(&self) -> bool {
        let complete_until = self.complete_until.load(Ordering::Relaxed);
        complete_until != NEVER && u128::from(self.elapsed().saturating_sub(complete_until)) <= self.lag.as_millis()
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(NEVER - 1)
    }

    fn write(&self, change: impl FnOnce(&mut Set, Instant)) {
        change(&mut self.set.write().unwrap_or_else(PoisonError::into_inner), Instant::now());
    }
}

/// When a session began, by its id.
fn milliseconds_of(session: SessionId) -> u64 {
    let (seconds, nanoseconds) = session.uuid().get_timestamp().map_or((0, 0), |time| time.to_unix());
    seconds * 1000 + u64::from(nanoseconds / 1_000_000)
}

/// A time before 1970 is no time of ours, and older than any bound.
fn system_time(time: Timestamp) -> SystemTime {
    let nanos = u32::try_from(time.nanos).unwrap_or_default();
    let since_epoch = u64::try_from(time.seconds).map_or(Duration::ZERO, |seconds| Duration::new(seconds, nanos));
    UNIX_EPOCH.checked_add(since_epoch).unwrap_or(UNIX_EPOCH)
}

/// Follows member-service's feed for as long as the process lives.
pub async fn follow(source: feed::Source, revocations: Arc<Revocations>, now: SystemTime) {
    feed::follow(source, start(now), |news| match news {
        News::Event(event) => revocations.hear(event),
        News::CompleteUntil(time) => revocations.complete_until(system_time(time), SystemTime::now()),
    })
    .await;
}

/// Follows org-service's feed, so that no token from before an organization was shut comes back when it is opened again. While it is
/// shut, as while its project is archived, every service refuses for itself, so nothing hangs on how fresh this is.
pub async fn follow_organizations(source: feed::Source, revocations: Arc<Revocations>, now: SystemTime) {
    feed::follow(source, start(now), |news| {
        if let News::Event(event) = news {
            revocations.hear(event);
        }
    })
    .await;
}

fn start(now: SystemTime) -> Timestamp {
    let start = now.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(LOOK_BACK);
    Timestamp { seconds: start.as_secs().try_into().unwrap_or(i64::MAX), nanos: 0 }
}

/// Keeps readiness true to the feed, as soon as it tells something, and forgets what has expired.
pub async fn watch(revocations: Arc<Revocations>, condition: Condition) {
    loop {
        match revocations.is_live() {
            true => condition.met(),
            false => condition.unmet("no fresh news from member-service: tokens that can be revoked are refused"),
        }
        revocations.write(Set::forget);
        let _ = timeout(LOOK_AFTER, revocations.told.notified()).await;
    }
}

#[cfg(test)]
mod tests {
    use tenancy::{MemberId, ProjectId};
    use tonic::Code;

    use super::*;

    fn token(caller: Caller) -> Verified {
        Verified { caller, claims: None, expires_at: u64::MAX }
    }

    fn member() -> (Verified, SessionId) {
        let session = SessionId::new();
        let (project, organization, member) = (ProjectId::new(), OrganizationId::new(), MemberId::new());
        (token(Caller::Member { project, organization, member, session }), session)
    }

    #[test]
    fn without_news_only_what_cannot_be_revoked_is_let_through() {
        let revocations = Revocations::new(Duration::from_secs(60));
        let (member, session) = member();
        assert_eq!(revocations.check(&member).unwrap_err().code(), Code::Unavailable);
        assert!(revocations.check(&token(Caller::Operator)).is_ok());
        revocations.complete_until(SystemTime::now(), SystemTime::now());
        assert!(revocations.check(&member).is_ok());
        revocations.end(session);
        assert_eq!(revocations.check(&member).unwrap_err().code(), Code::Unauthenticated);
    }

    #[test]
    fn news_grow_old() {
        let revocations = Revocations::new(Duration::from_millis(20));
        let (member, _) = member();
        revocations.complete_until(SystemTime::now(), SystemTime::now());
        assert!(revocations.is_live());
        while revocations.is_live() {
            std::thread::yield_now();
        }
        assert_eq!(revocations.check(&member).unwrap_err().code(), Code::Unavailable);
    }

    #[test]
    fn news_are_as_old_as_what_they_tell_of_and_not_as_their_coming() {
        let (lag, now) = (Duration::from_secs(60), SystemTime::now());
        let revocations = Revocations::new(lag);
        let second = Duration::from_secs(1);
        for (told, live) in [
            (now, true),
            (now - (lag - second), true),
            (now - (lag + second), false),
            (now - 100 * lag, false),
            (UNIX_EPOCH, false),
            // The clocks differ.
            (now + lag, true),
            (now + lag + second, false),
        ] {
            revocations.complete_until(told, now);
            assert_eq!(revocations.is_live(), live, "{told:?} at {now:?}");
        }
    }
}
