//! What a rotation does to the two files of one signer. It is decided from what lies there and the time alone, and done in three steps,
//! each a whole file put in the place of another:
//!
//! 1. the new keys are published;
//! 2. the private keys get the new ones, which sign from a stated moment on, and lose those whose time is over;
//! 3. those are published no longer.
//!
//! After any of the steps everything holds that holds after the last: no key may sign that is not published, and none is forgotten that
//! may have signed a token which is still good. What a run that died has left (a published key without its private half, after the first
//! step; a private half that is gone while its public one is not, after the second) the next one finds and, in time, removes.

use std::sync::Arc;

use time::{Duration, OffsetDateTime};
use tokens::{Algorithm, CryptographyFailed, RingKey, SigningKey};

use super::Times;
use super::files::{Entry, Held};

pub struct Wanted<'a> {
    pub algorithms: &'a [Algorithm],
    /// Only keys that have signed for longer are replaced.
    pub older_than: Duration,
    pub lead: Duration,
    pub times: Times,
}

/// What lies there after each step.
#[derive(Debug)]
pub struct Plan {
    pub published: Vec<Entry>,
    pub private: Vec<RingKey>,
    pub in_the_end: Vec<Entry>,
    /// What there is to say about it.
    pub news: Vec<String>,
}

/// The key that signs at a moment: of those that have begun, the one that began last.
pub fn signing(keys: &[RingKey], algorithm: Algorithm, now: OffsetDateTime) -> Option<&RingKey> {
    let of = keys.iter().filter(|key| key.key.algorithm() == algorithm && key.signs_from <= now);
    of.max_by_key(|key| (key.signs_from, key.key.kid().to_owned()))
}

/// From when on another signs in a key's place. None while there is no other.
pub fn superseded(keys: &[RingKey], key: &RingKey) -> Option<OffsetDateTime> {
    let place = |key: &RingKey| (key.signs_from, key.key.kid().to_owned());
    let later = keys.iter().filter(|other| other.key.algorithm() == key.key.algorithm() && place(other) > place(key));
    later.map(|other| other.signs_from).min()
}

pub fn plan(held: &Held, wanted: &Wanted<'_>, now: OffsetDateTime) -> Result<Plan, CryptographyFailed> {
    let kept = wanted.times.kept();
    let mut news = Vec::new();

    let over = |key: &RingKey| superseded(&held.private, key).is_some_and(|since| since + kept <= now);
    let (gone, mut private): (Vec<RingKey>, Vec<RingKey>) = held.private.iter().cloned().partition(over);
    for key in &gone {
        news.push(format!("{} {}: retired long enough, removed", key.key.algorithm(), key.key.kid()));
    }

    let mut published = held.public.clone();
    for key in &mut private {
        if held.entry(key.key.kid()).is_none() {
            // Whatever its file says, nobody can know of it before now.
            if key.signs_from > now {
                key.signs_from = key.signs_from.max(now + wanted.lead);
            }
            published.push(Entry::of(key, now));
            news.push(format!("{} {}: was not published, and is now", key.key.algorithm(), key.key.kid()));
        }
    }

    for &algorithm in wanted.algorithms {
        let newest = private.iter().filter(|key| key.key.algorithm() == algorithm).max_by_key(|key| key.signs_from);
        match newest {
            Some(next) if next.signs_from > now => {
                news.push(format!("{algorithm} {}: published, signs from {}", next.key.kid(), moment(next.signs_from)));
                continue;
            }
            Some(key) if now - key.signs_from < wanted.older_than => {
                news.push(format!("{algorithm} {}: signs since {}, stays", key.key.kid(), moment(key.signs_from)));
                continue;
            }
            _ => {}
        }
        let key = RingKey { key: Arc::new(SigningKey::generate(algorithm)?), signs_from: now + wanted.lead };
        news.push(format!("{algorithm} {}: new, published, signs from {}", key.key.kid(), moment(key.signs_from)));
        published.push(Entry::of(&key, now));
        private.push(key);
    }

    // Without a private half here: what is removed now, what an earlier run left, or what somebody else put there, which is theirs.
    let left = |entry: &Entry| {
        let ours = private.iter().any(|key| key.key.kid() == entry.kid);
        let removed = gone.iter().any(|key| key.key.kid() == entry.kid);
        let outlived = entry.published.is_some_and(|since| since + wanted.lead + kept <= now);
        ours || !(removed || outlived)
    };
    let in_the_end = published.iter().filter(|entry| left(entry)).cloned().collect();
    Ok(Plan { published, private, in_the_end, news })
}

/// To the second.
pub fn moment(time: OffsetDateTime) -> String {
    let time = time.replace_nanosecond(0).unwrap_or(time);
    time.format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
}
