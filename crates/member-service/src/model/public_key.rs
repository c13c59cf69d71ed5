//! Public keys that service accounts prove themselves by, and the ids that assertions name them with.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse, ThumbprintHash},
};
use serde_json::{Map, Value};
use tenancy::{ApiKeyId, OrganizationId};
use uuid::Uuid;

use super::Fault;

const MAX_BYTES: usize = 4096;
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
const PUBLIC_MEMBERS: [&str; 7] = ["kty", "crv", "x", "y", "n", "e", "alg"];
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=512;
/// 65537, which everybody uses. Small exponents have a history.
const RSA_EXPONENT: &str = "AQAB";

/// A public key with the one algorithm that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// The public members alone.
    jwk: String,
    thumbprint: String,
}

impl PublicKey {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text.len() > MAX_BYTES {
            return Err(Fault("must be at most 4 KiB"));
        }
        let mut members: Map<String, Value> =
            serde_json::from_str(text).map_err(|_| Fault("must be one JWK as a JSON object"))?;
        if PRIVATE_MEMBERS.iter().any(|name| members.contains_key(*name)) {
            return Err(Fault("must be a public key: this one holds what must stay with the account"));
        }
        let jwk: Jwk =
            serde_json::from_value(Value::Object(members.clone())).map_err(|_| Fault("is not a well-formed JWK"))?;
        if jwk.common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature) {
            return Err(Fault("must be for signatures: its `use` says otherwise"));
        }
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).map(|bytes| bytes.len()).unwrap_or_default();
        let fits = match (&jwk.algorithm, jwk.common.key_algorithm) {
            (AlgorithmParameters::OctetKeyPair(key), Some(KeyAlgorithm::EdDSA)) => {
                key.curve == EllipticCurve::Ed25519 && bytes(&key.x) == 32
            }
            (AlgorithmParameters::EllipticCurve(key), Some(KeyAlgorithm::ES256)) => {
                key.curve == EllipticCurve::P256 && bytes(&key.x) == 32 && bytes(&key.y) == 32
            }
            (AlgorithmParameters::RSA(key), Some(KeyAlgorithm::RS256)) => {
                RSA_BYTES.contains(&bytes(&key.n)) && key.e == RSA_EXPONENT
            }
            _ => false,
        };
        if !fits || DecodingKey::from_jwk(&jwk).is_err() {
            return Err(Fault(
                "must be an Ed25519 key with `alg` EdDSA, a P-256 key with ES256, or an RSA key of 2048 to 4096 bits and exponent 65537 with RS256",
            ));
        }
        let thumbprint = jwk.thumbprint(ThumbprintHash::SHA256).map_err(|_| Fault("is not a well-formed JWK"))?;
        members.retain(|name, _| PUBLIC_MEMBERS.contains(&name.as_str()));
        Ok(Self { jwk: Value::Object(members).to_string(), thumbprint })
    }

    pub fn as_jwk(&self) -> &str {
        &self.jwk
    }

    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }
}

/// What a stored key verifies by. None for what is no key of ours.
pub fn verifying(jwk: &str) -> Option<(Algorithm, DecodingKey)> {
    let jwk: Jwk = serde_json::from_str(jwk).ok()?;
    let algorithm = match jwk.common.key_algorithm? {
        KeyAlgorithm::EdDSA => Algorithm::EdDSA,
        KeyAlgorithm::ES256 => Algorithm::ES256,
        KeyAlgorithm::RS256 => Algorithm::RS256,
        _ => return None,
    };
    Some((algorithm, DecodingKey::from_jwk(&jwk).ok()?))
}

/// The `kid` of an assertion: whose key it is, and which, so that it is looked up under its tenant as every credential is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AssertionKeyId {
    pub tenant: Uuid,
    pub key: ApiKeyId,
}

impl AssertionKeyId {
    pub fn new(tenant: OrganizationId, key: ApiKeyId) -> Self {
        Self { tenant: tenant.uuid(), key }
    }

    pub fn text(self) -> String {
        URL_SAFE_NO_PAD.encode([*self.tenant.as_bytes(), *self.key.uuid().as_bytes()].concat())
    }

    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 32] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let (tenant, key) = bytes.split_at(16);
        Some(Self { tenant: Uuid::from_slice(tenant).ok()?, key: ApiKeyId::from_uuid(Uuid::from_slice(key).ok()?) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ed25519() -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": URL_SAFE_NO_PAD.encode([7; 32])})
    }

    fn with(name: &str, value: Value) -> Result<PublicKey, Fault> {
        let mut key = ed25519();
        key[name] = value;
        PublicKey::parse(&key.to_string())
    }

    #[test]
    fn a_key_keeps_its_public_members_alone() {
        let key = with("x5u", json!("https://evil.test")).unwrap();
        assert!(!key.as_jwk().contains("evil") && verifying(key.as_jwk()).is_some());
        assert_eq!(key.thumbprint().len(), 43);
        assert_eq!(with("kid", json!("any")).unwrap(), PublicKey::parse(&ed25519().to_string()).unwrap());
    }

    #[test]
    fn what_is_no_public_signing_key_of_a_listed_kind_is_refused() {
        assert!(with("use", json!("sig")).is_ok());
        let rsa = |bytes: usize, e: &str| json!({"kty": "RSA", "alg": "RS256", "n": URL_SAFE_NO_PAD.encode(vec![0xff; bytes]), "e": e});
        assert!(PublicKey::parse(&rsa(256, "AQAB").to_string()).is_ok());
        for bad in [
            with("d", json!("AAAA")),
            with("alg", json!("ES256")),
            with("alg", json!("none")),
            with("alg", json!("HS256")),
            with("alg", Value::Null),
            with("crv", json!("X25519")),
            with("use", json!("enc")),
            with("x", json!(URL_SAFE_NO_PAD.encode([7; 31]))),
            with("x5c", json!("x".repeat(5000))),
            PublicKey::parse(&json!({"kty": "oct", "alg": "HS256", "k": "AAAA"}).to_string()),
            PublicKey::parse(&rsa(128, "AQAB").to_string()),
            PublicKey::parse(&rsa(513, "AQAB").to_string()),
            PublicKey::parse(&rsa(256, "Aw").to_string()),
            PublicKey::parse("[]"),
            PublicKey::parse(""),
        ] {
            assert!(bad.is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_assertion_names_its_key_in_one_spelling() {
        let id = AssertionKeyId::new(OrganizationId::new(), ApiKeyId::new());
        assert_eq!(AssertionKeyId::parse(&id.text()), Some(id));
        for bad in ["", "AAAA", &format!("{}A", id.text()), &id.text()[..42]] {
            assert_eq!(AssertionKeyId::parse(bad), None);
        }
    }
}
