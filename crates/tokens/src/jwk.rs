//! Published key sets (RFC 7517), read strictly: what is believed is worth a close look.

use std::{collections::HashMap, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

use crate::{
    algorithm::Algorithm,
    public::{Material, PublicKey},
    unique::Unique,
};

/// Nobody has so many keys.
const MAX_KEYS: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not a JWK set of public EdDSA, ES256 or RS256 keys whose ids are their thumbprints (RFC 7638)")]
pub struct MalformedSet;

/// Public keys by their ids.
#[derive(Debug, Clone, Default)]
pub struct KeySet {
    keys: HashMap<String, Arc<PublicKey>>,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: String,
    alg: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    /// There is none in a published key: it is the private half, or a shared secret.
    d: Option<serde::de::IgnoredAny>,
    k: Option<serde::de::IgnoredAny>,
}

impl KeySet {
    /// Every key of the set must be one that we can verify with; a set with one that is not is no set.
    pub fn parse(text: &[u8]) -> Result<Self, MalformedSet> {
        serde_json::from_slice::<Unique>(text).map_err(|_| MalformedSet)?;
        let set: Set = serde_json::from_slice(text).map_err(|_| MalformedSet)?;
        if set.keys.len() > MAX_KEYS {
            return Err(MalformedSet);
        }
        let mut keys = HashMap::new();
        for jwk in set.keys {
            let key = jwk.key().ok_or(MalformedSet)?;
            keys.insert(key.kid().to_owned(), Arc::new(key));
        }
        Ok(Self { keys })
    }

    pub fn get(&self, kid: &str) -> Option<&Arc<PublicKey>> {
        self.keys.get(kid)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<PublicKey>> {
        self.keys.values()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

impl Jwk {
    fn key(&self) -> Option<PublicKey> {
        let fixed = |text: &Option<String>| -> Option<[u8; 32]> { number(text)?.try_into().ok() };
        let material = match (self.kty.as_str(), self.crv.as_deref(), self.alg.parse().ok()?) {
            ("OKP", Some("Ed25519"), Algorithm::EdDsa) => Material::Ed25519(fixed(&self.x)?),
            ("EC", Some("P-256"), Algorithm::Es256) => Material::P256 { x: fixed(&self.x)?, y: fixed(&self.y)? },
            ("RSA", None, Algorithm::Rs256) => Material::Rsa { n: number(&self.n)?, e: number(&self.e)? },
            _ => return None,
        };
        let public = self.d.is_none() && self.k.is_none() && self.usage.as_deref().is_none_or(|usage| usage == "sig");
        PublicKey::new(material).filter(|key| public && key.kid() == self.kid)
    }
}

fn number(text: &Option<String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.as_deref()?).ok()
}
