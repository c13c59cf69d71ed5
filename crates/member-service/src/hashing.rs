//! Hashing passwords: Argon2id with 19 MiB, two passes, one lane, which OWASP names as the least that is enough. A hash takes some
//! twenty milliseconds of a core and those 19 MiB, so no more of them run at once than there are cores, and none on a thread that
//! serves calls. Few wait for that at once: whoever waits holds a place among the calls in flight, and a flood of sign-ins would hold
//! them all for as long as it takes to hash them, before the first refresh of a session came through.
//!
//! Hashes that an import brought are checked as they are, and replaced by one of ours once their password is known. Their cost was
//! bounded when they were imported (`model::ForeignHash`); they take the same turns.

use std::{fmt, sync::Arc, thread::available_parallelism};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{
        self, PasswordHasher, PasswordVerifier,
        phc::{self, PasswordHash},
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::HashKind;

const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// So many wait for each core, or are hashed: the last of them waits a good half second.
const QUEUE: usize = 32;

#[derive(Debug, thiserror::Error)]
pub enum HashError {
    #[error("a password could not be hashed")]
    Hash(#[from] password_hash::Error),
    #[error("a stored hash does not read")]
    Stored(#[from] phc::Error),
    #[error("a stored bcrypt hash does not read")]
    Bcrypt(#[from] bcrypt::BcryptError),
    #[error("a stored hash is by no function that is known here")]
    Unknown,
    #[error("the parameters of password hashing are out of range")]
    Parameters(#[from] argon2::Error),
    #[error("a hashing thread failed")]
    Thread(#[from] tokio::task::JoinError),
    #[error("hashing has ended")]
    Ended(#[from] tokio::sync::AcquireError),
    #[error("too many wait for a password to be hashed")]
    Full,
}

/// A place in the queue, good for the hashes of one call.
#[derive(Debug)]
pub struct Place {
    _held: OwnedSemaphorePermit,
}

#[derive(Clone)]
pub struct Hasher {
    argon2: Argon2<'static>,
    turns: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    /// A hash that no password has: checked where there is none, so that both cases take the same time.
    nobodys: Arc<str>,
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").field("turns", &self.turns).finish_non_exhaustive()
    }
}

impl Hasher {
    pub fn new() -> Result<Self, HashError> {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(MEMORY_KIB, PASSES, LANES, None)?);
        let nobodys = nobodys().into();
        let cores = available_parallelism().map_or(1, usize::from);
        let (turns, queue) = (Arc::new(Semaphore::new(cores)), Arc::new(Semaphore::new(QUEUE * cores)));
        Ok(Self { argon2, turns, queue, nobodys })
    }

    /// To be asked for before anything is done that a refusal would have been in vain.
    pub fn place(&self) -> Result<Place, HashError> {
        Arc::clone(&self.queue).try_acquire_owned().map(|held| Place { _held: held }).map_err(|_| HashError::Full)
    }

    /// The hash in PHC form, with a salt of its own.
    pub async fn hash(&self, _place: &Place, password: String) -> Result<String, HashError> {
        let _turn = self.turns.acquire().await?;
        let argon2 = self.argon2.clone();
        let hashed = tokio::task::spawn_blocking(move || Ok(argon2.hash_password(password.as_bytes())?.to_string()));
        hashed.await?
    }

    /// Whether the password is the one that was hashed. Without a hash: false, after the same work.
    pub async fn verify(&self, _place: &Place, password: String, hash: Option<&str>) -> Result<bool, HashError> {
        let _turn = self.turns.acquire().await?;
        let (argon2, known) = (self.argon2.clone(), hash.is_some());
        let hash = hash.map_or_else(|| Arc::clone(&self.nobodys), Arc::from);
        let verified = tokio::task::spawn_blocking(move || {
            let password = password.as_bytes();
            let kind = HashKind::of(&hash).ok_or(HashError::Unknown)?;
            if kind == HashKind::Bcrypt {
                return Ok(bcrypt::verify(password, &hash)?);
            }
            let hash = PasswordHash::new(&hash)?;
            let checked = match kind {
                HashKind::Scrypt => scrypt::Scrypt::new().verify_password(password, &hash),
                HashKind::Pbkdf2 => pbkdf2::Pbkdf2::default().verify_password(password, &hash),
                HashKind::Argon2 | HashKind::Bcrypt => argon2.verify_password(password, &hash),
            };
            match checked {
                Ok(()) => Ok(true),
                Err(password_hash::Error::PasswordInvalid) => Ok(false),
                Err(error) => Err(HashError::from(error)),
            }
        });
        Ok(verified.await?? && known)
    }

    /// Whether a stored hash is of the kind that is made here, with whatever parameters.
    pub fn is_argon2id(&self, hash: &str) -> bool {
        hash.starts_with("$argon2id$")
    }

    /// Whether a stored hash was made here, with what hashing takes today.
    pub fn is_ours(&self, hash: &str) -> bool {
        hash.starts_with(&format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}$"))
    }
}

/// Of the form of those that are made here, and as dear to check. Made up rather than hashed: hashing takes memory, which a service that
/// nobody signs in at would go on to hold.
fn nobodys() -> String {
    let (salt, hash) = (tenancy::sealing::random::<16>(), tenancy::sealing::random::<32>());
    let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
    format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${salt}${hash}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ForeignHash;

    #[tokio::test]
    async fn a_password_verifies_against_its_own_hash_only() {
        let hasher = Hasher::new().unwrap();
        let place = hasher.place().unwrap();
        let hash = hasher.hash(&place, "correct horse".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(hasher.verify(&place, "correct horse".to_owned(), Some(&hash)).await.unwrap());
        assert!(!hasher.verify(&place, "Correct horse".to_owned(), Some(&hash)).await.unwrap());
        assert!(!hasher.verify(&place, "correct horse".to_owned(), None).await.unwrap());
        assert!(
            hasher.is_ours(&nobodys()) && nobodys().len() == hash.len(),
            "where there is none, the work is the same"
        );
        assert_ne!(hasher.hash(&place, "correct horse".to_owned()).await.unwrap(), hash, "a salt of its own");
    }

    #[tokio::test]
    async fn a_password_verifies_against_the_hashes_of_other_systems() {
        let hasher = Hasher::new().unwrap();
        let place = hasher.place().unwrap();
        for hash in [
            "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E".to_owned(),
            bcrypt::hash("password", 4).unwrap(),
            bcrypt::hash("password", 4).unwrap().replacen("$2b$", "$2y$", 1),
            pbkdf2::Pbkdf2::default().hash_password(b"password").unwrap().to_string(),
            Argon2::new(Algorithm::Argon2i, Version::V0x13, Params::new(256, 3, 2, None).unwrap())
                .hash_password(b"password")
                .unwrap()
                .to_string(),
        ] {
            assert!(matches!(ForeignHash::parse(&hash), Ok(Some(_))), "{hash}");
            assert!(!hasher.is_ours(&hash), "{hash}");
            assert!(hasher.verify(&place, "password".to_owned(), Some(&hash)).await.unwrap(), "{hash}");
            assert!(!hasher.verify(&place, "Password".to_owned(), Some(&hash)).await.unwrap(), "{hash}");
        }
        assert!(hasher.is_ours(&hasher.hash(&place, "password".to_owned()).await.unwrap()));
    }

    #[test]
    fn the_queue_has_an_end_and_a_place_comes_back() {
        let hasher = Hasher::new().unwrap();
        let cores = available_parallelism().map_or(1, usize::from);
        let mut held: Vec<Place> = (0..QUEUE * cores).map(|_| hasher.place().unwrap()).collect();
        assert!(matches!(hasher.clone().place(), Err(HashError::Full)));
        held.pop();
        held.push(hasher.place().unwrap());
        assert!(hasher.place().is_err());
    }
}
