//! Verification of tokens (RFC 8725). There is one form that a token may have, and everything else is none:
//!
//! - The algorithm is that of our record of the key. What the header says of it must be the same, and decides nothing.
//! - The header has `alg`, `typ` and `kid` and no more. So `crit` is refused, and so is whatever would bring a key along (`jwk`, `jku`,
//!   `x5c`, `x5u`), name a compression or nest another token. `kid` is looked up among the keys we hold, and nowhere else.
//! - Issuer, audience, subject and all three times are required, of their own types; no name may stand twice.
//! - Sizes are bounded before anything is decoded, and base64 has one spelling.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{public::PublicKey, unique::Unique};

/// The clocks of two machines may differ by this much.
pub const LEEWAY: Duration = Duration::from_secs(5);
/// Longer texts are no tokens of ours.
pub const MAX_TOKEN: usize = 8 * 1024;
const MAX_HEADER: usize = 512;
/// RSA of 4096 bits.
const MAX_SIGNATURE: usize = 684;

/// The token is not good. Which of the many ways it is bad is nobody's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token is not valid here")]
pub struct Refused;

/// What a token must say to be good here.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// `at+jwt` or `wl+jwt`: one cannot stand in for the other.
    pub typ: &'a str,
    pub issuer: &'a str,
    /// None: whomever it is meant for.
    pub audience: Option<&'a str>,
    /// A token for longer was not made by us, whoever signed it.
    pub longest_life: Duration,
}

/// A token that was taken apart. Nothing that it says is believed yet.
pub struct Token<'a> {
    header: Header,
    signed: &'a str,
    claims: &'a str,
    signature: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

#[derive(Deserialize)]
struct Registered {
    iss: String,
    sub: String,
    aud: String,
    exp: u64,
    iat: u64,
    nbf: u64,
}

impl<'a> Token<'a> {
    pub fn parse(token: &'a str) -> Result<Self, Refused> {
        if token.len() > MAX_TOKEN {
            return Err(Refused);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Refused)?;
        let (header, claims) = signed.split_once('.').ok_or(Refused)?;
        let sound = header.len() <= MAX_HEADER && signature.len() <= MAX_SIGNATURE && !claims.contains('.');
        if !sound || claims.is_empty() || signature.is_empty() {
            return Err(Refused);
        }
        let header = serde_json::from_slice(object(&decoded(header)?)?).map_err(|_| Refused)?;
        Ok(Self { header, signed, claims, signature })
    }

    /// Which of our keys it says it was signed with.
    pub fn kid(&self) -> &str {
        &self.header.kid
    }

    /// What kind of token it says it is.
    pub fn typ(&self) -> &str {
        &self.header.typ
    }

    /// What it says, if that key signed it and it is what is expected, at this moment.
    pub fn verify<C: DeserializeOwned>(
        &self,
        key: &PublicKey,
        expected: &Expected<'_>,
        now: SystemTime,
    ) -> Result<C, Refused> {
        let ours = self.header.typ == expected.typ
            && self.header.kid == key.kid()
            && self.header.alg == key.algorithm().name();
        if !ours || !key.verifies(self.signed.as_bytes(), &decoded(self.signature)?) {
            return Err(Refused);
        }
        let claims = decoded(self.claims)?;
        object(&claims)?;
        serde_json::from_slice::<Unique>(&claims).map_err(|_| Refused)?;
        let registered: Registered = serde_json::from_slice(&claims).map_err(|_| Refused)?;
        if !registered.holds(expected, now) {
            return Err(Refused);
        }
        serde_json::from_slice(&claims).map_err(|_| Refused)
    }
}

impl Registered {
    fn holds(&self, expected: &Expected<'_>, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let leeway = LEEWAY.as_secs();
        self.iss == expected.issuer
            && expected.audience.is_none_or(|audience| self.aud == audience)
            && !self.sub.is_empty()
            && self.iat.max(self.nbf) <= now.saturating_add(leeway)
            && self.nbf < self.exp
            && self.exp.checked_sub(self.iat).is_some_and(|life| life <= expected.longest_life.as_secs())
            && now < self.exp.saturating_add(leeway)
    }
}

/// A list of the values in our order would read as well: the derived readers take either.
fn object(json: &[u8]) -> Result<&[u8], Refused> {
    if json.first() == Some(&b'{') { Ok(json) } else { Err(Refused) }
}

/// Without padding, and with no bits left over: each content has one text.
fn decoded(text: &str) -> Result<Vec<u8>, Refused> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Refused)
}
