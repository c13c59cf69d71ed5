//! The gateway's public keys: fetched, kept fresh, and not believed for ever.

use std::{
    sync::{Arc, Mutex as SyncMutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use outdated::{LONGEST_LIFE, Moment};
use tokens::{CACHE_TIME, KeySet, PublicKey};
use tokio::{
    sync::{Mutex, watch},
    time::{sleep, timeout},
};
use tonic::body::Body;
use tower::{Service as _, ServiceExt as _};

use crate::Connection;

/// A new key is published for a cache time before it signs, so whoever asks more often than that knows it by then.
const REFRESH: Duration = Duration::from_secs(60);
const REFRESH_AFTER_FAULT: Duration = Duration::from_secs(1);
/// A token with a key id that is not known has us ask, but not more often than this, whoever sends them.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// No good token is signed with a key of a set that is so old and has since been fetched in vain.
const BELIEVED: Duration = Duration::from_secs(CACHE_TIME.as_secs() + LONGEST_LIFE.as_secs());
const PATIENCE: Duration = Duration::from_secs(5);
const MAX_BYTES: usize = 256 * 1024;

struct Held {
    set: KeySet,
    since: Moment,
}

pub struct Keys {
    connection: Connection,
    held: ArcSwapOption<Held>,
    asked: Mutex<Option<Moment>>,
    /// Of the last fetch that failed, so that it is said once.
    fetched: watch::Sender<()>,
    last: SyncMutex<Option<Moment>>,
}

impl Keys {
    pub fn new(connection: Connection) -> Self {
        Self {
            connection,
            held: ArcSwapOption::empty(),
            asked: Mutex::new(None),
            fetched: watch::Sender::new(()),
            last: SyncMutex::new(None),
        }
    }

    pub async fn ready(&self) {
        let mut fetched = self.fetched.subscribe();
        while self.held.load().is_none() {
            if fetched.changed().await.is_err() {
                return;
            }
        }
    }

    /// The key with the id. Whoever brings one that is not known waits while the keys are fetched, if it is time to.
    pub async fn find(&self, kid: &str) -> Option<Arc<PublicKey>> {
        if let Some(key) = self.known(kid) {
            return Some(key);
        }
        let mut asked = self.asked.lock().await;
        // Somebody else may have fetched them meanwhile.
        if let Some(key) = self.known(kid) {
            return Some(key);
        }
        if asked.is_some_and(|asked| asked.until(Moment::now()) < ASK_AGAIN) {
            return None;
        }
        self.fetch().await;
        // From its end on: of those who waited meanwhile none asks again.
        *asked = Some(Moment::now());
        self.known(kid)
    }

    fn known(&self, kid: &str) -> Option<Arc<PublicKey>> {
        self.believed().and_then(|held| held.set.get(kid).cloned())
    }

    /// Whether a key that is not among those held can be said to be none.
    pub fn are_known(&self) -> bool {
        self.believed().is_some()
    }

    fn believed(&self) -> Option<Arc<Held>> {
        self.held.load_full().filter(|held| held.since.until(Moment::now()) < BELIEVED)
    }

    /// For as long as the verifier lives.
    pub async fn keep_fresh(self: Arc<Self>) {
        loop {
            let pause = if self.fetch().await { REFRESH } else { REFRESH_AFTER_FAULT };
            sleep(pause).await;
        }
    }

    /// Whether there are new ones. Where there are none, those from before stay.
    async fn fetch(&self) -> bool {
        let begun = Moment::now();
        let Ok(Some(set)) = timeout(PATIENCE, self.get()).await else { return false };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // Of two that were under way at once, the one that began later stands.
        if last.is_none_or(|last| last < begun) {
            *last = Some(begun);
            self.held.store(Some(Arc::new(Held { set, since: begun })));
        }
        self.fetched.send_replace(());
        true
    }

    async fn get(&self) -> Option<KeySet> {
        let request = Request::get("/.well-known/jwks.json").body(Body::empty()).ok()?;
        let mut connection = self.connection.clone();
        let answer = connection.ready().await.ok()?.call(request).await.ok()?;
        if answer.status() != StatusCode::OK {
            return None;
        }
        let body = Limited::new(answer.into_body(), MAX_BYTES).collect().await.ok()?;
        KeySet::parse(&body.to_bytes()).ok()
    }
}
