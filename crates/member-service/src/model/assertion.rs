//! Assertions by which service accounts prove themselves (RFC 7523, section 3).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Validation, decode};
use serde::Deserialize;
use tenancy::{ServiceAccountId, event::sha256};
use time::{Duration, OffsetDateTime};

use super::{AssertionKeyId, verifying};

const MAX_BYTES: usize = 8 * 1024;
const MAX_TOKEN_ID: usize = 256;
/// How far ahead one may expire: a stolen one is of little use, and what is remembered of used ones is little.
const LIFETIME: Duration = Duration::minutes(5);
/// The clocks of two machines may differ by this much.
const LEEWAY: Duration = Duration::seconds(5);

/// One that has not been verified yet.
#[derive(Debug)]
pub struct Assertion<'a> {
    text: &'a str,
    /// By which key it says to be signed.
    pub key: AssertionKeyId,
}

/// One that is good, if it was not used before.
#[derive(Debug, PartialEq, Eq)]
pub struct Proof {
    pub account: ServiceAccountId,
    pub token_hash: [u8; 32],
    /// It is good nowhere after that.
    pub forget_time: OffsetDateTime,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    #[serde(rename = "alg")]
    _alg: String,
    kid: String,
    typ: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: i64,
    iat: Option<i64>,
    nbf: Option<i64>,
    jti: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    /// As JWT allows it, of one.
    List([String; 1]),
}

impl<'a> Assertion<'a> {
    pub fn read(text: &'a str) -> Option<Self> {
        let encoded = text.split('.').next().filter(|_| text.len() <= MAX_BYTES)?;
        let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()?;
        let known = matches!(header.typ.as_deref(), None | Some("JWT" | "client-authentication+jwt"));
        Some(Self { text, key: AssertionKeyId::parse(&header.kid).filter(|_| known)? })
    }

    /// What it proves, by the registered key.
    pub fn verify(&self, jwk: &str, audiences: &[String], now: OffsetDateTime) -> Option<Proof> {
        let (algorithm, key) = verifying(jwk)?;
        let mut validation = Validation::new(algorithm);
        // Looked at below, all of them.
        validation.required_spec_claims.clear();
        (validation.validate_exp, validation.validate_aud) = (false, false);
        let claims = decode::<Claims>(self.text, &key, &validation).ok()?.claims;
        let (Audience::One(audience) | Audience::List([audience])) = &claims.aud;
        let at = |seconds: i64| OffsetDateTime::from_unix_timestamp(seconds).ok();
        let past = |seconds: Option<i64>| seconds.is_none_or(|s| at(s).is_some_and(|time| time <= now + LEEWAY));
        let expire_time = at(claims.exp)?;
        let good = claims.iss == claims.sub
            && audiences.contains(audience)
            && expire_time + LEEWAY > now
            && expire_time <= now + LIFETIME + LEEWAY
            && past(claims.iat)
            && past(claims.nbf)
            && (1..=MAX_TOKEN_ID).contains(&claims.jti.len());
        let account = claims.sub.parse().ok()?;
        let forget_time = expire_time + LEEWAY + Duration::MINUTE;
        good.then(|| Proof { account, token_hash: sha256(claims.jti.as_bytes()), forget_time })
    }
}
