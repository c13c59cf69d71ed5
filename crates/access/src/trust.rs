//! The public keys that we believe: one JWK set a process, `<name>.jwks.json` in one directory, re-read when it changes.
//!
//! A key belongs to the process whose file it stands in, and speaks for no other: a service's key cannot sign an access token.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use jsonwebtoken::{Algorithm, DecodingKey, jwk::JwkSet};

use crate::caller::Service;

const RELOAD: Duration = Duration::from_secs(30);
/// A token with an unknown key id makes us look again, but not more often than this.
const RELOAD_ON_UNKNOWN: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("cannot read the key set {path}")]
    Unreadable { path: String, source: std::io::Error },
    #[error("{path} is not a JWK set of signing keys with key ids")]
    Malformed { path: String },
    #[error("two processes have a key with the id {kid}")]
    Shared { kid: String },
    #[error("there is no key set of the gateway in {path}")]
    NoGateway { path: String },
}

#[derive(Clone)]
pub(crate) struct Known {
    pub owner: Service,
    pub algorithm: Algorithm,
    pub key: DecodingKey,
}

type Keys = HashMap<String, Known>;

/// The keys of all processes of the installation.
pub struct Trust {
    directory: PathBuf,
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
        let keys = read(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
            keys: ArcSwap::from_pointee(keys),
            read_at: Mutex::new(Instant::now()),
        })
    }

    pub(crate) fn find(&self, kid: &str) -> Option<Known> {
        self.refresh(RELOAD);
        if let Some(known) = self.keys.load().get(kid) {
            return Some(known.clone());
        }
        self.refresh(RELOAD_ON_UNKNOWN);
        self.keys.load().get(kid).cloned()
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
            Ok(keys) => self.keys.store(Arc::new(keys)),
            Err(error) => tracing::warn!(error = %runtime::Chain(&error), "the trusted keys stay as they were"),
        }
    }
}

fn read(directory: &Path) -> Result<Keys, TrustError> {
    let mut keys = Keys::new();
    for owner in Service::ALL {
        let path = directory.join(format!("{}.jwks.json", owner.name()));
        let shown = || path.display().to_string();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(source) => return Err(TrustError::Unreadable { path: shown(), source }),
        };
        let malformed = || TrustError::Malformed { path: shown() };
        let set: JwkSet = serde_json::from_str(&text).map_err(|_| malformed())?;
        for jwk in set.keys {
            let kid = jwk.common.key_id.clone().ok_or_else(malformed)?;
            let algorithm = jwk
                .common
                .key_algorithm
                .and_then(|a| a.to_string().parse::<Algorithm>().ok())
                .filter(|a| matches!(a, Algorithm::EdDSA | Algorithm::ES256 | Algorithm::RS256))
                .ok_or_else(malformed)?;
            let key = DecodingKey::from_jwk(&jwk).map_err(|_| malformed())?;
            if keys.insert(kid.clone(), Known { owner, algorithm, key }).is_some() {
                return Err(TrustError::Shared { kid });
            }
        }
    }
    if keys.values().any(|known| known.owner == Service::Gateway) {
        Ok(keys)
    } else {
        Err(TrustError::NoGateway { path: directory.display().to_string() })
    }
}
