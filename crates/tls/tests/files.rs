//! What a directory must hold, and what is said of one that does not.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::{error::Error as _, fs, path::Path};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tls::{FilesError, Mutual, Names, Public};

const PROCESSES: [&str; 3] = ["gateway", "org-service", "member-service"];

struct Papers {
    certificate: String,
    key: String,
    authority: String,
}

fn papers(names: &[&str]) -> Papers {
    let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, authority_key);
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap().pem();
    Papers { certificate, key: key.serialize_pem(), authority: pem }
}

fn write(directory: &Path, papers: &Papers) {
    fs::write(directory.join("tls.crt"), &papers.certificate).unwrap();
    fs::write(directory.join("tls.key"), &papers.key).unwrap();
    fs::write(directory.join("ca.crt"), &papers.authority).unwrap();
}

fn open(directory: &Path) -> Result<Mutual, FilesError> {
    Mutual::open(directory, Names::new("org-service", PROCESSES))
}

fn told(error: &FilesError) -> String {
    format!("{error}: {}", error.source().map(ToString::to_string).unwrap_or_default())
}

#[test]
fn a_directory_as_it_is_mounted_can_be_used() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &papers(&["org-service", "org-service-headless", "org-service.guildhall.svc"]));
    open(directory.path()).unwrap();
    fs::remove_file(directory.path().join("ca.crt")).unwrap();
    Public::open(directory.path()).unwrap();
    let FilesError::Unreadable { path, .. } = open(directory.path()).unwrap_err() else { panic!("it was read") };
    assert_eq!(path, directory.path().join("ca.crt"));
}

#[test]
fn each_process_has_its_own_certificate_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    for (names, found) in [
        (&["member-service"][..], "names member-service,"),
        (&["org-service", "gateway"], "names gateway and org-service,"),
        (&["org-service-headless", "127.0.0.1"], "names no process of the installation,"),
    ] {
        write(directory.path(), &papers(names));
        let error = open(directory.path()).unwrap_err();
        assert!(matches!(error, FilesError::Name { .. }), "{}", told(&error));
        assert!(told(&error).contains(found), "{}", told(&error));
    }
}

#[test]
fn files_that_do_not_go_together_are_refused_and_no_key_is_told() {
    let (good, other) = (papers(&["org-service"]), papers(&["org-service"]));
    let directory = tempfile::tempdir().unwrap();
    let broken = |file: &str, text: &str| {
        write(directory.path(), &good);
        fs::write(directory.path().join(file), text).unwrap();
        let error = open(directory.path()).unwrap_err();
        let secret = good.key.lines().nth(1).unwrap();
        assert!(!told(&error).contains(secret) && !format!("{error:?}").contains(secret), "{}", told(&error));
        error
    };
    assert!(matches!(broken("tls.key", &other.key), FilesError::Pair(_)));
    assert!(matches!(broken("tls.key", &good.key[..60]), FilesError::Malformed { .. }));
    assert!(matches!(broken("tls.key", ""), FilesError::Malformed { .. }));
    assert!(matches!(broken("tls.crt", ""), FilesError::Empty { .. }));
    assert!(matches!(
        broken("tls.crt", &good.certificate[..80]),
        FilesError::Malformed { .. } | FilesError::Empty { .. }
    ));
    assert!(matches!(broken("ca.crt", "no certificate"), FilesError::Empty { .. }));
}
