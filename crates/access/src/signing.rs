//! A process's own signing key.
//!
//! The token's form is `jsonwebtoken`'s; the signature is made with a key that was parsed once. Its `encode` parses the key on
//! every call, which doubles what an Ed25519 signature costs.

use std::{fmt, path::Path};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey, Header,
    jwk::{Jwk, ThumbprintHash},
};
use serde::Serialize;

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("cannot read the signing key at {path}")]
    Unreadable { path: String, source: std::io::Error },
    #[error("the signing key at {path} is not an Ed25519 private key in PEM (PKCS #8)")]
    Malformed { path: String },
}

/// An Ed25519 private key with the id that its public half is published under.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    kid: String,
    jwk: Jwk,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl SigningKey {
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let shown = || path.display().to_string();
        let pem = std::fs::read_to_string(path).map_err(|source| KeyError::Unreadable { path: shown(), source })?;
        Self::from_pem(&pem).ok_or_else(|| KeyError::Malformed { path: shown() })
    }

    pub fn from_pem(pem: &str) -> Option<Self> {
        let body: String = pem
            .lines()
            .skip_while(|line| line.trim() != "-----BEGIN PRIVATE KEY-----")
            .skip(1)
            .take_while(|line| line.trim() != "-----END PRIVATE KEY-----")
            .map(str::trim)
            .collect();
        let der = base64::engine::general_purpose::STANDARD.decode(body).ok()?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).ok()?;
        let public = DecodingKey::from_ed_der(pair.public_key().as_ref());
        let mut jwk = Jwk::from_decoding_key(&public, Some(Algorithm::EdDSA)).ok()?;
        let kid = jwk.thumbprint(ThumbprintHash::SHA256).ok()?;
        jwk.common.key_id = Some(kid.clone());
        jwk.common.public_key_use = Some(jsonwebtoken::jwk::PublicKeyUse::Signature);
        Some(Self { pair, kid, jwk })
    }

    /// The public half as a JWK (RFC 7517), its id the RFC 7638 thumbprint.
    pub fn public_jwk(&self) -> &Jwk {
        &self.jwk
    }

    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// A signed token of the given `typ`.
    pub fn sign(&self, typ: &str, claims: &impl Serialize) -> Result<String, serde_json::Error> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(typ.to_owned());
        header.kid = Some(self.kid.clone());
        let mut token = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header)?);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(claims)?, &mut token);
        let signature = self.pair.sign(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
        Ok(token)
    }
}
