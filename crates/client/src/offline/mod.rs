//! Who calls, told from the token alone: verified without a call, and refused within a second of being taken back.
//!
//! ```no_run
//! # async fn example(guildhall: client::Client) -> Result<(), Box<dyn std::error::Error>> {
//! use client::offline::{Caller, OfflineOptions};
//! let options = OfflineOptions::new("https://guildhall.example.com", "proj_..");
//! let verifier = guildhall.offline_verifier(options);
//! verifier.ready().await;
//! if let Caller::Member(member) = verifier.verify("eyJ..").await? {
//!     println!("{} of {}", member.member_id, member.organization_id);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The keys come from `/.well-known/jwks.json`, and what was taken back from `TokenService.WatchInvalidations`, which a task follows; the
//! credential of the client must be a service account of the project. The verification itself is the gateway's own code (crates
//! `tokens` and `outdated`). A token is believed when a known key of the gateway signed it, by that key's own algorithm, as an access
//! token (`at+jwt`) of the issuer, for the audience and of the project; when it is within its times; and when neither it nor its member,
//! session, key, organization or project was taken back, nor its roles changed.
//!
//! # What is not known
//!
//! The stream says twice a second up to when it has told everything, by the clock of the server's databases. While that is no longer ago
//! than [`OfflineOptions::bound`], a token that was revoked before is refused. When it is, because the gateway, the network or the feeds
//! behind it stand still, [`OfflineOptions::when_unknown`] decides: [`WhenUnknown::Refuse`] refuses every token
//! ([`Unverified::Unknown`]), and [`WhenUnknown::AcceptUntilExpiry`] goes on to believe them. [`OfflineVerifier::worst_case`] says at any
//! moment for how long a revoked token may be believed. To it comes what this machine's calendar is behind the databases'; where it
//! is behind by more than the bound, nothing is believed to be known.

mod caller;
mod claims;
mod follow;
mod keys;
pub mod layer;

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use outdated::{Complete, KEEP, LONGEST_LIFE, Moment, Set};
use tokens::{ACCESS_TYPE, Expected, LEEWAY, Token};
use tokio::{sync::watch, task::JoinHandle};

pub use caller::{Caller, Member, ServiceAccount};
use claims::Claims;
use follow::Follower;
use keys::Keys;

use crate::Client;

/// What happens to tokens while it is not known what was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenUnknown {
    /// They are refused: nothing revoked stays in force for longer than the bound.
    #[default]
    Refuse,
    /// They are believed until they expire. What is known to be revoked stays refused.
    AcceptUntilExpiry,
}

/// What is believed.
#[derive(Debug, Clone)]
pub struct OfflineOptions {
    /// The issuer that tokens must name: the gateway's public address as it is configured there.
    pub issuer: String,
    /// The audience that tokens must name. `guildhall` unless told.
    pub audience: String,
    /// The project that tokens must be of: that of the client's credential. One gateway signs for many.
    pub project_id: String,
    /// The longest that nothing may have been heard of what was revoked. 3 seconds unless told; less than 2 is not steady.
    pub bound: Duration,
    pub when_unknown: WhenUnknown,
}

impl OfflineOptions {
    pub fn new(issuer: &str, project_id: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audience: "guildhall".to_owned(),
            project_id: project_id.to_owned(),
            bound: Duration::from_secs(3),
            when_unknown: WhenUnknown::default(),
        }
    }
}

/// Why a token is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// Expired, forged, meant for others, or no token at all. Which is nobody's business.
    #[error("the token is not valid here")]
    Invalid,
    #[error("the token was revoked, or its roles have changed: a new one is to be had, if any, with the refresh token")]
    Outdated,
    /// Only with [`WhenUnknown::Refuse`], or where the gateway's keys could not be had for twenty minutes or never yet.
    #[error("it is not known at present whether the token is good")]
    Unknown,
}

/// Verifies tokens. Cheap to clone; the stream ends with the last clone.
#[derive(Clone)]
pub struct OfflineVerifier {
    inner: Arc<Inner>,
}

/// What is known of revocations.
#[derive(Debug)]
struct Known {
    set: RwLock<Set>,
    complete: Complete,
    heard: watch::Sender<()>,
}

struct Inner {
    options: OfflineOptions,
    keys: Arc<Keys>,
    known: Arc<Known>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl std::fmt::Debug for OfflineVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OfflineVerifier").field("options", &self.inner.options).finish_non_exhaustive()
    }
}

impl Client {
    /// Verifies tokens here from now on. Must be called inside the tokio runtime. See [`OfflineVerifier::ready`].
    pub fn offline_verifier(&self, options: OfflineOptions) -> OfflineVerifier {
        let known = Arc::new(Known {
            set: RwLock::new(Set::new(KEEP)),
            complete: Complete::new(options.bound),
            heard: watch::Sender::new(()),
        });
        let keys = Arc::new(Keys::new(self.connection()));
        let follower = Follower::new(self.tokens(), self.connection.deadline(), known.clone());
        let tasks = [tokio::spawn(follower.run()), tokio::spawn(keys.clone().keep_fresh())];
        OfflineVerifier { inner: Arc::new(Inner { options, keys, known, tasks }) }
    }
}

impl OfflineVerifier {
    /// Waits until keys and all that was revoked are known.
    pub async fn ready(&self) {
        let mut heard = self.inner.known.heard.subscribe();
        while !self.is_live() {
            if heard.changed().await.is_err() {
                return;
            }
        }
        self.inner.keys.ready().await;
    }

    /// Who presents the token. Waits for no more than keys: for a key id that is not known they are fetched again, at most every few
    /// seconds.
    pub async fn verify(&self, token: &str) -> Result<Caller, Unverified> {
        let parsed = Token::parse(token).map_err(|_| Unverified::Invalid)?;
        let keys = &self.inner.keys;
        let key = match keys.find(parsed.kid()).await {
            Some(key) => key,
            None if keys.are_known() => return Err(Unverified::Invalid),
            None => return Err(Unverified::Unknown),
        };
        let options = &self.inner.options;
        let expected = Expected {
            typ: ACCESS_TYPE,
            issuer: &options.issuer,
            audience: Some(&options.audience),
            longest_life: LONGEST_LIFE,
        };
        let claims: Claims = parsed.verify(&key, &expected, SystemTime::now()).map_err(|_| Unverified::Invalid)?;
        if claims.project_id != options.project_id {
            return Err(Unverified::Invalid);
        }
        let bearer = claims.bearer().ok_or(Unverified::Invalid)?;
        // Asked before the set is looked at: what comes in after that must not make the look count as young.
        let live = self.is_live();
        if self.inner.known.set.read().unwrap_or_else(PoisonError::into_inner).refuses(&bearer) {
            return Err(Unverified::Outdated);
        }
        match options.when_unknown {
            WhenUnknown::Refuse if !live => Err(Unverified::Unknown),
            WhenUnknown::Refuse | WhenUnknown::AcceptUntilExpiry => claims.caller().ok_or(Unverified::Invalid),
        }
    }

    /// Whether what was revoked is known, up to the bound.
    pub fn is_live(&self) -> bool {
        self.inner.known.complete.is_live()
    }

    /// The longest that a token which was revoked by now may still be believed: the bound while news come or where tokens are refused
    /// without them, else the longest that a token lives.
    pub fn worst_case(&self) -> Duration {
        let options = &self.inner.options;
        match options.when_unknown {
            WhenUnknown::AcceptUntilExpiry if !self.is_live() => LONGEST_LIFE + LEEWAY,
            WhenUnknown::Refuse | WhenUnknown::AcceptUntilExpiry => options.bound,
        }
    }
}

impl Known {
    fn change(&self, change: impl FnOnce(&mut Set)) {
        change(&mut self.set.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn forget(&self) {
        self.change(|set| set.forget(Moment::now()));
    }
}
