//! The service's sealing keys: what leaves the service and comes back (page tokens, revision tokens) is authenticated with them,
//! what rests in the database and is secret is encrypted with them. The keys never stand in the database.
//!
//! Every use derives a key of its own by HKDF-SHA-256 (RFC 5869) with the use's name as context. Encryption is AES-256-GCM under a
//! key derived from a fresh 256-bit salt for each message, so that no nonce is ever used twice under one key, however many messages
//! there are. Tags are HMAC-SHA-256, whole.

use std::{fmt, path::Path};

use aws_lc_rs::{aead, hkdf, hmac};
use base64::{Engine, engine::general_purpose::STANDARD};

const SALT: usize = 32;

/// Why a key file cannot be used. Never shows a key.
#[derive(Debug, thiserror::Error)]
pub enum SealingError {
    #[error("cannot read the sealing keys at {path}")]
    Unreadable { path: String, source: std::io::Error },
    #[error(
        "line {line} of the sealing keys is not `<id>:<base64 of 32 bytes>` with an id of 1 to 32 letters, digits or dashes"
    )]
    Malformed { line: usize },
    #[error("the sealing keys name the id of line {line} twice")]
    Duplicate { line: usize },
    #[error("there is no sealing key")]
    Empty,
}

/// What was to be opened is not ours, was altered, was sealed for another use, or under a key since dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sealed by nobody we know, or for another use")]
pub struct NotOurs;

struct Key {
    id: String,
    secret: [u8; 32],
}

/// The current sealing key, and the earlier ones that still open what they sealed.
pub struct Sealer {
    keys: Vec<Key>,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

impl Sealer {
    /// Reads lines of the form `<id>:<base64 of 32 bytes>`. The first is the current key.
    pub fn read(path: &Path) -> Result<Self, SealingError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| SealingError::Unreadable { path: path.display().to_string(), source })?;
        Self::parse(&text)
    }

    pub fn parse(text: &str) -> Result<Self, SealingError> {
        let mut keys: Vec<Key> = Vec::new();
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let malformed = SealingError::Malformed { line: at + 1 };
            let Some((id, secret)) = line.trim().split_once(':') else { return Err(malformed) };
            let plain = |c: u8| c.is_ascii_alphanumeric() || c == b'-';
            let Some(secret) = STANDARD.decode(secret).ok().and_then(|s| s.try_into().ok()) else {
                return Err(malformed);
            };
            if id.is_empty() || id.len() > 32 || !id.bytes().all(plain) {
                return Err(malformed);
            }
            if keys.iter().any(|key| key.id == id) {
                return Err(SealingError::Duplicate { line: at + 1 });
            }
            keys.push(Key { id: id.to_owned(), secret });
        }
        if keys.is_empty() { Err(SealingError::Empty) } else { Ok(Self { keys }) }
    }

    /// Encrypts for one use (`purpose`) and one place (`context`): it opens with the same two only.
    pub fn seal(&self, purpose: &str, context: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let key = &self.keys[0];
        let salt: [u8; SALT] = random();
        let mut text = plaintext.to_vec();
        cipher(key, purpose, &salt)
            .seal_in_place_append_tag(zero_nonce(), aead::Aad::from(context), &mut text)
            .expect("a message of less than 64 GiB can be sealed");
        let mut sealed = self.beginning();
        sealed.extend_from_slice(&salt);
        sealed.append(&mut text);
        sealed
    }

    pub fn open(&self, purpose: &str, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, NotOurs> {
        let (length, rest) = sealed.split_first().ok_or(NotOurs)?;
        let (id, rest) = rest.split_at_checked(usize::from(*length)).ok_or(NotOurs)?;
        let (salt, text) = rest.split_at_checked(SALT).ok_or(NotOurs)?;
        let key = self.keys.iter().find(|key| key.id.as_bytes() == id).ok_or(NotOurs)?;
        let mut text = text.to_vec();
        let opened = cipher(key, purpose, salt)
            .open_in_place(zero_nonce(), aead::Aad::from(context), &mut text)
            .map_err(|_| NotOurs)?
            .len();
        text.truncate(opened);
        Ok(text)
    }

    /// How every message begins that is sealed under the current key, and none that is sealed under another.
    pub fn beginning(&self) -> Vec<u8> {
        let id = self.keys[0].id.as_bytes();
        [&[id.len() as u8], id].concat()
    }

    /// A tag over `message` for one use. Authenticates, hides nothing.
    pub fn tag(&self, purpose: &str, message: &[u8]) -> [u8; 32] {
        tag(&self.keys[0], purpose, message)
    }

    /// The tag by each key, the current one's first.
    pub fn tags<'a>(&'a self, purpose: &'a str, message: &'a [u8]) -> impl Iterator<Item = [u8; 32]> + 'a {
        self.keys.iter().map(move |key| tag(key, purpose, message))
    }

    /// Whether `tag` was made for this use and message, by the current key or an earlier one. In constant time for each key.
    pub fn verify(&self, purpose: &str, message: &[u8], candidate: &[u8]) -> Result<(), NotOurs> {
        use subtle::ConstantTimeEq;
        let known = self.keys.iter().any(|key| bool::from(tag(key, purpose, message).ct_eq(candidate)));
        if known { Ok(()) } else { Err(NotOurs) }
    }
}

fn derive(key: &Key, purpose: &str, salt: &[u8]) -> [u8; 32] {
    let mut derived = [0; 32];
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(&key.secret)
        .expand(&[b"guildhall ", purpose.as_bytes()], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut derived))
        .expect("32 bytes are within what HKDF-SHA-256 gives");
    derived
}

fn cipher(key: &Key, purpose: &str, salt: &[u8]) -> aead::LessSafeKey {
    let derived = derive(key, purpose, salt);
    aead::LessSafeKey::new(aead::UnboundKey::new(&aead::AES_256_GCM, &derived).expect("32 bytes are an AES-256 key"))
}

/// Every message has a key of its own, so one nonce does for all.
fn zero_nonce() -> aead::Nonce {
    aead::Nonce::assume_unique_for_key([0; 12])
}

fn tag(key: &Key, purpose: &str, message: &[u8]) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &derive(key, purpose, &[]));
    let mut tag = [0; 32];
    tag.copy_from_slice(hmac::sign(&key, message).as_ref());
    tag
}

/// Bytes from the operating system's generator.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str, byte: u8) -> String {
        format!("{id}:{}\n", STANDARD.encode([byte; 32]))
    }

    #[test]
    fn what_is_sealed_opens_for_its_use_and_place_only() {
        let sealer = Sealer::parse(&key("a", 1)).unwrap();
        let sealed = sealer.seal("answer", b"org 1", b"secret");
        assert_eq!(sealer.open("answer", b"org 1", &sealed).unwrap(), b"secret");
        assert_eq!(sealer.open("answer", b"org 2", &sealed), Err(NotOurs));
        assert_eq!(sealer.open("page", b"org 1", &sealed), Err(NotOurs));
        for at in 0..sealed.len() {
            let mut bent = sealed.clone();
            bent[at] ^= 1;
            assert_eq!(sealer.open("answer", b"org 1", &bent), Err(NotOurs), "byte {at}");
            assert_eq!(sealer.open("answer", b"org 1", &sealed[..at]), Err(NotOurs), "cut at {at}");
        }
    }

    #[test]
    fn an_earlier_key_still_opens_and_a_dropped_one_does_not() {
        let old = Sealer::parse(&key("a", 1)).unwrap();
        let rotated = Sealer::parse(&(key("b", 2) + &key("a", 1))).unwrap();
        let sealed = old.seal("answer", b"", b"secret");
        assert_eq!(rotated.open("answer", b"", &sealed).unwrap(), b"secret");
        assert!(sealed.starts_with(&old.beginning()) && !sealed.starts_with(&rotated.beginning()));
        assert!(rotated.seal("answer", b"", b"secret").starts_with(&rotated.beginning()));
        assert!(rotated.verify("page", b"m", &old.tag("page", b"m")).is_ok());
        let dropped = Sealer::parse(&key("b", 2)).unwrap();
        assert_eq!(dropped.open("answer", b"", &sealed), Err(NotOurs));
        assert!(dropped.verify("page", b"m", &old.tag("page", b"m")).is_err());
    }

    #[test]
    fn a_bad_key_file_is_refused_by_line() {
        assert!(matches!(Sealer::parse(""), Err(SealingError::Empty)));
        assert!(matches!(Sealer::parse(&(key("a", 1) + "b:short")), Err(SealingError::Malformed { line: 2 })));
        assert!(matches!(Sealer::parse(&(key("a", 1) + &key("a", 2))), Err(SealingError::Duplicate { line: 2 })));
    }
}
