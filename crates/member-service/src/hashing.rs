//! Hashing passwords: Argon2id with 19 MiB, two passes, one lane, which OWASP names as the least that is enough. A hash takes some
//! twenty milliseconds of a core and those 19 MiB, so no more of them run at once than there are cores, and none on a thread that
//! serves calls.

use std::{fmt, sync::Arc, thread::available_parallelism};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{
        self, PasswordHasher, PasswordVerifier,
        phc::{self, PasswordHash},
    },
};
use tokio::sync::Semaphore;

const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

#[derive(Debug, thiserror::Error)]
pub enum HashError {
    #[error("a password could not be hashed")]
    Hash(#[from] password_hash::Error),
    #[error("a stored hash does not read")]
    Stored(#[from] phc::Error),
    #[error("the parameters of password hashing are out of range")]
    Parameters(#[from] argon2::Error),
    #[error("a hashing thread failed")]
    Thread(#[from] tokio::task::JoinError),
    #[error("hashing has ended")]
    Ended(#[from] tokio::sync::AcquireError),
}

#[derive(Clone)]
pub struct Hasher {
    argon2: Argon2<'static>,
    turns: Arc<Semaphore>,
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
        let unknown: [u8; 32] = tenancy::sealing::random();
        let nobodys = argon2.hash_password(&unknown)?.to_string().into();
        let cores = available_parallelism().map_or(1, usize::from);
        Ok(Self { argon2, turns: Arc::new(Semaphore::new(cores)), nobodys })
    }

    /// The hash in PHC form, with a salt of its own.
    pub async fn hash(&self, password: String) -> Result<String, HashError> {
        let _turn = self.turns.acquire().await?;
        let argon2 = self.argon2.clone();
        let hashed = tokio::task::spawn_blocking(move || Ok(argon2.hash_password(password.as_bytes())?.to_string()));
        hashed.await?
    }

    /// Whether the password is the one that was hashed. Without a hash: false, after the same work.
    pub async fn verify(&self, password: String, hash: Option<&str>) -> Result<bool, HashError> {
        let _turn = self.turns.acquire().await?;
        let (argon2, known) = (self.argon2.clone(), hash.is_some());
        let hash = hash.map_or_else(|| Arc::clone(&self.nobodys), Arc::from);
        let verified = tokio::task::spawn_blocking(move || {
            let hash = PasswordHash::new(&hash)?;
            match argon2.verify_password(password.as_bytes(), &hash) {
                Ok(()) => Ok(true),
                Err(password_hash::Error::PasswordInvalid) => Ok(false),
                Err(error) => Err(HashError::from(error)),
            }
        });
        Ok(verified.await?? && known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_verifies_against_its_own_hash_only() {
        let hasher = Hasher::new().unwrap();
        let hash = hasher.hash("correct horse".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(hasher.verify("correct horse".to_owned(), Some(&hash)).await.unwrap());
        assert!(!hasher.verify("Correct horse".to_owned(), Some(&hash)).await.unwrap());
        assert!(!hasher.verify("correct horse".to_owned(), None).await.unwrap());
        assert_ne!(hasher.hash("correct horse".to_owned()).await.unwrap(), hash, "a salt of its own");
    }
}
