//! The file of one signer's private keys: PEM (RFC 7468) with, before each key, lines that say from when on it signs, and for whoever
//! reads the file its algorithm and id.
//!
//! ```text
//! Algorithm: EdDSA
//! Key-Id: kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k
//! Signs-From: 2026-11-21T10:45:00Z
//! -----BEGIN PRIVATE KEY-----
//! ...
//! -----END PRIVATE KEY-----
//! ```
//!
//! One file, so that it is replaced whole. A key without a time, such as OpenSSL writes, has signed always.

use std::{fmt::Write as _, fs, io, path::Path, sync::Arc};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    jwk::MalformedSet,
    private::{CryptographyFailed, PEM, SigningKey},
};

/// Nobody has so much of them.
const MAX_BYTES: u64 = 1024 * 1024;

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("cannot read {path}")]
    Unreadable { path: String, source: io::Error },
    #[error("{path} does not hold Ed25519, P-256 or RSA private keys in PEM (PKCS #8): {fault}")]
    Malformed { path: String, fault: String },
    #[error("{path} cannot be used")]
    MalformedSet { path: String, source: MalformedSet },
    #[error("no key of {path} may sign now: one must have begun to, and its public half must stand in {published}")]
    NoneSigns { path: String, published: String },
}

/// A private key and from when on it signs.
#[derive(Debug, Clone)]
pub struct RingKey {
    pub key: Arc<SigningKey>,
    /// 1970 where the file says nothing.
    pub signs_from: OffsetDateTime,
}

/// Every key of a file, in its order. The error says which line is wrong, and nothing of what stands there.
pub fn read_keys(text: &str) -> Result<Vec<RingKey>, String> {
    let mut keys: Vec<RingKey> = Vec::new();
    let (mut signs_from, mut kid, mut body) = (None, None, None::<String>);
    for (at, line) in text.lines().enumerate() {
        let wrong = |what: &str| format!("line {}: {what}", at + 1);
        let line = line.trim();
        if let Some(base64) = &mut body {
            if line != PEM.1 {
                base64.push_str(line);
                continue;
            }
            let key = SigningKey::from_pem_body(base64).ok_or_else(|| wrong("the key that ends here is none"))?;
            if kid.take().is_some_and(|kid: String| kid != key.kid()) {
                return Err(wrong("the key that ends here is not the one that Key-Id names"));
            }
            if keys.iter().any(|other| other.key.kid() == key.kid()) {
                return Err(wrong("the key that ends here stands there twice"));
            }
            keys.push(RingKey {
                key: Arc::new(key),
                signs_from: signs_from.take().unwrap_or(OffsetDateTime::UNIX_EPOCH),
            });
            body = None;
        } else if line == PEM.0 {
            body = Some(String::new());
        } else if line.starts_with("-----BEGIN") {
            return Err(wrong("not a PKCS #8 private key"));
        } else if let Some(time) = line.strip_prefix("Signs-From:") {
            let time = OffsetDateTime::parse(time.trim(), &Rfc3339);
            signs_from = Some(time.map_err(|_| wrong("Signs-From must be a time such as 2026-11-21T10:45:00Z"))?);
        } else if let Some(id) = line.strip_prefix("Key-Id:") {
            kid = Some(id.trim().to_owned());
        }
    }
    if body.is_some() {
        return Err("its last key has no end".to_owned());
    }
    Ok(keys)
}

/// The text of such a file.
pub fn write_keys(keys: &[RingKey]) -> Result<String, CryptographyFailed> {
    let mut text = String::new();
    for key in keys {
        let time = key.signs_from.format(&Rfc3339).map_err(|_| CryptographyFailed)?;
        let _ = write!(text, "Algorithm: {}\nKey-Id: {}\nSigns-From: {time}\n", key.key.algorithm(), key.key.kid());
        text.push_str(&key.key.to_pem()?);
    }
    Ok(text)
}

/// The files that are meant by a path, each with its text. Hidden ones, as a mounted Secret has, are none.
pub(super) fn texts(path: &Path) -> Result<Vec<(String, String)>, KeyError> {
    let unreadable = |path: &Path| {
        let path = path.display().to_string();
        move |source| KeyError::Unreadable { path, source }
    };
    let mut paths = vec![path.to_owned()];
    if fs::metadata(path).map_err(unreadable(path))?.is_dir() {
        let entries = fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(unreadable(path))?;
        paths = entries.into_iter().map(|entry| entry.path()).collect();
        paths.retain(|path| {
            let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
            !hidden && path.extension().is_some_and(|ending| ending == "pem")
        });
        paths.sort();
    }
    let read = |path: std::path::PathBuf| {
        let size = fs::metadata(&path).map_err(unreadable(&path))?.len();
        let shown = path.display().to_string();
        if size > MAX_BYTES {
            return Err(KeyError::Malformed { path: shown, fault: "it is larger than 1 MiB".to_owned() });
        }
        Ok((shown, fs::read_to_string(&path).map_err(unreadable(&path))?))
    };
    paths.into_iter().map(read).collect()
}
