//! The dialling side.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::files::crypto;
use crate::mutual::Mutual;

/// Whom a connection believes at its other end, and what it shows there. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client(By);

#[derive(Clone, Debug)]
enum By {
    Machine(Arc<ClientConfig>),
    Mutual(Mutual),
}

impl Client {
    /// Believes the authorities that the machine does, and shows nothing.
    pub fn of_machine() -> Result<Self, rustls::Error> {
        let mut authorities = RootCertStore::empty();
        authorities.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let mut config = ClientConfig::builder_with_provider(crypto())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(authorities)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self(By::Machine(Arc::new(config))))
    }

    pub(crate) fn mutual(mutual: Mutual) -> Self {
        Self(By::Mutual(mutual))
    }

    /// `host` is a name, or an address without brackets, that the server's certificate must hold.
    pub async fn connect(&self, host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = match &self.0 {
            By::Machine(config) => Arc::clone(config),
            By::Mutual(mutual) => mutual.client_config(),
        };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "no certificate can name the host"))?;
        TlsConnector::from(config).connect(name, stream).await
    }
}
