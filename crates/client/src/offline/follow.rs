//! Follows the stream of what was taken back, for as long as somebody verifies.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use api::gateway::v1::{
    Invalidation, WatchInvalidationsRequest, invalidation::Subject as About, token_service_client::TokenServiceClient,
    watch_invalidations_response::Message,
};
use outdated::{Standing, Statement, Subject, Which};
use prost_types::Timestamp;
use tokio::time::{sleep, timeout};
use tonic::{Code, Request, Status};
use uuid::Uuid;

use super::Known;
use crate::{Connection, embedded::uuid};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The stream says that it is alive twice a second. One that is silent for so long is given up for another.
const SILENCE: Duration = Duration::from_secs(3);
/// A stream's own deadline. It ends with the credential before that.
const LIFE: Duration = Duration::from_secs(24 * 3600);

pub struct Follower {
    server: TokenServiceClient<Connection>,
    /// For the head of an answer.
    patience: Duration,
    known: Arc<Known>,
    cursor: String,
}

impl Follower {
    pub fn new(server: TokenServiceClient<Connection>, patience: Duration, known: Arc<Known>) -> Self {
        Self { server, patience, known, cursor: String::new() }
    }

    pub async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            if let Err(status) = self.follow(&mut pause).await
                && status.code() == Code::InvalidArgument
            {
                self.cursor.clear();
            }
            self.known.forget();
            sleep(shaken(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Until the stream ends.
    async fn follow(&mut self, pause: &mut Duration) -> Result<(), Status> {
        let mut request = Request::new(WatchInvalidationsRequest { cursor: self.cursor.clone() });
        request.set_timeout(LIFE);
        let late = |_| Status::unavailable("the stream is silent");
        let opened = timeout(self.patience, self.server.watch_invalidations(request)).await.map_err(late)??;
        let mut stream = opened.into_inner();
        while let Some(told) = timeout(SILENCE, stream.message()).await.map_err(late)?? {
            match told.message {
                Some(Message::Invalidation(invalidation)) => match statement(&invalidation) {
                    Some(statement) => self.known.change(|set| set.take(statement)),
                    // A newer server refuses something that is not known here: then nothing of before now is believed.
                    None => self.known.change(|set| set.refuse_all_until(seconds_now())),
                },
                Some(Message::Reset(reset)) => {
                    let until = reset.time.map_or_else(seconds_now, |time| u64::try_from(time.seconds).unwrap_or(0));
                    self.known.change(|set| set.refuse_all_until(until));
                }
                Some(Message::Heartbeat(heartbeat)) => {
                    if let Some(time) = heartbeat.time {
                        // A time from too far ahead is not believed, and nothing is known then.
                        let _ = self.known.complete.until(system_time(time), SystemTime::now());
                        *pause = FIRST_PAUSE;
                    }
                    self.known.forget();
                    self.known.heard.send_replace(());
                }
                None => {}
            }
            if !told.cursor.is_empty() {
                self.cursor = told.cursor;
            }
        }
        Ok(())
    }
}

/// None for what is not understood.
fn statement(told: &Invalidation) -> Option<Statement> {
    let subject = match told.subject.as_ref()? {
        About::OrganizationId(id) => Subject::Organization(uuid("org", id).ok()?),
        About::MemberId(id) => Subject::Member(uuid("member", id).ok()?),
        About::ServiceAccountId(id) => Subject::ServiceAccount(uuid("sa", id).ok()?),
        About::SessionId(id) => Subject::Session(uuid("session", id).ok()?),
        About::ApiKeyId(id) => Subject::ApiKey(uuid("key", id).ok()?),
        About::ProjectId(id) => Subject::Project(uuid("proj", id).ok()?),
        About::TokenId(id) => Subject::Token(id.parse().ok()?),
    };
    let millis = |time: &Timestamp| {
        let millis = time.seconds.saturating_mul(1000).saturating_add(i64::from(time.nanos / 1_000_000));
        u64::try_from(millis).unwrap_or(0)
    };
    let time = told.time.as_ref().map_or(0, millis);
    let standing = match (&told.shut_time, told.every_token) {
        (shut, true) => Standing::Shut(shut.as_ref().map_or(time, millis)),
        (Some(shut), false) => Standing::OpenedAgain(millis(shut)),
        (None, false) => Standing::Open,
    };
    let Invalidation { minimum_epoch, minimum_permissions_epoch, shut_revision: revision, .. } = *told;
    let which = Which { standing, minimum_epoch, minimum_permissions_epoch };
    // The stream is of one project.
    Some(Statement { project: Uuid::nil(), subject, which, revision, time })
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

fn system_time(time: Timestamp) -> SystemTime {
    SystemTime::try_from(time).unwrap_or(UNIX_EPOCH)
}

/// Half of it to all of it, so that those who lost the same server do not come back together.
fn shaken(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(0u8) >> 33;
    pause.mul_f64(0.5 + random as f64 / f64::from(1u32 << 31) / 2.0)
}
