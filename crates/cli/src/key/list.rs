use std::path::Path;

use serde_json::{Value, json};
use time::OffsetDateTime;
use tokens::RingKey;

use super::files::{Entry, Held};
use super::plan::{moment, signing, superseded};
use super::{SIGNERS, Times};
use crate::{
    Failure,
    render::{self, Format},
};

pub fn list(directory: &Path, format: Format, times: Times) -> Result<(), Failure> {
    let now = super::rotate::now();
    let mut rows = Vec::new();
    for signer in SIGNERS {
        let held = Held::read(directory, signer)?;
        let row = |algorithm: &str, kid: &str, (state, until): (&str, Option<OffsetDateTime>)| json!({"signer": signer, "algorithm": algorithm, "keyId": kid, "state": state, "until": until.map(moment).unwrap_or_default()});
        let mut keys: Vec<&RingKey> = held.private.iter().collect();
        keys.sort_by_key(|key| (key.key.algorithm(), key.signs_from));
        rows.extend(
            keys.into_iter().map(|key| row(key.key.algorithm().name(), key.key.kid(), state(&held, key, times, now))),
        );
        let alone = |entry: &&Entry| held.private.iter().all(|key| key.key.kid() != entry.kid);
        // No private half: nothing is signed with it here, and it is believed.
        rows.extend(
            held.public.iter().filter(alone).map(|entry| {
                row(entry.jwk["alg"].as_str().unwrap_or_default(), &entry.kid, ("PUBLIC_HALF_ONLY", None))
            }),
        );
    }
    render::rows(format, rows.into_iter().collect::<Vec<Value>>())
}

/// What a key does, and until when.
fn state(held: &Held, key: &RingKey, times: Times, now: OffsetDateTime) -> (&'static str, Option<OffsetDateTime>) {
    let next = superseded(&held.private, key);
    if held.entry(key.key.kid()).is_none() {
        ("NOT_PUBLISHED", None)
    } else if key.signs_from > now {
        ("PUBLISHED", Some(key.signs_from))
    } else if signing(&held.private, key.key.algorithm(), now).is_some_and(|signs| signs.key.kid() == key.key.kid()) {
        ("SIGNING", next)
    } else {
        ("RETIRED", next.map(|since| since + times.kept()))
    }
}
