//! Reading another service's feed, for as long as the process lives.
//!
//! The cursor is kept after the effect, so an event may be applied twice, never not at all: effects are idempotent, and ordered by
//! the event's revision in its own service, so that a late one never undoes a newer.

use std::{future::Future, time::Duration};

use access::{Caller, Onward, Service};
use api::event::v1::{
    Event, WatchEventsRequest, event_service_client::EventServiceClient, watch_events_response::Item,
};
use prost_types::Timestamp;
use runtime::{CallContext, Channel};
use tenancy::{Database, feed};
use tokio::time::{sleep, timeout};
use tonic::Status;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The source sends a heartbeat every second; a stream silent for this long is dead.
const SILENCE: Duration = Duration::from_secs(5);

/// Whose feed is read, and how.
#[derive(Debug, Clone)]
pub struct Source {
    pub service: Service,
    pub channel: Channel,
    pub onward: Onward,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Its effect is in the store, or it has none here.
    Done,
    /// It could not be applied now: it comes again.
    Later,
}

/// What a service does with the events of another.
pub trait Consumer: Send + Sync + 'static {
    fn apply(&self, event: &Event) -> impl Future<Output = Applied> + Send;
}

enum Step<'a> {
    Event(&'a Event, &'a str),
    /// Everything up to the cursor has come.
    Heartbeat(&'a str),
}

impl Source {
    async fn open(
        &self,
        cursor: String,
        start_time: Option<Timestamp>,
    ) -> Result<tonic::Streaming<api::event::v1::WatchEventsResponse>, Status> {
        let me = Caller::Workload { service: self.onward.service(), on_behalf_of: None };
        let request = WatchEventsRequest { organization_id: String::new(), cursor, start_time };
        let request = self.onward.request(&me, &CallContext::background(), self.service, request)?;
        Ok(EventServiceClient::new(self.channel.clone()).watch_events(request).await?.into_inner())
    }

    /// One stream from the cursor to its end; `step` says whether to go on. Returns why it ended.
    async fn read(
        &self,
        cursor: String,
        start_time: Option<Timestamp>,
        mut step: impl AsyncFnMut(Step<'_>) -> bool,
    ) -> Result<(), Status> {
        let mut stream = self.open(cursor, start_time).await?;
        loop {
            let message = timeout(SILENCE, stream.message())
                .await
                .map_err(|_| Status::unavailable("the feed fell silent"))??
                .ok_or_else(|| Status::unavailable("the feed ended"))?;
            let next = match &message.item {
                Some(Item::Event(event)) => Step::Event(event, &message.cursor),
                Some(Item::Heartbeat(_)) => Step::Heartbeat(&message.cursor),
                None => continue,
            };
            if !step(next).await {
                return Ok(());
            }
        }
    }
}

/// The pause before the next try: doubling, and back to the first once a stream has held for a while.
struct Pause(Duration);

impl Pause {
    async fn take(&mut self, service: Service, why: Result<(), Status>) {
        match why {
            Ok(()) => tracing::info!(source = service.name(), "an event is left for later"),
            Err(status) => {
                tracing::info!(source = service.name(), code = ?status.code(), why = status.message(), "the feed is lost; reading on soon");
            }
        }
        sleep(self.0).await;
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
    }
}

/// Applies every event of the source, from the cursor that the database keeps. Ends only with the task.
pub async fn consume(source: Source, database: Database, consumer: impl Consumer) {
    let mut pause = Pause(FIRST_PAUSE);
    loop {
        let outcome = match feed::cursor_of(&database, source.service.name()).await {
            Err(error) => Err(Status::unavailable(error.to_string())),
            Ok(cursor) => {
                let mut kept = cursor.clone().unwrap_or_default();
                let mut dirty = false;
                source
                    .read(kept.clone(), None, async |step| {
                        pause.0 = FIRST_PAUSE;
                        let (cursor, heartbeat) = match step {
                            Step::Event(event, cursor) => {
                                if consumer.apply(event).await == Applied::Later {
                                    return false;
                                }
                                (cursor, false)
                            }
                            Step::Heartbeat(cursor) => (cursor, true),
                        };
                        dirty |= cursor != kept;
                        cursor.clone_into(&mut kept);
                        // Kept once a second rather than once an event: what is read twice is applied twice, harmlessly.
                        if heartbeat && dirty {
                            dirty = feed::keep_cursor(&database, source.service.name(), &kept).await.is_err();
                        }
                        true
                    })
                    .await
            }
        };
        pause.take(source.service, outcome).await;
    }
}

/// Follows the source from a time on and keeps nothing: for readers that hold the recent past in memory. `heard` is called with
/// every event, and with None when everything so far has come. Ends only with the task.
pub async fn follow(source: Source, start_time: Timestamp, mut heard: impl FnMut(Option<&Event>) + Send) {
    let mut pause = Pause(FIRST_PAUSE);
    let mut reached = String::new();
    loop {
        let from = reached.clone();
        let outcome = source
            .read(from, Some(start_time), async |step| {
                pause.0 = FIRST_PAUSE;
                match step {
                    Step::Event(event, cursor) => {
                        heard(Some(event));
                        cursor.clone_into(&mut reached);
                    }
                    Step::Heartbeat(cursor) => {
                        heard(None);
                        cursor.clone_into(&mut reached);
                    }
                }
                true
            })
            .await;
        pause.take(source.service, outcome).await;
    }
}
