//! The stream of an organization's revisions, with what each changed for whoever wants it.

use std::{
    collections::HashMap,
    iter, mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use access::Granted;
use api::{
    access::v1::ErrorReason,
    authz::v1::{AuthorizationFact, WatchRevisionsRequest, WatchRevisionsResponse},
};
use engine::Change;
use prost::Message;
use runtime::Refusal;
use tenancy::{Actor, OrganizationScope};
use tokio::time::{Instant, sleep};
use tonic::{Code, Response, Status, codegen::BoxStream};

use super::{
    Server,
    convert::fact,
    convert::time,
    outlet::{self, Ended, Outlet},
    refusal::{invalid_revision, snapshot},
};
use crate::{
    model::Revision,
    snapshots::{Consistency, News, Told},
};

/// Nothing that happens is learnt of later than this after the snapshots know it.
const LOOK: Duration = Duration::from_millis(250);
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Whoever answers for themselves has to know that what they have is fresh.
const HEARTBEAT_WITH_CHANGES: Duration = Duration::from_millis(500);
/// Whether the caller may still watch is asked this often, and whenever something has changed. The outlet asks besides, before it lets
/// out what has waited for its reader.
const ASK_RIGHT: Duration = Duration::from_secs(1);
/// Whoever reads nothing for so long may go on behind what they have.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many messages wait to be read: each may be large.
const WAITING: usize = 1;
/// Streams that one caller may have open.
const MAX_STREAMS: usize = 1000;
const MAX_FACTS: usize = 1000;
const MAX_BYTES: usize = 1024 * 1024;

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

impl Server {
    pub(super) fn watch(
        &self,
        granted: Granted<OrganizationScope>,
        asked: WatchRevisionsRequest,
    ) -> Result<Response<BoxStream<WatchRevisionsResponse>>, Status> {
        let told = match asked.after_revision.as_str() {
            "" => None,
            token => Some(Revision::parse(self.sealer(), token).map_err(|_| invalid_revision("after_revision"))?),
        };
        // Without the changes the first message is the present revision; a token of anything else has nothing that goes on behind it.
        let of_it = |told: &Revision| told.tenant == granted.scope.organization_id();
        let told = told.filter(|told| asked.include_changes && of_it(told));
        let _stream = self.streams.open(granted.caller.principal())?;
        let (server, access, call, reader) = (self.clone(), self.access.clone(), granted.call.clone(), granted.clone());
        let right = move || {
            let (access, reader) = (access.clone(), reader.clone());
            async move { access.still(&reader).await }
        };
        let watch = Watch { granted, include_changes: asked.include_changes, told, _stream };
        Ok(outlet::stream(&call, WAITING, PATIENCE, right, |outlet| watch.run(server, outlet)))
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

impl Watch {
    /// Until the reader goes away, or may not go on.
    async fn run(mut self, server: Server, outlet: Outlet<WatchRevisionsResponse>) -> Result<(), Ended> {
        tokio::select! {
            ended = self.follow(&server, &outlet) => Err(ended),
            () = outlet.left() => Err(Ended::Left),
        }
    }

    async fn follow(&mut self, server: &Server, outlet: &Outlet<WatchRevisionsResponse>) -> Ended {
        let mut heard = Heard { right: Instant::now(), word: None };
        loop {
            if let Err(ended) = self.step(server, outlet, &mut heard).await {
                return ended;
            }
        }
    }

    async fn step(
        &mut self,
        server: &Server,
        outlet: &Outlet<WatchRevisionsResponse>,
        heard: &mut Heard,
    ) -> Result<(), Ended> {
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
            self.tell(server, outlet).await?;
        } else if news || due && self.told == Some(state.revision()) {
            let message = WatchRevisionsResponse {
                revision: state.token().to_owned(),
                proven_time: Some(time::to_proto(state.proven_time())),
                ..WatchRevisionsResponse::default()
            };
            outlet.send(message).await?;
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
    async fn tell(&mut self, server: &Server, outlet: &Outlet<WatchRevisionsResponse>) -> Result<(), Ended> {
        let scope = self.granted.scope;
        let news = match self.told {
            Some(told) => server.snapshots.news(scope, told).await.map_err(snapshot)?,
            None => News::Unknown,
        };
        let last = |revision: Revision, proven_time| WatchRevisionsResponse {
            revision: revision.token(server.sealer()),
            proven_time: Some(time::to_proto(proven_time)),
            ..WatchRevisionsResponse::default()
        };
        match news {
            News::Changes(Told { changes, revision, proven_time }) => {
                self.told = Some(revision);
                send(parts(changes.into_iter(), false, last(revision, proven_time)), outlet).await
            }
            News::Unknown => {
                let state = server.snapshots.at(scope, Consistency::FullyConsistent).await.map_err(snapshot)?;
                self.told = Some(state.revision());
                send(parts(state.engine.facts(), true, last(state.revision(), state.proven_time())), outlet).await
            }
        }
    }
}

/// Each message is made when the one before has found its place.
async fn send(
    messages: impl Iterator<Item = WatchRevisionsResponse>,
    outlet: &Outlet<WatchRevisionsResponse>,
) -> Result<(), Ended> {
    for message in messages {
        outlet.send(message).await?;
    }
    Ok(())
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
fn parts(
    changes: impl Iterator<Item = Change>,
    mut start: bool,
    last: WatchRevisionsResponse,
) -> impl Iterator<Item = WatchRevisionsResponse> {
    let weighed = |fact: AuthorizationFact| (fact.encoded_len(), fact);
    let mut changes = changes.map(fact::to_proto).map(weighed).peekable();
    let mut last = Some(last);
    iter::from_fn(move || {
        last.as_ref()?;
        let (mut facts, mut bytes) = (Vec::new(), 0);
        let fits = |weight, count, bytes| count == 0 || count < MAX_FACTS && bytes + weight <= MAX_BYTES;
        while let Some((weight, fact)) = changes.next_if(|(weight, _)| fits(*weight, facts.len(), bytes)) {
            bytes += weight;
            facts.push(fact);
        }
        let message = if changes.peek().is_none() { last.take()? } else { WatchRevisionsResponse::default() };
        Some(WatchRevisionsResponse { facts, start: mem::take(&mut start), ..message })
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn only_the_last_part_has_a_revision_and_only_the_first_begins_anew() {
        for count in [0, 1, MAX_FACTS, MAX_FACTS + 1, 3 * MAX_FACTS] {
            let last = WatchRevisionsResponse { revision: "r".to_owned(), ..WatchRevisionsResponse::default() };
            let changes = iter::repeat_n(Change::Organization { active: true }, count);
            let parts: Vec<WatchRevisionsResponse> = parts(changes, true, last).collect();
            assert_eq!(parts.iter().map(|part| part.facts.len()).sum::<usize>(), count);
            let ends: Vec<usize> = (0..parts.len()).filter(|at| !parts[*at].revision.is_empty()).collect();
            let starts: Vec<usize> = (0..parts.len()).filter(|at| parts[*at].start).collect();
            assert_eq!((ends, starts), (vec![parts.len() - 1], vec![0]), "{count}");
        }
    }

    #[test]
    fn no_part_is_made_before_it_is_asked_for() {
        let made = Cell::new(0);
        let changes = iter::repeat_with(|| Change::Organization { active: true }).inspect(|_| made.set(made.get() + 1));
        let mut parts = parts(changes, true, WatchRevisionsResponse::default());
        assert_eq!(made.get(), 0);
        assert_eq!(parts.next().map(|part| part.facts.len()), Some(MAX_FACTS));
        assert_eq!(made.get(), MAX_FACTS + 1, "one more, to see whether it was the last");
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
