//! The public keys that we believe: one JWK set a signer, `<name>.jwks.json` in one directory, read again while we run.
//!
//! A key belongs to the signer whose file it stands in, and speaks for no other: a service's key cannot sign an access token, nor can
//! the gateway's own. Those that sign access tokens stand in a file of their own, `access.jwks.json`.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tenancy::event::sha256;
use tokens::{KeySet, MalformedSet, PublicKey};

use crate::caller::Service;

/// A token with an unknown key id makes us look again, but not more often than this.
const RELOAD_ON_UNKNOWN: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("cannot read the key set {path}")]
    Unreadable { path: String, source: std::io::Error },
    #[error("{path} cannot be used")]
    Malformed { path: String, source: MalformedSet },
    #[error("two signers have the key {kid}")]
    Shared { kid: String },
    #[error("there is no key of access tokens in {path}: its access.jwks.json is missing or empty")]
    NoAccess { path: String },
}

/// What a key may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signer {
    /// Access tokens.
    Access,
    /// The calls of one service to the others.
    Workload(Service),
}

impl Signer {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        [Self::Access].into_iter().chain(Service::ALL.map(Self::Workload))
    }

    /// Under which its keys stand.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Workload(service) => service.name(),
        }
    }
}

/// The key set of a signer in a trust directory.
pub(crate) fn published(directory: &Path, signer: Signer) -> PathBuf {
    directory.join(format!("{}.jwks.json", signer.name()))
}

#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub signer: Signer,
    pub key: Arc<PublicKey>,
}

/// All keys, as they were at one time.
#[derive(Debug)]
pub(crate) struct Keys {
    by_kid: HashMap<String, Known>,
    /// Of the files that they were read from: another one means other keys.
    pub digest: [u8; 32],
}

impl Keys {
    pub fn get(&self, kid: &str) -> Option<&Known> {
        self.by_kid.get(kid)
    }
}

/// The keys of all signers of the installation.
pub struct Trust {
    directory: PathBuf,
    poll: Duration,
    keys: ArcSwap<Keys>,
    read_at: Mutex<Instant>,
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trust").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Trust {
    pub fn read(directory: &Path) -> Result<Self, TrustError> {
        Self::polled(directory, tokens::POLL)
    }

    /// Read again as often as that.
    pub fn polled(directory: &Path, poll: Duration) -> Result<Self, TrustError> {
        let keys = read(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
            poll,
            keys: ArcSwap::from_pointee(keys),
            read_at: Mutex::new(Instant::now()),
        })
    }

    /// The keys of now.
    pub(crate) fn keys(&self) -> Arc<Keys> {
        self.refresh(self.poll);
        self.keys.load_full()
    }

    /// The keys once more, for one that is not among them: it may have come since.
    pub(crate) fn keys_again(&self) -> Arc<Keys> {
        self.refresh(self.poll.min(RELOAD_ON_UNKNOWN));
        self.keys.load_full()
    }

    /// Reads the directory again if that was last done longer ago than `age`. A directory that cannot be read leaves the keys as
    /// they are: a half-written file must not lock everybody out.
    fn refresh(&self, age: Duration) {
        let Ok(mut read_at) = self.read_at.try_lock() else { return };
        if read_at.elapsed() < age {
            return;
        }
        *read_at = Instant::now();
        match read(&self.directory) {
            Ok(keys) if keys.digest == self.keys.load().digest => {}
            Ok(keys) => self.keys.store(Arc::new(keys)),
            Err(error) => tracing::warn!(error = %runtime::Chain(&error), "the trusted keys stay as they were"),
        }
    }
}

fn read(directory: &Path) -> Result<Keys, TrustError> {
    let mut by_kid = HashMap::new();
    let mut whole = Vec::new();
    for signer in Signer::all() {
        let path = published(directory, signer);
        let shown = || path.display().to_string();
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(source) => return Err(TrustError::Unreadable { path: shown(), source }),
        };
        let set = KeySet::parse(&text).map_err(|source| TrustError::Malformed { path: shown(), source })?;
        for key in set.iter() {
            if by_kid.insert(key.kid().to_owned(), Known { signer, key: key.clone() }).is_some() {
                return Err(TrustError::Shared { kid: key.kid().to_owned() });
            }
        }
        whole.extend_from_slice(signer.name().as_bytes());
        whole.extend_from_slice(&sha256(&text));
    }
    if by_kid.values().any(|known| known.signer == Signer::Access) {
        Ok(Keys { by_kid, digest: sha256(&whole) })
    } else {
        Err(TrustError::NoAccess { path: directory.display().to_string() })
    }
}
