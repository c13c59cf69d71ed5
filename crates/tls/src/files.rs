//! The files of a directory, taken apart.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::VerifierBuilderError;
use rustls::sign::CertifiedKey;
use x509_cert::der::Decode;

/// A directory's files cannot be used. No text of it holds any of a key.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    #[error("{} cannot be read", .path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{} is not in PEM", .path.display())]
    Malformed { path: PathBuf, source: pem::Error },
    #[error("{} holds no certificate", .path.display())]
    Empty { path: PathBuf },
    #[error("{} holds a certificate that does not read", .path.display())]
    Unparsable { path: PathBuf, source: x509_cert::der::Error },
    #[error("{} holds an authority that cannot be one", .path.display())]
    Authority { path: PathBuf, source: rustls::Error },
    #[error("the certificate in tls.crt and the key in tls.key do not go together")]
    Pair(#[source] rustls::Error),
    #[error("the certificate in tls.crt names {}, and must name {expected} of them alone", named(.found))]
    Name { found: Vec<&'static str>, expected: String },
    #[error("the authorities in ca.crt cannot be used")]
    Verifier(#[from] VerifierBuilderError),
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

fn named(found: &[&str]) -> String {
    if found.is_empty() { "no process of the installation".to_owned() } else { found.join(" and ") }
}

/// A certificate with its key.
pub(crate) struct Pair {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
    /// When the first certificate of the chain ends, in seconds since 1970.
    pub ends: u64,
}

/// Which files there are, by their content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest([u8; 32]);

/// What stands in the files named, in their order.
pub(crate) struct Raw<const N: usize> {
    files: [(PathBuf, Vec<u8>); N],
}

impl<const N: usize> Raw<N> {
    pub fn read(directory: &Path, names: [&str; N]) -> Result<Self, FilesError> {
        let mut files = names.map(|name| (directory.join(name), Vec::new()));
        for (path, text) in &mut files {
            *text = std::fs::read(&path).map_err(|source| FilesError::Unreadable { path: path.clone(), source })?;
        }
        Ok(Self { files })
    }

    pub fn digest(&self) -> Digest {
        let mut whole = digest::Context::new(&digest::SHA256);
        for (_, text) in &self.files {
            whole.update(digest::digest(&digest::SHA256, text).as_ref());
        }
        let mut value = [0; 32];
        value.copy_from_slice(whole.finish().as_ref());
        Digest(value)
    }

    /// The certificates of the first file with the key of the second.
    pub fn pair(&self) -> Result<Pair, FilesError> {
        let (path, text) = &self.files[0];
        let chain = certificates(path, text)?;
        let mut ends = u64::MAX;
        for certificate in &chain {
            let read = x509_cert::Certificate::from_der(certificate)
                .map_err(|source| FilesError::Unparsable { path: path.clone(), source })?;
            ends = ends.min(read.tbs_certificate.validity.not_after.to_unix_duration().as_secs());
        }
        let (path, text) = &self.files[1];
        let key = PrivateKeyDer::from_pem_slice(text)
            .map_err(|source| FilesError::Malformed { path: path.clone(), source })?;
        // A new certificate beside the old key is how a half-written directory looks.
        CertifiedKey::from_der(chain.clone(), key.clone_key(), &crypto()).map_err(FilesError::Pair)?;
        Ok(Pair { chain, key, ends })
    }

    /// The authorities of a file.
    pub fn authorities(&self, file: usize) -> Result<RootCertStore, FilesError> {
        let (path, text) = &self.files[file];
        let mut authorities = RootCertStore::empty();
        for authority in certificates(path, text)? {
            authorities.add(authority).map_err(|source| FilesError::Authority { path: path.clone(), source })?;
        }
        Ok(authorities)
    }
}

fn certificates(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, FilesError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let read = read.map_err(|source| FilesError::Malformed { path: path.to_owned(), source })?;
    if read.is_empty() { Err(FilesError::Empty { path: path.to_owned() }) } else { Ok(read) }
}

pub(crate) fn crypto() -> Arc<CryptoProvider> {
    Arc::new(provider::default_provider())
}
