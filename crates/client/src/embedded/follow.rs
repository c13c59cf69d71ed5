//! Follows the stream of an organization's revisions for as long as somebody wants to be answered.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use api::authz::v1::{WatchRevisionsRequest, WatchRevisionsResponse};
use engine::{Catalog, Change, OrganizationData, Snapshot};
use tokio::time::{sleep, timeout};
use tonic::{Code, Request, Status};

use super::{
    Server,
    clock::{DatabaseTime, Moment, Offset},
    fact::{self, NotUnderstood},
    held::{Held, State, View},
};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Before something that was not understood is asked for again.
const LONG_PAUSE: Duration = Duration::from_secs(30);
/// The stream says that it is alive twice a second. One that is silent for so long is given up for another.
const SILENCE: Duration = Duration::from_secs(5);
/// A stream's own deadline. It goes on with another one behind it.
const LIFE: Duration = Duration::from_secs(24 * 3600);
/// So many messages in a row whose proof was too old when they came mean that the clocks have parted, and their difference is to be found
/// anew.
const LATE: u32 = 10;

#[derive(Debug)]
pub struct Follower {
    pub server: Server,
    pub organization_id: String,
    pub bound: Duration,
    /// For the head of an answer.
    pub patience: Duration,
    pub held: Arc<Held>,
    pub offset: Option<Offset>,
}

/// Why a stream is not read any further.
enum Stop {
    /// Another one goes on behind it.
    Broken,
    /// Another one is to begin anew.
    Astray,
    Refused(Status),
    NotUnderstood(NotUnderstood),
}

impl From<Status> for Stop {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::PermissionDenied
            | Code::Unauthenticated
            | Code::NotFound
            | Code::FailedPrecondition
            | Code::InvalidArgument
            | Code::OutOfRange
            | Code::Unimplemented => Self::Refused(status),
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::AlreadyExists
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss => Self::Broken,
        }
    }
}

/// What is told before the message that completes it.
struct Draft {
    engine: Snapshot,
    anew: bool,
}

impl Follower {
    pub async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        let mut go_on = true;
        loop {
            let stop = self.follow(go_on, &mut pause).await;
            go_on = matches!(stop, Stop::Broken);
            match stop {
                Stop::Broken | Stop::Astray => {}
                // It may be the token that has run out, or the place in the stream that is refused: whoever has neither is asked once more.
                // Nothing is answered meanwhile.
                Stop::Refused(status) => {
                    let was_holding = matches!(&**self.held.state(), State::Holding(_));
                    if !was_holding {
                        return self.held.void(State::Ended(status));
                    }
                    self.held.void(State::Empty);
                }
                Stop::NotUnderstood(what) => {
                    self.held.void(State::NotUnderstood(what.to_string()));
                    pause = LONG_PAUSE;
                }
            }
            sleep(shaken(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Until the stream ends, or must not be read on.
    async fn follow(&mut self, go_on: bool, pause: &mut Duration) -> Stop {
        let after_revision = match &**self.held.state() {
            State::Holding(view) if go_on && self.offset.is_some() => view.revision.to_string(),
            _ => String::new(),
        };
        let mut opened = Some(Moment::now());
        let organization_id = self.organization_id.clone();
        let mut request =
            Request::new(WatchRevisionsRequest { organization_id, include_changes: true, after_revision });
        request.set_timeout(LIFE);
        let mut stream = match timeout(self.patience, self.server.watch_revisions(request)).await {
            Ok(Ok(opened)) => opened.into_inner(),
            Ok(Err(status)) => return status.into(),
            Err(_) => return Stop::Broken,
        };
        let (mut draft, mut late) = (None, 0);
        loop {
            let message = match timeout(SILENCE, stream.message()).await {
                Ok(Ok(Some(message))) => message,
                Ok(Err(status)) => return status.into(),
                Ok(Ok(None)) | Err(_) => return Stop::Broken,
            };
            match self.take(message, &mut draft, &mut opened) {
                Ok(None) => continue,
                Ok(Some(true)) => (late, *pause) = (0, FIRST_PAUSE),
                Ok(Some(false)) if late == LATE => return Stop::Astray,
                Ok(Some(false)) => late += 1,
                Err(stop) => return stop,
            }
        }
    }

    /// Takes a message up; whether its proof was within the bound when it came, if it completes something. `opened` is there until the first
    /// that does: of what begins anew in the middle of a stream it is not known when that was asked for.
    fn take(
        &mut self,
        message: WatchRevisionsResponse,
        draft: &mut Option<Draft>,
        opened: &mut Option<Moment>,
    ) -> Result<Option<bool>, Stop> {
        let arrived = Moment::now();
        let state = self.held.state();
        let holding = match &**state {
            State::Holding(view) => Some(view),
            State::Empty | State::NotUnderstood(_) | State::Ended(_) => None,
        };
        if message.start {
            let nothing = OrganizationData::empty(Arc::new(Catalog::system()));
            *draft = Some(Draft { engine: Snapshot::build(&nothing), anew: true });
        }
        if !message.facts.is_empty() {
            let changes = message.facts.into_iter().map(fact::change).collect::<Result<Vec<Change>, _>>();
            let changes = changes.map_err(Stop::NotUnderstood)?;
            let engine = match (draft.as_ref(), holding) {
                (Some(draft), _) => &draft.engine,
                (None, Some(view)) => &view.engine,
                (None, None) => return Err(Stop::Astray),
            };
            let anew = draft.as_ref().is_some_and(|draft| draft.anew);
            *draft = Some(Draft { engine: engine.apply(&changes), anew });
        }
        if message.revision.is_empty() {
            return Ok(None);
        }
        let told = DatabaseTime::from(message.proven_time.ok_or(Stop::Astray)?);
        let draft = draft.take();
        if let Some(opened) = opened.take()
            && draft.as_ref().is_some_and(|draft| draft.anew)
        {
            // A start is read after it was asked for: no clock of this machine has to agree with the database's.
            self.offset = Some(Offset::told_after(opened, told));
        }
        let offset = self.offset.as_mut().ok_or(Stop::Astray)?;
        let proven = offset.moment_of(told, arrived);
        match (draft, holding) {
            (Some(Draft { engine, anew }), _) => self.held.hold(View::new(engine, message.revision, proven), anew),
            (None, Some(view)) if *view.revision == *message.revision => self.held.prove(view, proven),
            // A revision that changed nothing of what decides.
            (None, Some(view)) => self.held.hold(View::new(view.engine.clone(), message.revision, proven), false),
            (None, None) => return Err(Stop::Astray),
        }
        Ok(Some(proven.until(arrived) <= self.bound))
    }
}

/// Half of it to all of it, so that those who lost the same server do not come back together.
fn shaken(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(0u8) >> 33;
    pause.mul_f64(0.5 + random as f64 / f64::from(1u32 << 31) / 2.0)
}

#[cfg(test)]
mod tests {
    use api::authz::v1::{AuthorizationFact, CatalogFact, ResourceType, authorization_fact::Fact};
    use prost_types::Timestamp;

    use super::*;
    use crate::Client;

    fn message(revision: &str, start: bool, verb: Option<&str>) -> WatchRevisionsResponse {
        let facts = verb.map(|verb| {
            let declared =
                ResourceType { name: "document".to_owned(), verbs: vec![verb.to_owned()], ..ResourceType::default() };
            AuthorizationFact { fact: Some(Fact::Catalog(CatalogFact { resource_types: vec![declared] })) }
        });
        let proven_time = Some(Timestamp { seconds: 1_800_000_000, nanos: 0 });
        WatchRevisionsResponse { revision: revision.to_owned(), proven_time, start, facts: facts.into_iter().collect() }
    }

    /// The revision that is held, and whether it knows the verb.
    fn holds(held: &Held, verb: &str) -> Option<(String, bool)> {
        match &**held.state() {
            State::Holding(view) => {
                let permission = format!("document:{verb}").parse().unwrap();
                Some((view.revision.to_string(), view.engine.catalog().knows(&permission)))
            }
            State::Empty | State::NotUnderstood(_) | State::Ended(_) => None,
        }
    }

    #[tokio::test]
    async fn nothing_is_answered_from_what_is_not_complete() {
        let client = Client::new("http://127.0.0.1:1", Default::default()).unwrap();
        let held = Arc::new(Held::new());
        let mut follower = Follower {
            server: client.authorization(),
            organization_id: String::new(),
            bound: Duration::from_secs(1),
            patience: Duration::from_secs(1),
            held: held.clone(),
            offset: None,
        };
        let (mut draft, mut opened) = (None, Some(Moment::now()));
        let mut take = |message| follower.take(message, &mut draft, &mut opened);
        assert!(matches!(take(message("r0", false, Some("read"))), Err(Stop::Astray)), "of what is not there");
        assert!(matches!(take(message("", true, Some("read"))), Ok(None)));
        assert_eq!(holds(&held, "read"), None);
        assert!(matches!(take(message("r1", false, None)), Ok(Some(true))));
        assert_eq!(holds(&held, "read"), Some(("r1".to_owned(), true)));
        assert!(matches!(take(message("", false, Some("write"))), Ok(None)));
        assert_eq!(holds(&held, "write"), Some(("r1".to_owned(), false)));
        assert!(matches!(take(message("r2", false, None)), Ok(Some(true))));
        assert_eq!(holds(&held, "write"), Some(("r2".to_owned(), true)));
        let strange =
            WatchRevisionsResponse { facts: vec![AuthorizationFact { fact: None }], ..message("r3", false, None) };
        assert!(matches!(take(strange), Err(Stop::NotUnderstood(_))));
    }
}
