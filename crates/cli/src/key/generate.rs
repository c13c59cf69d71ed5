use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::RngCore as _;
use time::OffsetDateTime;
use tokens::{Algorithm, CryptographyFailed, RingKey, SigningKey, write_keys};

use super::files::{Entry, Held, create, key_set, private_file, public_file};
use super::{SIGNERS, algorithms};
use crate::Failure;

/// The gateway has nothing to seal: it keeps nothing.
const SEALERS: [&str; 3] = ["org-service", "member-service", "authz-service"];

/// Makes whatever of `keys/<name>.pem`, `trust/<name>.jwks.json` and `sealing/<name>.keys` is not there yet, and tells what it made. A
/// lost public half is made again from its key; a key is never replaced.
pub fn generate(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let [keys, trust, sealing] = ["keys", "trust", "sealing"].map(|name| directory.join(name));
    for folder in [&keys, &trust, &sealing] {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(Failure::file("cannot create", folder))?;
    }
    let now = super::rotate::now();
    let mut made = Vec::new();
    for signer in SIGNERS {
        let private = private_file(directory, signer);
        if !private.exists() {
            made.extend(create(&private, &write_keys(&new_keys(algorithms(signer), now)?)?)?);
        }
        let public = public_file(directory, signer);
        if !public.exists() {
            let entries: Vec<_> =
                Held::read(directory, signer)?.private.iter().map(|key| Entry::of(key, now)).collect();
            made.extend(create(&public, &key_set(&entries))?);
        }
    }
    for name in SEALERS {
        let mut secret = [0; 32];
        rand::rng().fill_bytes(&mut secret);
        made.extend(create(&sealing.join(format!("{name}.keys")), &format!("k1:{}\n", STANDARD.encode(secret)))?);
    }
    Ok(made)
}

/// One of each algorithm.
pub fn new_keys(algorithms: &[Algorithm], signs_from: OffsetDateTime) -> Result<Vec<RingKey>, CryptographyFailed> {
    let key = |algorithm: &Algorithm| Ok(RingKey { key: Arc::new(SigningKey::generate(*algorithm)?), signs_from });
    algorithms.iter().map(key).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn every_signer_gets_its_keys_closed_to_others_and_keeps_them() {
        let folder = tempfile::tempdir().unwrap();
        let made = generate(folder.path()).unwrap();
        assert_eq!(made.len(), 5 + 5 + 3);
        let before: Vec<_> = made.iter().map(|path| fs::read(path).unwrap()).collect();
        for path in &made {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        }
        assert_eq!(generate(folder.path()).unwrap(), Vec::<PathBuf>::new());
        assert_eq!(made.iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>(), before);
        assert_eq!(fs::read_dir(folder.path().join("keys")).unwrap().count(), 5, "no drafts are left");
    }

    #[test]
    fn a_lost_public_half_is_made_again_from_its_key() {
        let folder = tempfile::tempdir().unwrap();
        generate(folder.path()).unwrap();
        let public = folder.path().join("trust/gateway.jwks.json");
        let kids =
            || Held::read(folder.path(), "gateway").unwrap().public.into_iter().map(|e| e.kid).collect::<Vec<_>>();
        let before = kids();
        fs::remove_file(&public).unwrap();
        assert_eq!(generate(folder.path()).unwrap(), std::slice::from_ref(&public));
        assert_eq!(kids(), before);
    }

    #[test]
    fn a_file_that_is_no_key_is_named_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("keys")).unwrap();
        fs::write(folder.path().join("keys/gateway.pem"), "not a key").unwrap();
        assert!(
            matches!(generate(folder.path()), Err(Failure::NotAKey { path, .. }) if path.ends_with("keys/gateway.pem"))
        );
        assert_eq!(fs::read(folder.path().join("keys/gateway.pem")).unwrap(), b"not a key");
    }
}
