//! The feeds by which a process learns what was revoked. Each is followed from further back than a token lives, so that one that has
//! just started knows all that can still matter before it believes a token.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use access::{Granted, Invalidations, Service};
use prost_types::Timestamp;
use runtime::Condition;
use tenancy::{
    Database, StoreError,
    feed::{self, FeedCursor},
};
use tokio::time::{Instant, sleep};

use crate::{
    Payload,
    consumer::{News, Source, follow},
    convert,
};

/// How far back a feed is read at the start.
const LOOK_BACK: Duration = Duration::from_secs(20 * 60);
const LOOK_AFTER: Duration = Duration::from_millis(250);
/// How long a service that starts is not ready for want of news: not for ever, or services that start together would wait for each
/// other. It then refuses what it cannot judge.
const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(150);
const PAUSE: Duration = Duration::from_secs(1);
const BATCH: i64 = 500;

const _: () = assert!(LOOK_BACK.as_secs() > outdated::KEEP.as_secs());

/// A service's own events, which it reads where they lie.
#[derive(Debug, Clone)]
pub struct Own {
    pub service: Service,
    pub database: Database,
    pub payload: Payload,
}

/// Learns from another service for as long as the process lives.
pub async fn learn_from(source: Source, invalidations: Arc<Invalidations>) {
    let service = source.service;
    follow(source, start(), |news| match news {
        News::Event(event) => invalidations.hear(service, event),
        News::CompleteUntil(time) => invalidations.heard_until(service, time),
    })
    .await;
}

/// Learns from this service's own events for as long as the process lives.
pub async fn learn_from_own(own: Own, invalidations: Arc<Invalidations>) {
    let mut reached = None;
    loop {
        match learn_more(&own, &invalidations, reached).await {
            Ok((cursor, more)) => {
                reached = Some(cursor);
                if !more {
                    sleep(POLL).await;
                }
            }
            Err(error) => {
                tracing::info!(error = %runtime::Chain(&error), "our own events cannot be read; reading on soon");
                sleep(PAUSE).await;
            }
        }
    }
}

/// The next events. Where they end, and whether there are more.
async fn learn_more(
    own: &Own,
    invalidations: &Invalidations,
    reached: Option<FeedCursor>,
) -> Result<(FeedCursor, bool), StoreError> {
    let scope = Granted::of_background(own.service).scope;
    let cursor = match reached {
        Some(cursor) => cursor,
        None => {
            let from = convert::time(&start()).ok_or(StoreError::Corrupt("the time"))?;
            feed::since(&own.database, scope.into(), from).await?
        }
    };
    let part = feed::after(&own.database, scope.into(), cursor, BATCH).await?;
    let end = part.events.last().map_or(cursor, |(_, cursor)| *cursor);
    for (event, _) in part.events {
        invalidations.hear(own.service, &convert::event(event, own.service.name(), own.payload));
    }
    if let Some(time) = part.complete_until {
        invalidations.heard_until(own.service, convert::timestamp(time));
    }
    Ok((end, part.complete_until.is_none()))
}

/// Keeps a service's readiness true to what it knows when it starts, and forgets what has expired.
pub async fn attend(invalidations: Arc<Invalidations>, condition: Condition) {
    let begun = Instant::now();
    let mut waiting = true;
    condition.unmet("it is not known yet what was revoked");
    loop {
        if waiting && (invalidations.is_live() || begun.elapsed() >= PATIENCE) {
            waiting = false;
            condition.met();
        }
        invalidations.forget();
        // What is learnt at the start is learnt soon.
        sleep(if waiting { LOOK_AFTER / 10 } else { LOOK_AFTER }).await;
    }
}

/// Keeps readiness true to what is known at all times, for who has nothing to do without it.
pub async fn depend_on(invalidations: Arc<Invalidations>, condition: Condition) {
    loop {
        let live = invalidations.is_live();
        match live {
            true => condition.met(),
            false => condition.unmet("no fresh news from member-service: tokens that can be revoked are refused"),
        }
        invalidations.forget();
        sleep(if live { LOOK_AFTER } else { LOOK_AFTER / 10 }).await;
    }
}

fn start() -> Timestamp {
    let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(LOOK_BACK);
    Timestamp { seconds: start.as_secs().try_into().unwrap_or(i64::MAX), nanos: 0 }
}
