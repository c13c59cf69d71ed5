//! Certificates of every kind, and the directories that they are mounted in.

use std::{fs, os::unix::fs::symlink, path::Path};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

/// Who gives certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate with its key.
#[derive(Clone)]
pub struct Paper {
    pub certificate: String,
    pub key: String,
}

/// What may be wrong with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    None,
    Expired,
    NotYetValid,
    /// It may be used by servers, and by no client.
    ServersOnly,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// For these names and addresses.
    pub fn gives(&self, names: &[&str], flaw: Flaw) -> Paper {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        let now = OffsetDateTime::now_utc();
        (params.not_before, params.not_after) = match flaw {
            Flaw::Expired => (now - Duration::days(2), now - Duration::minutes(1)),
            Flaw::NotYetValid => (now + Duration::hours(1), now + Duration::days(2)),
            Flaw::None | Flaw::ServersOnly => (now - Duration::hours(1), now + Duration::days(2)),
        };
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        if flaw != Flaw::ServersOnly {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Paper { certificate, key: key.serialize_pem() }
    }

    /// A good one of a process, for its name and where tests find it.
    pub fn paper(&self, process: &str) -> Paper {
        self.gives(&[process, "127.0.0.1"], Flaw::None)
    }
}

/// As a kubelet does: the files are links through `..data`, which is put in the place of the one before in one step.
pub fn mount(directory: &Path, paper: &Paper, authorities: &str) {
    fs::create_dir_all(directory).unwrap();
    let version = directory.join(format!("..{}", testkit::caller::unique("version")));
    fs::create_dir(&version).unwrap();
    let files = [("tls.crt", paper.certificate.as_str()), ("tls.key", &paper.key), ("ca.crt", authorities)];
    for (name, text) in files {
        fs::write(version.join(name), text).unwrap();
        let link = directory.join(name);
        if !link.is_symlink() {
            symlink(Path::new("..data").join(name), link).unwrap();
        }
    }
    symlink(version.file_name().unwrap(), directory.join("..data_tmp")).unwrap();
    fs::rename(directory.join("..data_tmp"), directory.join("..data")).unwrap();
}
