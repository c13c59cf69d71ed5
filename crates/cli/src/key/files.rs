//! The two files of a signer: `keys/<name>.pem`, its private keys, and `trust/<name>.jwks.json`, what others believe.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokens::{KeySet, RingKey, read_keys};

use crate::Failure;

/// A rotation takes less, but for an RSA key on a slow machine.
const LOCKED_FOR: Duration = Duration::from_secs(30);
/// In an entry of a key set: since when it is there. Not for verifiers.
const PUBLISHED: &str = "published";

pub fn private_file(directory: &Path, signer: &str) -> PathBuf {
    directory.join("keys").join(format!("{signer}.pem"))
}

pub fn public_file(directory: &Path, signer: &str) -> PathBuf {
    directory.join("trust").join(format!("{signer}.jwks.json"))
}

/// A signer's keys as they lie there.
#[derive(Clone, Debug, Default)]
pub struct Held {
    pub private: Vec<RingKey>,
    pub public: Vec<Entry>,
}

/// A published key.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub kid: String,
    pub jwk: Value,
    /// None where somebody else put it there.
    pub published: Option<OffsetDateTime>,
}

impl Entry {
    pub fn of(key: &RingKey, published: OffsetDateTime) -> Self {
        Self { kid: key.key.kid().to_owned(), jwk: key.key.public_jwk(), published: Some(published) }
    }
}

impl Held {
    pub fn read(directory: &Path, signer: &str) -> Result<Self, Failure> {
        let path = private_file(directory, signer);
        let text = fs::read_to_string(&path).map_err(Failure::file("cannot read", &path))?;
        let private = read_keys(&text).map_err(|fault| Failure::NotAKey { path: path.clone(), fault })?;
        if private.is_empty() {
            return Err(Failure::NotAKey { path, fault: "there is none".to_owned() });
        }
        let path = public_file(directory, signer);
        let public = match fs::read(&path) {
            Ok(text) => entries(&text).ok_or(Failure::NotAKeySet { path })?,
            // It is made again from the private half.
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Failure::file("cannot read", path)(error)),
        };
        Ok(Self { private, public })
    }

    pub fn entry(&self, kid: &str) -> Option<&Entry> {
        self.public.iter().find(|entry| entry.kid == kid)
    }
}

fn entries(text: &[u8]) -> Option<Vec<Entry>> {
    KeySet::parse(text).ok()?;
    let mut set: Value = serde_json::from_slice(text).ok()?;
    let Value::Array(keys) = set["keys"].take() else { return None };
    let entry = |mut jwk: Value| {
        let time = jwk.as_object_mut()?.remove(PUBLISHED);
        let published = match time {
            Some(time) => Some(OffsetDateTime::parse(time.as_str()?, &Rfc3339).ok()?),
            None => None,
        };
        Some(Entry { kid: jwk["kid"].as_str()?.to_owned(), jwk, published })
    };
    keys.into_iter().map(entry).collect()
}

/// The text of a key set.
pub fn key_set(entries: &[Entry]) -> String {
    let jwk = |entry: &Entry| {
        let mut jwk = entry.jwk.clone();
        if let Some(time) = entry.published.and_then(|time| time.format(&Rfc3339).ok()) {
            jwk[PUBLISHED] = json!(time);
        }
        jwk
    };
    let set = json!({ "keys": entries.iter().map(jwk).collect::<Vec<_>>() });
    format!("{set:#}\n")
}

/// One rotation of a folder at a time. The lock is the operating system's on an open file: it ends with the process, however that ends.
pub fn lock(directory: &Path) -> Result<File, Failure> {
    let path = directory.join("keys/.lock");
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(Failure::file("cannot open", &path))?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if begun.elapsed() < LOCKED_FOR => {
                std::thread::sleep(Duration::from_millis(20))
            }
            Err(TryLockError::WouldBlock) => return Err(Failure::RotationUnderWay { directory: directory.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(Failure::file("cannot lock", path)(error)),
        }
    }
}

/// Puts a text in the place of a file, whole and for good: who reads sees the old one or the new one, and after a crash so does who comes
/// next. It stays as open or closed to others as it was.
pub fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Hidden, so that nobody takes it for a file of keys.
    let draft = folder.join(format!(".{name}.draft-{}", std::process::id()));
    let mode = fs::metadata(path).map_or(0o600, |found| found.permissions().mode() & 0o777);
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&draft)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&draft, path))
        .and_then(|()| File::open(folder).and_then(|folder| folder.sync_all()));
    written.map_err(|error| {
        let _ = fs::remove_file(&draft);
        Failure::file("cannot write", path)(error)
    })
}

/// The path if it was made, none if there is such a file already. Written beside its place and linked there, so that nobody reads half a key.
pub fn create(path: &Path, text: &str) -> Result<Option<PathBuf>, Failure> {
    let draft = path.with_extension(format!("draft-{}", std::process::id()));
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    let linked = written.and_then(|()| fs::hard_link(&draft, path));
    let _ = fs::remove_file(&draft);
    match linked {
        Ok(()) => Ok(Some(path.to_owned())),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(Failure::file("cannot write", path)(error)),
    }
}
