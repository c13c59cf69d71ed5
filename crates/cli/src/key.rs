//! The keys that the processes of an installation know each other by.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use base64::{Engine as _, alphabet, engine};
use clap::Subcommand;
use rand::RngCore as _;

use crate::{Failure, Output};

#[derive(Subcommand)]
pub enum Command {
    /// Makes a signing key and its public half for each of the four processes, and a sealing key for each service. What
    /// exists is kept.
    Generate {
        /// Gets the folders keys, trust and sealing.
        #[arg(long, value_name = "DIR")]
        directory: PathBuf,
    },
}

pub fn run(command: Command, output: Output) -> Result<(), Failure> {
    let Command::Generate { directory } = command;
    for made in generate(&directory)? {
        output.say(format_args!("wrote {}", made.display()));
    }
    Ok(())
}

/// Who signs. The gateway has nothing to seal: it keeps nothing.
const SIGNERS: [&str; 4] = ["gateway", "org-service", "member-service", "authz-service"];
const SEALERS: [&str; 3] = ["org-service", "member-service", "authz-service"];

const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";

/// Base64 as it stands in files that people edit: padding or not.
const LENIENT: engine::GeneralPurpose = engine::GeneralPurpose::new(
    &alphabet::STANDARD,
    engine::GeneralPurposeConfig::new().with_decode_padding_mode(engine::DecodePaddingMode::Indifferent),
);

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
    let mut made = Vec::new();
    for name in SIGNERS {
        let private = keys.join(format!("{name}.pem"));
        if !private.exists() {
            let pair = Ed25519KeyPair::generate().map_err(|_| Failure::Cryptography)?;
            // Version 1, the one that every reader knows; version 2 would carry the public key too.
            let der = pair.to_pkcs8v1().map_err(|_| Failure::Cryptography)?;
            made.extend(create(&private, &format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", STANDARD.encode(der.as_ref())))?);
        }
        let public = trust.join(format!("{name}.jwks.json"));
        if !public.exists() {
            made.extend(create(&public, &key_set(&read(&private)?))?);
        }
    }
    for name in SEALERS {
        let mut secret = [0; 32];
        rand::rng().fill_bytes(&mut secret);
        made.extend(create(&sealing.join(format!("{name}.keys")), &format!("k1:{}\n", STANDARD.encode(secret)))?);
    }
    Ok(made)
}

fn read(path: &Path) -> Result<Ed25519KeyPair, Failure> {
    let text = fs::read_to_string(path).map_err(Failure::file("cannot read", path))?;
    let not_a_key = || Failure::NotAKey { path: path.into() };
    let inner =
        text.trim().strip_prefix(PEM_BEGIN).and_then(|rest| rest.strip_suffix(PEM_END)).ok_or_else(not_a_key)?;
    let der = LENIENT.decode(inner.split_whitespace().collect::<String>()).map_err(|_| not_a_key())?;
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| not_a_key())
}

/// The public half as a JWK set (RFC 8037), its key id the thumbprint (RFC 7638): the SHA-256 of the required members in
/// alphabetical order.
fn key_set(pair: &Ed25519KeyPair) -> String {
    let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    let kid = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, canonical.as_bytes()));
    let set = serde_json::json!({
        "keys": [{"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "alg": "EdDSA", "use": "sig"}]
    });
    format!("{set:#}\n")
}

/// The path if it was made, none if there is such a file already. Written beside its place and linked there, so that nobody reads half a key.
fn create(path: &Path, text: &str) -> Result<Option<PathBuf>, Failure> {
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn every_process_gets_its_keys_closed_to_others_and_keeps_them() {
        let folder = tempfile::tempdir().unwrap();
        let made = generate(folder.path()).unwrap();
        assert_eq!(made.len(), 4 + 4 + 3);
        let before: Vec<_> = made.iter().map(|path| fs::read(path).unwrap()).collect();
        for path in &made {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        }
        assert_eq!(generate(folder.path()).unwrap(), Vec::<PathBuf>::new());
        assert_eq!(made.iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>(), before);
        assert_eq!(fs::read_dir(folder.path().join("keys")).unwrap().count(), 4, "no drafts are left");
    }

    #[test]
    fn a_lost_public_half_is_made_again_from_its_key() {
        let folder = tempfile::tempdir().unwrap();
        generate(folder.path()).unwrap();
        let public = folder.path().join("trust/gateway.jwks.json");
        let before = fs::read(&public).unwrap();
        fs::remove_file(&public).unwrap();
        assert_eq!(generate(folder.path()).unwrap(), std::slice::from_ref(&public));
        assert_eq!(fs::read(&public).unwrap(), before);
    }

    #[test]
    fn the_key_id_is_the_thumbprint_of_rfc_8037() {
        // Appendix A.1 to A.3: the private key, its public half, and its thumbprint.
        let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let public = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        let pair = Ed25519KeyPair::from_seed_and_public_key(&seed, &public).unwrap();
        assert!(key_set(&pair).contains("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"));
    }

    #[test]
    fn a_file_that_is_no_key_is_named_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("keys")).unwrap();
        fs::write(folder.path().join("keys/gateway.pem"), "not a key").unwrap();
        assert!(
            matches!(generate(folder.path()), Err(Failure::NotAKey { path }) if path.ends_with("keys/gateway.pem"))
        );
        assert_eq!(fs::read(folder.path().join("keys/gateway.pem")).unwrap(), b"not a key");
    }
}
