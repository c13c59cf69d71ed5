//! Reading another service's feed, for as long as the process lives.
//!
//! The cursor is kept after the effect, so an event may be applied twice, never not at all: effects are idempotent, and ordered by
//! the event's revision in its own service, so that a late one never undoes a newer.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use access::{Caller, Onward, Service};
use api::event::v1::{
    Event, WatchEventsRequest, WatchEventsResponse, event_service_client::EventServiceClient,
    watch_events_response::Item,
};
use prost_types::Timestamp;
use runtime::{CallContext, Channel};
use tenancy::{Database, feed};
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The source sends a heartbeat every second; a stream silent for this long is dead.
const SILENCE: Duration = Duration::from_secs(5);
/// Behind a long way, how often the cursor is kept. At its end it is with every heartbeat.
const KEPT_EVERY: Duration = Duration::from_secs(1);

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

/// A stream that is open. Not a callback: a future that holds an async closure over borrowed messages cannot be spawned.
struct Reading(tonic::Streaming<WatchEventsResponse>);

/// How far behind its source a reader is, as of when somebody looks. One for each source: where a process reads it twice, what was heard last counts.
#[derive(Clone)]
struct Lag(Arc<AtomicI64>);

impl Lag {
    fn of(service: Service) -> Self {
        let (heard, gauge) = (Arc::new(AtomicI64::default()), meters::FEED_LAG.gauge(&[("source", service.name())]));
        let last = Arc::clone(&heard);
        meters::observe(move || {
            let until = last.load(Ordering::Relaxed);
            // Nothing has been heard yet: how long ago it fell silent nobody knows.
            if until > 0 {
                gauge.set(Duration::from_micros(u64::try_from(now_micros() - until).unwrap_or(0)).as_secs_f64());
            }
        });
        Self(heard)
    }

    fn heard(&self, until: &Timestamp) {
        self.0.fetch_max(until.seconds * 1_000_000 + i64::from(until.nanos) / 1_000, Ordering::Relaxed);
    }
}

fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// One message: an event or, by None, how far everything has come.
struct Heard {
    event: Option<Event>,
    complete_until: Option<Timestamp>,
    cursor: String,
}

/// What a follower hears.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum News<'a> {
    Event(&'a Event),
    /// Every event of a transaction that committed before this time, by the clock of the source's database, has been heard.
    CompleteUntil(Timestamp),
}

/// The largest event: a resource before and after, each of which came in a request of 4 MiB at most.
pub const MAX_EVENT_BYTES: usize = 9 * 1024 * 1024;

impl Source {
    async fn open(&self, cursor: String, start_time: Option<Timestamp>) -> Result<Reading, Status> {
        let me = Caller::Workload { service: self.onward.service(), on_behalf_of: None };
        let request = WatchEventsRequest { organization_id: String::new(), cursor, start_time };
        let request = self.onward.request(&me, &CallContext::background(), self.service, request)?;
        let client = EventServiceClient::new(self.channel.clone());
        let stream = client.max_decoding_message_size(MAX_EVENT_BYTES).watch_events(request).await?;
        Ok(Reading(stream.into_inner()))
    }
}

impl Reading {
    async fn next(&mut self) -> Result<Heard, Status> {
        loop {
            let message = timeout(SILENCE, self.0.message())
                .await
                .map_err(|_| Status::unavailable("the feed fell silent"))??
                .ok_or_else(|| Status::unavailable("the feed ended"))?;
            let (event, complete_until) = match message.item {
                Some(Item::Event(event)) => (Some(event), None),
                Some(Item::Heartbeat(heartbeat)) => (None, heartbeat.time),
                None => continue,
            };
            return Ok(Heard { event, complete_until, cursor: message.cursor });
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
    let (mut pause, lag) = (Pause(FIRST_PAUSE), Lag::of(source.service));
    loop {
        let outcome = apply_all(&source, &database, &consumer, &mut pause, &lag).await;
        pause.take(source.service, outcome).await;
    }
}

/// One stream, from the kept cursor to its end or to an event that is left for later.
async fn apply_all(
    source: &Source,
    database: &Database,
    consumer: &impl Consumer,
    pause: &mut Pause,
    lag: &Lag,
) -> Result<(), Status> {
    let name = source.service.name();
    let cursor = feed::cursor_of(database, name).await.map_err(|error| Status::unavailable(error.to_string()))?;
    let mut progress = Progress::at(cursor.unwrap_or_default());
    let outcome = progress.read_on(source, database, consumer, pause, lag).await;
    // What was done is not done again because what comes next has to wait: behind a long way it would never come to its end.
    progress.keep(database, name).await;
    outcome
}

/// How far a consumer has come.
struct Progress {
    cursor: String,
    kept: Instant,
    dirty: bool,
}

impl Progress {
    fn at(cursor: String) -> Self {
        Self { cursor, kept: Instant::now(), dirty: false }
    }

    async fn read_on(
        &mut self,
        source: &Source,
        database: &Database,
        consumer: &impl Consumer,
        pause: &mut Pause,
        lag: &Lag,
    ) -> Result<(), Status> {
        let mut reading = source.open(self.cursor.clone(), None).await?;
        loop {
            let Heard { event, complete_until, cursor } = reading.next().await?;
            pause.0 = FIRST_PAUSE;
            complete_until.iter().for_each(|until| lag.heard(until));
            if let Some(event) = &event
                && consumer.apply(event).await == Applied::Later
            {
                return Ok(());
            }
            self.dirty |= cursor != self.cursor;
            self.cursor = cursor;
            // Once a second rather than once an event: what is read twice is applied twice, harmlessly.
            if event.is_none() || self.kept.elapsed() >= KEPT_EVERY {
                self.keep(database, source.service.name()).await;
            }
        }
    }

    async fn keep(&mut self, database: &Database, name: &str) {
        if self.dirty {
            self.dirty = feed::keep_cursor(database, name, &self.cursor).await.is_err();
            self.kept = Instant::now();
        }
    }
}

/// Follows the source from a time on and keeps nothing: for readers that hold the recent past in memory. `heard` is called with
/// every event, and with how far everything has come. Ends only with the task.
pub async fn follow(source: Source, start_time: Timestamp, mut heard: impl FnMut(News<'_>) + Send) {
    let (mut pause, lag) = (Pause(FIRST_PAUSE), Lag::of(source.service));
    let mut reached = String::new();
    loop {
        let outcome: Result<(), Status> = async {
            let mut reading = source.open(reached.clone(), Some(start_time)).await?;
            loop {
                let Heard { event, complete_until, cursor } = reading.next().await?;
                pause.0 = FIRST_PAUSE;
                if let Some(event) = &event {
                    heard(News::Event(event));
                } else if let Some(time) = complete_until {
                    lag.heard(&time);
                    heard(News::CompleteUntil(time));
                }
                reached = cursor;
            }
        }
        .await;
        pause.take(source.service, outcome).await;
    }
}
