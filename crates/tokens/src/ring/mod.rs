//! The keys of one signer, followed while they are rotated.
//!
//! What each key does is told by the time alone: it is published, from a stated moment on it signs, and when a later one of the
//! same algorithm has begun to, it is kept until the last token that it signed has ended. So all replicas that see the same file agree without a
//! word, and nothing has to happen at the right moment.

mod file;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use time::OffsetDateTime;

pub use file::{KeyError, RingKey, read_keys, write_keys};

use crate::{algorithm::Algorithm, jwk::KeySet, private::SigningKey};

/// The private keys of one signer, read again when their file changes. Files are compared by what they hold: where a mounted
/// volume swaps links, their times say nothing.
pub struct Ring {
    source: PathBuf,
    published: PathBuf,
    poll: Duration,
    cache_time: Duration,
    held: ArcSwap<Held>,
    read_at: Mutex<Instant>,
}

#[derive(Default)]
struct Held {
    /// What was read.
    digest: Vec<u8>,
    /// The later a key begins to sign, the earlier it stands here.
    keys: Vec<Placed>,
}

struct Placed {
    key: RingKey,
    /// When this process first saw it among the published keys.
    seen: Option<Seen>,
}

#[derive(Clone, Copy)]
enum Seen {
    /// It was there when the process started; only the key's own time says when others have it.
    AtStart,
    Since(Instant),
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Ring {
    /// `source` is a file of private keys, or a folder of such files; `published` is the key set in which verifiers find their public
    /// halves. Fails where none of the keys may sign now.
    pub fn open(source: &Path, published: &Path, poll: Duration, cache_time: Duration) -> Result<Self, KeyError> {
        let held = Held::read(source, published, None)?;
        let ring = Self {
            source: source.to_owned(),
            published: published.to_owned(),
            poll,
            cache_time,
            held: ArcSwap::from_pointee(held),
            read_at: Mutex::new(Instant::now()),
        };
        if Algorithm::ALL.into_iter().all(|algorithm| ring.key(algorithm).is_none()) {
            return Err(KeyError::NoneSigns {
                path: source.display().to_string(),
                published: published.display().to_string(),
            });
        }
        Ok(ring)
    }

    /// The key that signs now. None: there is none of this algorithm.
    ///
    /// It is the one that began last of those that may. A key of which verifiers cannot know yet may not, whatever its time says: its
    /// public half must be published, and if it came while this process ran, have been so for one cache time.
    pub fn signer(&self, algorithm: Algorithm) -> Option<Arc<SigningKey>> {
        self.refresh();
        self.key(algorithm)
    }

    fn key(&self, algorithm: Algorithm) -> Option<Arc<SigningKey>> {
        let now = OffsetDateTime::now_utc();
        let held = self.held.load();
        let known = |placed: &&Placed| match placed.seen {
            None => false,
            Some(Seen::AtStart) => true,
            Some(Seen::Since(moment)) => moment.elapsed() >= self.cache_time,
        };
        let of = held.keys.iter().filter(|placed| placed.key.key.algorithm() == algorithm);
        let mut may = of.filter(|placed| placed.key.signs_from <= now).filter(known);
        may.next().map(|placed| placed.key.key.clone())
    }

    /// What cannot be read leaves the keys as they are: a half-copied folder must not stop every sign-in.
    fn refresh(&self) {
        let Ok(mut read_at) = self.read_at.try_lock() else { return };
        if read_at.elapsed() < self.poll {
            return;
        }
        *read_at = Instant::now();
        let before = self.held.load();
        match Held::read(&self.source, &self.published, Some(&before)) {
            Ok(held) if held.digest == before.digest => {}
            Ok(held) if held.keys.is_empty() => {
                tracing::warn!(path = %self.source.display(), "there are no signing keys any more; the last ones stay");
            }
            Ok(held) => {
                for placed in held.keys.iter().filter(|placed| placed.seen.is_none()) {
                    tracing::warn!(kid = placed.key.key.kid(), "a key is not published and will not sign");
                }
                self.held.store(Arc::new(held));
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the signing keys stay as they were");
            }
        }
    }
}

impl Held {
    fn read(source: &Path, published: &Path, before: Option<&Self>) -> Result<Self, KeyError> {
        let texts = file::texts(source)?;
        let public = std::fs::read(published)
            .map_err(|source| KeyError::Unreadable { path: published.display().to_string(), source })?;
        let digest = {
            let joined: Vec<u8> =
                texts.iter().flat_map(|(_, text)| text.bytes()).chain(public.iter().copied()).collect();
            digest(&SHA256, &joined).as_ref().to_vec()
        };
        if let Some(before) = before.filter(|before| before.digest == digest) {
            return Ok(Self { digest: before.digest.clone(), keys: Vec::new() });
        }
        let public = KeySet::parse(&public)
            .map_err(|source| KeyError::MalformedSet { path: published.display().to_string(), source })?;
        let mut keys: Vec<Placed> = Vec::new();
        for (path, text) in texts {
            for key in read_keys(&text).map_err(|fault| KeyError::Malformed { path, fault })? {
                let seen = before.and_then(|held| held.seen(key.key.kid()));
                let seen = seen.or_else(|| match before {
                    None => Some(Seen::AtStart),
                    Some(_) => Some(Seen::Since(Instant::now())),
                });
                let seen = seen.filter(|_| public.get(key.key.kid()).is_some());
                keys.push(Placed { key, seen });
            }
        }
        keys.sort_by(|a, b| {
            let place = |placed: &Placed| (placed.key.signs_from, placed.key.key.kid().to_owned());
            place(b).cmp(&place(a))
        });
        Ok(Self { digest, keys })
    }

    fn seen(&self, kid: &str) -> Option<Seen> {
        self.keys.iter().find(|placed| placed.key.key.kid() == kid)?.seen
    }
}

#[cfg(test)]
mod tests;
