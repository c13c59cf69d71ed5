//! The stream of an organization's revisions, with what each changed for whoever wants it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use access::Granted;
use api::{
    access::v1::ErrorReason,
    authz::v1::{AuthorizationFact, WatchRevisionsResponse},
};
use prost::Message;
use runtime::Refusal;
use tenancy::{Actor, OrganizationScope};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};
use tonic::{Code, Status};

use super::{Server, convert::fact, convert::time, refusal::snapshot};
use crate::{
    model::Revision,
    snapshots::{Consistency, News, Told},
};

/// Nothing that happens is learnt of later than this after the snapshots know it.
const LOOK: Duration = Duration::from_millis(250);
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Whoever answers for themselves has to know that what they have is fresh.
const HEARTBEAT_WITH_CHANGES: Duration = Duration::from_millis(500);
/// Whether the caller may still watch is asked this often, and whenever something has changed.
const ASK_RIGHT: Duration = Duration::from_secs(1);
/// Streams that one caller may have open.
const MAX_STREAMS: usize = 1000;
const MAX_FACTS: usize = 1000;
const MAX_BYTES: usize = 1024 * 1024;

type Sender = mpsc::Sender<Result<WatchRevisionsResponse, Status>>;

/// How many streams each caller has open.
#[derive(Debug, Clone, Default)]
pub struct Streams(Arc<Mutex<HashMap<Actor, usize>>>);

/// One of them.
#[derive(Debug)]
pub struct Stream {
    streams: Streams,
    caller: Actor,
}

impl Streams {
    pub fn open(&self, caller: Actor) -> Result<Stream, Status> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(caller.clone()).or_default();
        if *count >= MAX_STREAMS {
            let message = format!("{MAX_STREAMS} streams are open already");
            let refusal = Refusal::new(Code::ResourceExhausted, ErrorReason::Overloaded, message);
            return Err(refusal.retry_after(HEARTBEAT).into());
        }
        *count += 1;
        Ok(Stream { streams: self.clone(), caller })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut open = self.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.caller) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.caller);
            }
        }
    }
}

/// What a reader wants, and has.
#[derive(Debug)]
pub struct Watch {
    pub granted: Granted<OrganizationScope>,
    pub include_changes: bool,
    /// The revision that the reader's view is at.
    pub told: Option<Revision>,
    /// Counts among the caller's for as long as this one runs.
    pub _stream: Stream,
}

/// Why a stream ends.
enum End {
    /// The reader is gone.
    Gone,
    Refused(Status),
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        Self::Refused(status)
    }
}

impl Watch {
    /// Until the reader goes away, or may not go on.
    pub async fn run(mut self, server: Server, sender: Sender) {
        let ended = tokio::select! {
            ended = self.follow(&server, &sender) => ended,
            () = sender.closed() => End::Gone,
        };
        if let End::Refused(status) = ended {
            let _ = sender.send(Err(status)).await;
        }
    }

    async fn follow(&mut self, server: &Server, sender: &Sender) -> End {
        let mut heard = Heard { right: Instant::now(), word: None };
        loop {
            if let Err(end) = self.step(server, sender, &mut heard).await {
                return end;
            }
        }
    }

    async fn step(&mut self, server: &Server, sender: &Sender, heard: &mut Heard) -> Result<(), End> {
        let scope = self.granted.scope;
        let state = server.snapshots.at(scope, Consistency::MinimizeLatency).await.map_err(snapshot)?;
        let news = self.told.is_none_or(|told| is_ahead(state.revision(), told));
        if news || heard.right.elapsed() >= ASK_RIGHT {
            server.access.still(&self.granted).await?;
            heard.right = Instant::now();
        }
        let heartbeat = if self.include_changes { HEARTBEAT_WITH_CHANGES } else { HEARTBEAT };
        let due = heard.word.is_none_or(|last| last.elapsed() >= heartbeat);
        if news && self.include_changes {
            if state.is_faulty() {
                // Its events do not say it all.
                self.told = None;
            }
            self.tell(server, sender).await?;
        } else if news || due && self.told == Some(state.revision()) {
            let message = WatchRevisionsResponse {
                revision: state.token().to_owned(),
                proven_time: Some(time::to_proto(state.proven_time())),
                ..WatchRevisionsResponse::default()
            };
            sender.send(Ok(message)).await.map_err(|_| End::Gone)?;
            self.told = Some(state.revision());
        } else {
            let [own, template] = state.floors();
            tokio::select! {
                () = own.raised() => {}
                () = template.raised() => {}
                () = sleep(LOOK) => {}
            }
            return Ok(());
        }
        heard.word = Some(Instant::now());
        Ok(())
    }

    /// What the reader's view lacks.
    async fn tell(&mut self, server: &Server, sender: &Sender) -> Result<(), End> {
        let scope = self.granted.scope;
        let news = match self.told {
            Some(told) => server.snapshots.news(scope, told).await.map_err(snapshot)?,
            None => News::Unknown,
        };
        let (start, told) = match news {
            News::Changes(told) => (false, told),
            News::Unknown => (true, server.snapshots.whole(scope).await.map_err(snapshot)?),
        };
        self.told = Some(told.revision);
        let last = WatchRevisionsResponse {
            revision: told.revision.token(server.sealer()),
            proven_time: Some(time::to_proto(told.proven_time)),
            ..WatchRevisionsResponse::default()
        };
        for message in parts(told, start, last) {
            sender.send(Ok(message)).await.map_err(|_| End::Gone)?;
        }
        Ok(())
    }
}

/// Of another history, or further in the same.
fn is_ahead(now: Revision, told: Revision) -> bool {
    now.incarnation != told.incarnation || now.own > told.own || now.template > told.template
}

struct Heard {
    /// When the caller's right was last asked for.
    right: Instant,
    /// When the reader was last told anything.
    word: Option<Instant>,
}

/// In messages of a bearable size, of which `last` is the last.
fn parts(told: Told, start: bool, last: WatchRevisionsResponse) -> Vec<WatchRevisionsResponse> {
    let mut messages = Vec::new();
    let (mut facts, mut bytes): (Vec<AuthorizationFact>, usize) = (Vec::new(), 0);
    for fact in told.changes.into_iter().map(fact::to_proto) {
        let weight = fact.encoded_len();
        if !facts.is_empty() && (facts.len() >= MAX_FACTS || bytes + weight > MAX_BYTES) {
            messages.push(WatchRevisionsResponse {
                facts: std::mem::take(&mut facts),
                ..WatchRevisionsResponse::default()
            });
            bytes = 0;
        }
        bytes += weight;
        facts.push(fact);
    }
    messages.push(WatchRevisionsResponse { facts, ..last });
    if let Some(first) = messages.first_mut() {
        first.start = start;
    }
    messages
}

#[cfg(test)]
mod tests {
    use ::time::OffsetDateTime;
    use engine::Change;
    use tenancy::OrganizationId;
    use uuid::Uuid;

    use super::*;

    fn told(changes: usize) -> Told {
        let revision = Revision { tenant: OrganizationId::new(), incarnation: Uuid::nil(), own: 1, template: 0 };
        let changes = vec![Change::Organization { active: true }; changes];
        Told { changes, revision, proven_time: OffsetDateTime::UNIX_EPOCH }
    }

    #[test]
    fn only_the_last_part_has_a_revision_and_only_the_first_begins_anew() {
        for count in [0, 1, MAX_FACTS, MAX_FACTS + 1, 3 * MAX_FACTS] {
            let last = WatchRevisionsResponse { revision: "r".to_owned(), ..WatchRevisionsResponse::default() };
            let parts = parts(told(count), true, last);
            assert_eq!(parts.iter().map(|part| part.facts.len()).sum::<usize>(), count);
            let ends: Vec<usize> = (0..parts.len()).filter(|at| !parts[*at].revision.is_empty()).collect();
            let starts: Vec<usize> = (0..parts.len()).filter(|at| parts[*at].start).collect();
            assert_eq!((ends, starts), (vec![parts.len() - 1], vec![0]), "{count}");
        }
    }

    #[test]
    fn a_caller_has_so_many_streams_and_one_more_when_one_ends() {
        let streams = Streams::default();
        let mut open: Vec<Stream> = (0..MAX_STREAMS).map(|_| streams.open(Actor::Operator).unwrap()).collect();
        assert_eq!(streams.open(Actor::Operator).unwrap_err().code(), Code::ResourceExhausted);
        assert!(streams.open(Actor::Anonymous).is_ok(), "another caller");
        open.pop();
        open.push(streams.open(Actor::Operator).unwrap());
        drop(open);
        assert!(streams.0.lock().unwrap().is_empty());
    }
}
