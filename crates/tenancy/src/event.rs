//! Events: what one committed write did. The audit record, the change feed and the chain that proves them are the same rows.
//!
//! Each tenant has one chain in each service. An event's hash is SHA-256 over its fields, each preceded by its length as eight
//! bytes, big-endian, in this order: the word `guildhall.event.v1`; organization_id and project_id (16 bytes each); revision
//! (8 bytes) and ordinal (4 bytes), big-endian; event_id (16 bytes); kind; actor; on_behalf_of (empty where nobody); the number of
//! subject ids (8 bytes) and each of them; request_id; trace_id; time in microseconds since 1970 (8 bytes); the payload's SHA-256;
//! the previous event's hash (32 zero bytes for the first). The payload itself is not covered, its hash is: a payload can be
//! erased and the chain still verifies.

use std::{fmt, str::FromStr};

use aws_lc_rs::digest;
use time::OffsetDateTime;

use crate::{EventId, MemberId, OrganizationId, ProjectId, ServiceAccountId};

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Actor {
    Member(MemberId),
    ServiceAccount(ServiceAccountId),
    Operator,
    /// One of our own services, by its name.
    Workload(String),
    /// Nobody who said who they are: the bearer of an invitation, a person signing in.
    Anonymous,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(id) => id.fmt(f),
            Self::ServiceAccount(id) => id.fmt(f),
            Self::Operator => f.write_str("operator"),
            Self::Workload(name) => write!(f, "workload:{name}"),
            Self::Anonymous => f.write_str("anonymous"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("names no actor")]
pub struct NoActor;

impl FromStr for Actor {
    type Err = NoActor;

    fn from_str(text: &str) -> Result<Self, NoActor> {
        match text {
            "operator" => Ok(Self::Operator),
            "anonymous" => Ok(Self::Anonymous),
            _ => {
                if let Some(name) = text.strip_prefix("workload:") {
                    Ok(Self::Workload(name.to_owned()))
                } else if let Ok(id) = text.parse() {
                    Ok(Self::Member(id))
                } else {
                    text.parse().map(Self::ServiceAccount).map_err(|_| NoActor)
                }
            }
        }
    }
}

/// Where a write comes from: kept with each of its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub actor: Actor,
    /// Whom a service acts for, or whom a support person impersonates.
    pub on_behalf_of: Option<Actor>,
    /// The `x-request-id` of the call.
    pub request_id: String,
    /// The W3C trace id, 32 hexadecimal digits, or empty.
    pub trace_id: String,
}

impl Origin {
    /// A service's own work that answers no call.
    pub fn background(service: &str) -> Self {
        Self {
            actor: Actor::Workload(service.to_owned()),
            on_behalf_of: None,
            request_id: String::new(),
            trace_id: String::new(),
        }
    }
}

/// An event about to be written. The payload is the change in JSON, before and after, without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// `<resource>.<what happened>`, such as `member.removed`.
    pub kind: &'static str,
    pub subject_ids: Vec<String>,
    pub payload: String,
}

impl NewEvent {
    pub fn new(kind: &'static str, subject_ids: Vec<String>, payload: &impl serde::Serialize) -> Self {
        Self { kind, subject_ids, payload: serde_json::to_string(payload).expect("a change is plain data") }
    }
}

/// The payload of an event: a resource before and after, in the service's own model. The kind of the event tells the resource.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Change<T> {
    pub before: Option<T>,
    pub after: Option<T>,
}

impl<T> Change<T> {
    pub fn created(after: T) -> Self {
        Self { before: None, after: Some(after) }
    }

    pub fn updated(before: T, after: T) -> Self {
        Self { before: Some(before), after: Some(after) }
    }

    pub fn removed(before: T) -> Self {
        Self { before: Some(before), after: None }
    }
}

/// A committed event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub event_id: EventId,
    /// The project's own uuid for the events of the project itself.
    pub organization_id: OrganizationId,
    pub project_id: ProjectId,
    pub revision: i64,
    pub ordinal: i32,
    pub kind: String,
    pub actor: String,
    pub on_behalf_of: Option<String>,
    pub subject_ids: Vec<String>,
    /// None once it was erased.
    pub payload: Option<String>,
    pub payload_hash: Vec<u8>,
    pub request_id: String,
    pub trace_id: String,
    pub time: OffsetDateTime,
    pub previous_hash: Vec<u8>,
    pub hash: Vec<u8>,
}

pub const FIRST_PREVIOUS_HASH: [u8; 32] = [0; 32];

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

impl Event {
    /// The hash that this event must have: see the head of this module.
    pub fn computed_hash(&self) -> [u8; 32] {
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut field = |bytes: &[u8]| {
            hash.update(&(bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        field(b"guildhall.event.v1");
        field(self.organization_id.uuid().as_bytes());
        field(self.project_id.uuid().as_bytes());
        field(&self.revision.to_be_bytes());
        field(&self.ordinal.to_be_bytes());
        field(self.event_id.uuid().as_bytes());
        field(self.kind.as_bytes());
        field(self.actor.as_bytes());
        field(self.on_behalf_of.as_deref().unwrap_or_default().as_bytes());
        field(&(self.subject_ids.len() as u64).to_be_bytes());
        for id in &self.subject_ids {
            field(id.as_bytes());
        }
        field(self.request_id.as_bytes());
        field(self.trace_id.as_bytes());
        field(&microseconds(self.time).to_be_bytes());
        field(&self.payload_hash);
        field(&self.previous_hash);
        let mut computed = [0; 32];
        computed.copy_from_slice(hash.finish().as_ref());
        computed
    }
}

fn microseconds(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX)
}

/// Now, in the microseconds that the database keeps.
pub fn now() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(now.microsecond() * 1000).unwrap_or(now)
}

/// Where a chain is broken, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Break {
    pub revision: i64,
    pub ordinal: i32,
    /// None where the event itself is missing.
    pub event_id: Option<EventId>,
    pub fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The event's fields do not give its hash.
    Hash,
    /// It does not follow the event before it.
    PreviousHash,
    /// The payload does not give its hash.
    Payload,
    /// An event is missing before it, or at the end.
    Gap,
}

/// What a walk over a chain found so far. Fed with a tenant's events in the order of (revision, ordinal).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainCheck {
    pub events: u64,
    pub first_revision: i64,
    pub last_revision: i64,
    pub last_hash: Vec<u8>,
    /// The first event that does not fit, if any; nothing after it was looked at.
    pub broken: Option<Break>,
    next_ordinal: i32,
}

impl Default for ChainCheck {
    fn default() -> Self {
        Self {
            events: 0,
            first_revision: 0,
            last_revision: 0,
            last_hash: FIRST_PREVIOUS_HASH.to_vec(),
            broken: None,
            next_ordinal: 0,
        }
    }
}

impl ChainCheck {
    pub fn feed(&mut self, event: &Event) {
        if self.broken.is_some() {
            return;
        }
        if let Some(fault) = self.fault(event) {
            let Event { revision, ordinal, event_id, .. } = *event;
            self.broken = Some(Break { revision, ordinal, event_id: Some(event_id), fault });
            return;
        }
        if self.events == 0 {
            self.first_revision = event.revision;
        }
        self.events += 1;
        self.last_revision = event.revision;
        self.next_ordinal = event.ordinal + 1;
        self.last_hash.clone_from(&event.hash);
    }

    fn fault(&self, event: &Event) -> Option<Fault> {
        // Revisions are gap-free and begin at 1; an event is the next of its revision or the first of the next.
        let same = event.revision == self.last_revision && event.ordinal == self.next_ordinal && self.events > 0;
        let next = event.revision == self.last_revision + 1 && event.ordinal == 0;
        if !same && !next {
            Some(Fault::Gap)
        } else if event.previous_hash != self.last_hash {
            Some(Fault::PreviousHash)
        } else if event.computed_hash().as_slice() != event.hash {
            Some(Fault::Hash)
        } else if event.payload.as_ref().is_some_and(|p| sha256(p.as_bytes()).as_slice() != event.payload_hash) {
            Some(Fault::Payload)
        } else {
            None
        }
    }

    /// The chain must end where the head says: cut off at its end, it is broken at the first revision that is missing.
    pub fn end(&mut self, revision: i64, hash: &[u8]) {
        if self.broken.is_none() && (revision, hash) != (self.last_revision, self.last_hash.as_slice()) {
            self.broken =
                Some(Break { revision: self.last_revision + 1, ordinal: 0, event_id: None, fault: Fault::Gap });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chain(revisions: &[usize]) -> Vec<Event> {
        let (organization_id, project_id) = (OrganizationId::new(), ProjectId::new());
        let mut previous = FIRST_PREVIOUS_HASH.to_vec();
        let mut events = Vec::new();
        for (revision, count) in (1..).zip(revisions) {
            for ordinal in 0..*count {
                let payload = format!(r#"{{"n":{revision}}}"#);
                let mut event = Event {
                    event_id: EventId::new(),
                    organization_id,
                    project_id,
                    revision,
                    ordinal: ordinal as i32,
                    kind: "member.created".into(),
                    actor: Actor::Operator.to_string(),
                    on_behalf_of: None,
                    subject_ids: vec![MemberId::new().to_string()],
                    payload_hash: sha256(payload.as_bytes()).to_vec(),
                    payload: Some(payload),
                    request_id: "r".into(),
                    trace_id: String::new(),
                    time: now(),
                    previous_hash: previous.clone(),
                    hash: Vec::new(),
                };
                event.hash = event.computed_hash().to_vec();
                previous.clone_from(&event.hash);
                events.push(event);
            }
        }
        events
    }

    fn check(events: &[Event]) -> ChainCheck {
        let mut check = ChainCheck::default();
        events.iter().for_each(|event| check.feed(event));
        check
    }

    #[test]
    fn a_chain_holds_and_erased_payloads_leave_it_holding() {
        let mut events = chain(&[1, 3, 2]);
        assert_eq!(check(&events).broken, None);
        events[2].payload = None;
        let checked = check(&events);
        assert_eq!((checked.events, checked.first_revision, checked.last_revision, checked.broken), (6, 1, 3, None));
    }

    #[test]
    fn actors_survive_their_text_form() {
        for actor in [
            Actor::Member(MemberId::new()),
            Actor::ServiceAccount(ServiceAccountId::new()),
            Actor::Operator,
            Actor::Workload("org-service".into()),
            Actor::Anonymous,
        ] {
            assert_eq!(actor.to_string().parse(), Ok(actor));
        }
    }

    #[test]
    fn a_chain_cut_off_at_its_end_is_broken() {
        let events = chain(&[1, 1, 2]);
        let (revision, hash) = (events[3].revision, events[3].hash.clone());
        for kept in 0..events.len() {
            let mut check = check(&events[..kept]);
            check.end(revision, &hash);
            assert_eq!(check.broken.map(|b| b.fault), Some(Fault::Gap), "{kept} kept");
        }
        let mut check = check(&events);
        check.end(revision, &hash);
        assert_eq!(check.broken, None);
    }

    proptest! {
        #[test]
        fn any_single_change_breaks_the_chain_where_it_stands(at in 0usize..9, what in 0usize..10) {
            let mut events = chain(&[2, 1, 3, 1, 2]);
            let event = &mut events[at];
            match what {
                0 => event.kind.push('x'),
                1 => event.actor = "anonymous".into(),
                2 => event.on_behalf_of = Some("operator".into()),
                3 => event.subject_ids.push(String::new()),
                4 => event.payload = Some("{}".into()),
                5 => event.time += time::Duration::microseconds(1),
                6 => event.trace_id.push('0'),
                7 => event.project_id = ProjectId::new(),
                8 => event.request_id.push('r'),
                _ => event.event_id = EventId::new(),
            }
            let place = (event.revision, event.ordinal);
            prop_assert_eq!(check(&events).broken.map(|b| (b.revision, b.ordinal)), Some(place));
        }

        #[test]
        fn a_missing_event_breaks_the_chain(at in 0usize..8) {
            let mut events = chain(&[2, 1, 3, 1, 2]);
            events.remove(at);
            // The last event of a revision leaves no gap in the numbers: the hash of the next one tells.
            let fault = check(&events).broken.map(|b| b.fault);
            prop_assert!(matches!(fault, Some(Fault::Gap | Fault::PreviousHash)), "{fault:?}");
        }
    }
}
