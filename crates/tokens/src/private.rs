//! A key that signs. It is parsed once: parsing it for every token would double what an Ed25519 signature costs.

use std::fmt;

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::{self, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{
    Engine, alphabet,
    engine::{
        DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig,
        general_purpose::{STANDARD, URL_SAFE_NO_PAD},
    },
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    algorithm::Algorithm,
    public::{Material, PublicKey, lower},
};

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";
/// Base64 as it stands in files that people edit: padding or not.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The machine's random source or its cryptography failed.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the machine's random source or cryptography failed")]
pub struct CryptographyFailed;

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

/// A private key with its public half.
pub struct SigningKey {
    pair: Pair,
    public: PublicKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("public", &self.public).finish_non_exhaustive()
    }
}

impl SigningKey {
    pub fn generate(algorithm: Algorithm) -> Result<Self, CryptographyFailed> {
        let pair = match algorithm {
            Algorithm::EdDsa => Ed25519KeyPair::generate().map(Pair::Ed25519),
            Algorithm::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Pair::P256),
            Algorithm::Rs256 => RsaKeyPair::generate(KeySize::Rsa2048).map(Pair::Rsa),
        };
        pair.ok().and_then(Self::of).ok_or(CryptographyFailed)
    }

    /// The only key of a PEM text, PKCS #8. None where there is another number of them, or one that we cannot sign with.
    pub fn from_pem(pem: &str) -> Option<Self> {
        let (_, rest) = pem.split_once(BEGIN)?;
        let (body, rest) = rest.split_once(END)?;
        (!rest.contains("-----BEGIN")).then(|| Self::from_pem_body(body)).flatten()
    }

    /// What stands between the lines of dashes.
    pub(crate) fn from_pem_body(body: &str) -> Option<Self> {
        let der = LENIENT.decode(body.split_whitespace().collect::<String>()).ok()?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map(Pair::Ed25519);
        let pair = pair.or_else(|_| EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).map(Pair::P256));
        let pair = pair.or_else(|_| RsaKeyPair::from_pkcs8(&der).map(Pair::Rsa));
        Self::of(pair.ok()?)
    }

    pub fn to_pem(&self) -> Result<String, CryptographyFailed> {
        // PKCS #8 of version 1, the one that every reader knows.
        let der: Result<Pkcs8V1Der<'_>, _> = match &self.pair {
            Pair::Ed25519(pair) => pair.as_der(),
            Pair::P256(pair) => {
                let der = pair.to_pkcs8v1().map_err(|_| CryptographyFailed)?;
                return Ok(pem(der.as_ref()));
            }
            Pair::Rsa(pair) => pair.as_der(),
        };
        der.map(|der| pem(der.as_ref())).map_err(|_| CryptographyFailed)
    }

    fn of(pair: Pair) -> Option<Self> {
        let material = match &pair {
            Pair::Ed25519(pair) => Material::Ed25519(pair.public_key().as_ref().try_into().ok()?),
            Pair::P256(pair) => {
                let point: &[u8; 65] = pair.public_key().as_ref().try_into().ok()?;
                let half = |from: usize| std::array::from_fn(|at| point[from + at]);
                Material::P256 { x: half(1), y: half(33) }
            }
            Pair::Rsa(pair) => {
                let public: &rsa::PublicKey = pair.public_key();
                let (n, e) = (public.modulus(), public.exponent());
                Material::Rsa {
                    n: n.big_endian_without_leading_zero().to_vec(),
                    e: e.big_endian_without_leading_zero().to_vec(),
                }
            }
        };
        Some(Self { public: PublicKey::new(material)?, pair })
    }

    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub fn kid(&self) -> &str {
        self.public.kid()
    }

    pub fn algorithm(&self) -> Algorithm {
        self.public.algorithm()
    }

    /// The public half as a JWK (RFC 7517).
    pub fn public_jwk(&self) -> Value {
        self.public.jwk()
    }

    /// A signed token of the given `typ`.
    pub fn sign(&self, typ: &str, claims: &impl Serialize) -> Result<String, serde_json::Error> {
        #[derive(Serialize)]
        struct Header<'a> {
            alg: &'static str,
            typ: &'a str,
            kid: &'a str,
        }
        let header = serde_json::to_vec(&Header { alg: self.algorithm().name(), typ, kid: self.kid() })?;
        self.sign_parts(&header, &serde_json::to_vec(claims)?).map_err(serde::ser::Error::custom)
    }

    /// A token of exactly these two texts, whatever they say.
    pub fn sign_parts(&self, header: &[u8], claims: &[u8]) -> Result<String, CryptographyFailed> {
        let mut token = URL_SAFE_NO_PAD.encode(header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = self.signature(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    fn signature(&self, message: &[u8]) -> Result<Vec<u8>, CryptographyFailed> {
        match &self.pair {
            Pair::Ed25519(pair) => Ok(pair.try_sign(message).map_err(|_| CryptographyFailed)?.as_ref().to_vec()),
            Pair::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message).map_err(|_| CryptographyFailed)?;
                Ok(lower(signature.as_ref().try_into().map_err(|_| CryptographyFailed)?).to_vec())
            }
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
                    .map_err(|_| CryptographyFailed)?;
                Ok(signature)
            }
        }
    }
}

fn pem(der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<_> = body.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("{BEGIN}\n{}\n{END}\n", lines.join("\n"))
}

pub(crate) const PEM: (&str, &str) = (BEGIN, END);
