//! Telling verifiers outside what their project's tokens are no longer good for.
//!
//! This replica tells what it holds and then what it learns, so a stream can be gone on with at any other. Whoever does not keep up
//! is told all anew, and whoever does not read is left.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use access::{Invalidations, Told, Verified};
use api::{
    access::v1::ErrorReason,
    gateway::v1::{
        Invalidation, InvalidationHeartbeat, InvalidationReset, WatchInvalidationsResponse,
        invalidation::Subject as About, watch_invalidations_response::Message,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use outdated::{KEEP, Standing, Statement, Subject};
use prost_types::Timestamp;
use runtime::Refusal;
use tenancy::{ApiKeyId, MemberId, OrganizationId, ProjectId, ServiceAccountId, SessionId};
use tokio::{
    sync::{broadcast::error::RecvError, mpsc},
    time::{MissedTickBehavior, interval, timeout},
};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::refusal;

const HEARTBEAT: Duration = Duration::from_millis(500);
/// A reader who takes nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of one project, at this replica.
const MAX_STREAMS: usize = 64;
const COME_AGAIN: Duration = Duration::from_secs(5);
const CURSOR: usize = 16 + 8;

type Sender = mpsc::Sender<Result<WatchInvalidationsResponse, Status>>;

#[derive(Debug)]
pub struct Watches {
    invalidations: Arc<Invalidations>,
    open: Arc<Mutex<HashMap<ProjectId, usize>>>,
}

/// A stream that counts for its project for as long as it is open.
#[derive(Debug)]
struct Watch {
    project: ProjectId,
    open: Arc<Mutex<HashMap<ProjectId, usize>>>,
}

/// The reader is gone, or is to come again.
struct Gone;

impl Drop for Watch {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.project) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.project);
            }
        }
    }
}

impl Watches {
    pub fn new(invalidations: Arc<Invalidations>) -> Self {
        Self { invalidations, open: Arc::default() }
    }

    /// A stream for a credential of the project.
    pub fn open(
        &self,
        project: ProjectId,
        credential: Arc<Verified>,
        cursor: &str,
    ) -> Result<mpsc::Receiver<Result<WatchInvalidationsResponse, Status>>, Status> {
        let from = match cursor {
            "" => None,
            text => Some(read_cursor(text, project).ok_or_else(bad_cursor)?),
        };
        let watch = self.enter(project)?;
        let (sender, receiver) = mpsc::channel(64);
        let telling = Telling { invalidations: self.invalidations.clone(), project, credential, sender, _watch: watch };
        tokio::spawn(async move {
            let _ = telling.run(from).await;
        });
        Ok(receiver)
    }

    fn enter(&self, project: ProjectId) -> Result<Watch, Status> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(project).or_default();
        if *count >= MAX_STREAMS {
            return Err(refusal::rate_limited(COME_AGAIN));
        }
        *count += 1;
        Ok(Watch { project, open: self.open.clone() })
    }
}

struct Telling {
    invalidations: Arc<Invalidations>,
    project: ProjectId,
    credential: Arc<Verified>,
    sender: Sender,
    _watch: Watch,
}

impl Telling {
    async fn run(&self, from: Option<i64>) -> Result<(), Gone> {
        let forgotten = micros_now().saturating_sub(i64::try_from(KEEP.as_micros()).unwrap_or(i64::MAX));
        if from.is_some_and(|from| from < forgotten) {
            self.tell(Message::Reset(InvalidationReset { time: Some(from_micros(forgotten)) })).await?;
        }
        loop {
            self.tell_all().await?;
        }
    }

    /// What is held and then what comes, until some of it was missed.
    async fn tell_all(&self) -> Result<(), Gone> {
        let mut listening = self.invalidations.listen(self.project);
        if listening.all_until > 0 {
            self.tell(everything(listening.all_until)).await?;
        }
        for statement in std::mem::take(&mut listening.held) {
            self.tell(Message::Invalidation(invalidation(&statement))).await?;
        }
        let mut beat = interval(HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                told = listening.news.recv() => match told {
                    Ok(told) => self.pass_on(told).await?,
                    Err(RecvError::Lagged(_)) => return Ok(()),
                    Err(RecvError::Closed) => return Err(Gone),
                },
                _ = beat.tick() => {
                    // First how far all has come, then what came until then, then the word that it did.
                    let time = self.invalidations.complete_until();
                    loop {
                        match listening.news.try_recv() {
                            Ok(told) => self.pass_on(told).await?,
                            Err(tokio::sync::broadcast::error::TryRecvError::Empty) => break,
                            Err(_) => return Ok(()),
                        }
                    }
                    self.may_go_on().await?;
                    self.tell_at(Message::Heartbeat(InvalidationHeartbeat { time }), time).await?;
                }
                () = self.sender.closed() => return Err(Gone),
            }
        }
    }

    async fn pass_on(&self, told: Told) -> Result<(), Gone> {
        match told {
            Told::Statement(statement) if statement.project == self.project.uuid() => {
                self.tell(Message::Invalidation(invalidation(&statement))).await
            }
            Told::Statement(_) => Ok(()),
            Told::Everything(until) => self.tell(everything(until)).await,
        }
    }

    /// A stream is open for no longer than its credential is good.
    async fn may_go_on(&self) -> Result<(), Gone> {
        let seconds = u64::try_from(micros_now() / 1_000_000).unwrap_or_default();
        let refused = if seconds >= self.credential.expires_at {
            access::unauthenticated()
        } else if self.invalidations.is_revoked(&self.credential) {
            access::credential_revoked()
        } else {
            return Ok(());
        };
        let _ = timeout(PATIENCE, self.sender.send(Err(refused))).await;
        Err(Gone)
    }

    async fn tell(&self, message: Message) -> Result<(), Gone> {
        self.tell_at(message, self.invalidations.complete_until()).await
    }

    async fn tell_at(&self, message: Message, complete: Option<Timestamp>) -> Result<(), Gone> {
        let cursor = complete.map(|time| write_cursor(self.project, time)).unwrap_or_default();
        let message = WatchInvalidationsResponse { cursor, message: Some(message) };
        match timeout(PATIENCE, self.sender.send(Ok(message))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }
}

fn invalidation(statement: &Statement) -> Invalidation {
    let subject = match statement.subject {
        Subject::Project(id) => About::ProjectId(ProjectId::from_uuid(id).to_string()),
        Subject::Organization(id) => About::OrganizationId(OrganizationId::from_uuid(id).to_string()),
        Subject::Member(id) => About::MemberId(MemberId::from_uuid(id).to_string()),
        Subject::ServiceAccount(id) => About::ServiceAccountId(ServiceAccountId::from_uuid(id).to_string()),
        Subject::Session(id) => About::SessionId(SessionId::from_uuid(id).to_string()),
        Subject::ApiKey(id) => About::ApiKeyId(ApiKeyId::from_uuid(id).to_string()),
        Subject::Token(id) => About::TokenId(id.to_string()),
    };
    let shut_time = match statement.which.standing {
        Standing::Shut(time) | Standing::OpenedAgain(time) => Some(from_millis(time)),
        Standing::Open => None,
    };
    Invalidation {
        subject: Some(subject),
        minimum_epoch: statement.which.minimum_epoch,
        minimum_permissions_epoch: statement.which.minimum_permissions_epoch,
        time: Some(from_millis(statement.time)),
        every_token: matches!(statement.which.standing, Standing::Shut(_)),
        shut_time,
        shut_revision: statement.revision.max(0),
    }
}

fn everything(until: u64) -> Message {
    let time = Timestamp { seconds: i64::try_from(until).unwrap_or(i64::MAX), nanos: 0 };
    Message::Reset(InvalidationReset { time: Some(time) })
}

fn from_millis(millis: u64) -> Timestamp {
    from_micros(i64::try_from(millis).unwrap_or(i64::MAX).saturating_mul(1000))
}

fn from_micros(micros: i64) -> Timestamp {
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1000).unwrap_or_default();
    Timestamp { seconds: micros.div_euclid(1_000_000), nanos }
}

fn micros_now() -> i64 {
    let now = Timestamp::from(std::time::SystemTime::now());
    now.seconds.saturating_mul(1_000_000).saturating_add(i64::from(now.nanos / 1000))
}

/// A place in the stream: the project's, and how far all had been told. Whoever makes one up is told no more than with their own.
fn write_cursor(project: ProjectId, complete: Timestamp) -> String {
    let micros = complete.seconds.saturating_mul(1_000_000).saturating_add(i64::from(complete.nanos / 1000));
    let mut bytes = [0; CURSOR];
    bytes[..16].copy_from_slice(project.uuid().as_bytes());
    bytes[16..].copy_from_slice(&micros.to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn read_cursor(text: &str, project: ProjectId) -> Option<i64> {
    if text.len() > 2 * CURSOR {
        return None;
    }
    let bytes: [u8; CURSOR] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    let (whose, micros) = bytes.split_at(16);
    let own = Uuid::from_slice(whose).is_ok_and(|uuid| uuid == project.uuid());
    Some(i64::from_be_bytes(micros.try_into().ok()?)).filter(|_| own)
}

fn bad_cursor() -> Status {
    Refusal::new(Code::InvalidArgument, ErrorReason::InvalidPageToken, "not a cursor of this stream")
        .violation("cursor", "is not one of this project's stream")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_the_project_s_own() {
        let (own, other) = (ProjectId::new(), ProjectId::new());
        let cursor = write_cursor(own, Timestamp { seconds: 1_800_000_000, nanos: 5000 });
        assert_eq!(read_cursor(&cursor, own), Some(1_800_000_000_000_005));
        assert_eq!(read_cursor(&cursor, other), None);
        for bad in ["", "x", &cursor[1..], &format!("{cursor}AAAA"), &"A".repeat(10_000)] {
            assert_eq!(read_cursor(bad, own), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn streams_of_a_project_are_counted_until_they_end() {
        let options = access::RevocationOptions { revocation_lag: Duration::from_secs(5) };
        let watches = Watches::new(Invalidations::new(&options));
        let (project, other) = (ProjectId::new(), ProjectId::new());
        let mut open: Vec<_> = (0..MAX_STREAMS).map(|_| watches.enter(project).unwrap()).collect();
        assert_eq!(watches.enter(project).unwrap_err().code(), Code::ResourceExhausted);
        watches.enter(other).unwrap();
        open.pop();
        watches.enter(project).unwrap();
        drop(open);
        assert!(watches.open.lock().unwrap().is_empty());
    }
}
