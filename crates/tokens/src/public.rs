//! The public half of a key, as it is published (RFC 7517) and as it verifies.

use std::fmt;

use aws_lc_rs::{
    digest::{SHA256, digest},
    rsa::PublicKeyComponents,
    signature::{ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::algorithm::Algorithm;

/// Longer ones cost more to verify than any caller needs to make us pay.
const MAX_RSA_BYTES: usize = 512;
const MIN_RSA_BYTES: usize = 256;
/// 65537, which every key of ours has: small exponents have a history.
const RSA_EXPONENT: [u8; 3] = [1, 0, 1];
/// Half the order of P-256, rounded down. An ECDSA signature has a twin with the other half's `s`; only one of the two is a signature here.
const P256_HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0x80, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xde, 0x73, 0x7d,
    0x56, 0xd3, 0x8b, 0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8,
];

/// The numbers of a public key, by its kind.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Material {
    Ed25519([u8; 32]),
    P256 { x: [u8; 32], y: [u8; 32] },
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

/// A key that verifies, with the one algorithm it is for.
pub struct PublicKey {
    material: Material,
    parsed: ParsedPublicKey,
    kid: String,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm())
            .finish_non_exhaustive()
    }
}

impl PublicKey {
    /// None for numbers that are no key, or too weak a one.
    pub(crate) fn new(material: Material) -> Option<Self> {
        let parsed = match &material {
            Material::Ed25519(x) => ParsedPublicKey::new(&ED25519, x).ok()?,
            Material::P256 { x, y } => {
                let point = [&[4][..], x, y].concat();
                ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()?
            }
            Material::Rsa { n, e } => {
                let sound = (MIN_RSA_BYTES..=MAX_RSA_BYTES).contains(&n.len()) && n[0] >= 0x80 && *e == RSA_EXPONENT;
                let components = PublicKeyComponents { n, e };
                sound.then(|| components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).ok()).flatten()?
            }
        };
        let kid = URL_SAFE_NO_PAD.encode(digest(&SHA256, material.canonical().as_bytes()));
        Some(Self { material, parsed, kid })
    }

    pub fn algorithm(&self) -> Algorithm {
        match self.material {
            Material::Ed25519(_) => Algorithm::EdDsa,
            Material::P256 { .. } => Algorithm::Es256,
            Material::Rsa { .. } => Algorithm::Rs256,
        }
    }

    /// The thumbprint of RFC 7638: the id says which key it is, so none can be given another's.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// As it stands in a JWK set.
    pub fn jwk(&self) -> Value {
        let mut jwk: Value =
            self.material.members().into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
        jwk["kid"] = json!(self.kid);
        jwk["alg"] = json!(self.algorithm().name());
        jwk["use"] = json!("sig");
        jwk
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let one_form = match self.material {
            Material::P256 { .. } => signature.len() == 64 && signature[32..] <= P256_HALF_ORDER[..],
            // The library takes no other length, and no number out of range.
            Material::Ed25519(_) | Material::Rsa { .. } => true,
        };
        one_form && self.parsed.verify_sig(message, signature).is_ok()
    }
}

impl Material {
    /// The members that make the key, in the order of their names.
    pub(crate) fn members(&self) -> Vec<(&'static str, String)> {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Ed25519(x) => vec![("crv", "Ed25519".to_owned()), ("kty", "OKP".to_owned()), ("x", text(x))],
            Self::P256 { x, y } => {
                vec![("crv", "P-256".to_owned()), ("kty", "EC".to_owned()), ("x", text(x)), ("y", text(y))]
            }
            Self::Rsa { n, e } => vec![("e", text(e)), ("kty", "RSA".to_owned()), ("n", text(n))],
        }
    }

    fn canonical(&self) -> String {
        let members: Vec<_> = self.members().iter().map(|(name, value)| format!(r#""{name}":"{value}""#)).collect();
        format!("{{{}}}", members.join(","))
    }
}

/// The same signature with the lower of its two `s`.
pub(crate) fn lower(mut signature: [u8; 64]) -> [u8; 64] {
    let s: [u8; 32] = std::array::from_fn(|at| signature[32 + at]);
    if s <= P256_HALF_ORDER {
        return signature;
    }
    // order - s, where order is twice the half and one.
    let mut borrow = 0i16;
    let mut carry = 1u16;
    for at in (0..32).rev() {
        let twice = u16::from(P256_HALF_ORDER[at]) * 2 + carry;
        carry = twice >> 8;
        let difference = i16::from(twice as u8) - i16::from(s[at]) - borrow;
        borrow = i16::from(difference < 0);
        signature[32 + at] = difference as u8;
    }
    signature
}
