//! TLS between the processes of an installation.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
};

use crate::client::Client;
use crate::files::{Digest, FilesError, Raw, crypto};
use crate::follow::{Followed, Made};
use crate::names::Names;
use crate::server::Acceptor;

const ALPN: &[u8] = b"h2";

/// Certificates on both sides, from one directory: the process's own, and the authorities that it believes. Cheap to clone.
///
/// Whoever connects must show a certificate of one of the authorities, for use by clients if it says for what, that names exactly one
/// of the installation's processes. Whoever is connected to must show one that names the host that was dialled.
#[derive(Clone)]
pub struct Mutual(Arc<Followed<Configs>>);

impl Mutual {
    /// Reads `tls.crt`, `tls.key` and `ca.crt`. The certificate must name the process that has it, and no other.
    pub fn open(directory: &Path, names: Names) -> Result<Self, FilesError> {
        Followed::open(directory, names).map(Self)
    }

    /// Reads the files again when they change, for as long as it is polled. Handshakes from then on are by the new ones, and connections
    /// that are open go on.
    pub async fn follow(self) {
        self.0.follow().await;
    }

    /// For those who connect to this process.
    pub fn acceptor(&self) -> Acceptor {
        Acceptor::mutual(self.clone())
    }

    /// For connections to the others.
    pub fn client(&self) -> Client {
        Client::mutual(self.clone())
    }

    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.now().server)
    }

    pub(crate) fn client_config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0.now().client)
    }

    pub(crate) fn names(&self) -> &Names {
        &self.0.rules
    }
}

impl fmt::Debug for Mutual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutual").finish_non_exhaustive()
    }
}

struct Configs {
    digest: Digest,
    ends: u64,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Made for Configs {
    type Rules = Names;
    const USE: &'static str = "mutual";

    fn read(directory: &Path, names: &Names) -> Result<Self, FilesError> {
        let raw = Raw::read(directory, ["tls.crt", "tls.key", "ca.crt"])?;
        let (pair, authorities) = (raw.pair()?, Arc::new(raw.authorities(2)?));
        let held = pair.chain.first().map(|own| names.held(own)).transpose()?.unwrap_or_default();
        if held != [names.own()] {
            return Err(FilesError::Name { found: held, expected: names.own().to_owned() });
        }

        let callers = Callers {
            chains: WebPkiClientVerifier::builder_with_provider(Arc::clone(&authorities), crypto()).build()?,
            names: names.clone(),
        };
        let mut server = ServerConfig::builder_with_provider(crypto())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::new(callers))
            .with_single_cert(pair.chain.clone(), pair.key.clone_key())?;
        server.alpn_protocols = vec![ALPN.to_vec()];
        // A resumed session would be one whose certificate nobody has looked at.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;

        let mut client = ClientConfig::builder_with_provider(crypto())
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(authorities)
            .with_client_auth_cert(pair.chain, pair.key)?;
        client.alpn_protocols = vec![ALPN.to_vec()];
        client.resumption = Resumption::disabled();
        Ok(Self { digest: raw.digest(), ends: pair.ends, server: Arc::new(server), client: Arc::new(client) })
    }

    fn digest(&self) -> Digest {
        self.digest
    }

    fn ends(&self) -> u64 {
        self.ends
    }
}

/// rustls' own verifier, and then the name.
#[derive(Debug)]
struct Callers {
    chains: Arc<dyn ClientCertVerifier>,
    names: Names,
}

impl ClientCertVerifier for Callers {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chains.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chains.verify_client_cert(end_entity, intermediates, now)?;
        match self.names.one(end_entity) {
            Some(_) => Ok(verified),
            None => Err(CertificateError::NotValidForName.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}
