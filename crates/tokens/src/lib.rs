//! Signed tokens: the keys that sign them, the keys that are believed, and the one way in which a token is read.
//!
//! Nothing here knows of gRPC, so that a service, the gateway and a product's own process verify by the same code. What a
//! good token entitles to is for others to say.
//!
//! - [`SigningKey`] and [`PublicKey`] are one key each, of one of three algorithms;
//! - [`Ring`] is the keys of one signer as they lie in a file, followed while they are rotated;
//! - [`KeySet`] is a published set;
//! - [`Token`] is a token that was taken apart, and with a key and [`Expected`] a verified one.

mod algorithm;
mod claims;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod jwk;
mod private;
mod public;
mod ring;
mod unique;
mod verify;

use std::time::Duration;

pub use algorithm::Algorithm;
pub use claims::{ACCESS_TYPE, AccessClaims, ActClaims, WORKLOAD_TYPE, WorkloadClaims};
pub use jwk::{KeySet, MalformedSet};
pub use private::{CryptographyFailed, SigningKey};
pub use public::PublicKey;
pub use ring::{KeyError, Ring, RingKey, read_keys, write_keys};
pub use verify::{Expected, LEEWAY, MAX_TOKEN, Refused, Token};

/// For as long may others keep the published key sets (`Cache-Control`). A new key is published for longer than this before it signs.
pub const CACHE_TIME: Duration = Duration::from_secs(300);
/// How often the files of keys are read again.
pub const POLL: Duration = Duration::from_secs(30);
/// How long a workload's token is good for, and may be at most.
pub const WORKLOAD_LIFE: Duration = Duration::from_secs(60);
