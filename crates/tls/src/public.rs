//! TLS for those who come from outside.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;

use crate::files::{Digest, FilesError, Raw, crypto};
use crate::follow::{Followed, Made};
use crate::server::Acceptor;

/// A server's certificate from a directory; clients show none. HTTP/2 and HTTP/1.1 by TLS 1.3 and 1.2. Cheap to clone.
#[derive(Clone)]
pub struct Public(Arc<Followed<Config>>);

impl Public {
    /// Reads `tls.crt` and `tls.key`.
    pub fn open(directory: &Path) -> Result<Self, FilesError> {
        Followed::open(directory, ()).map(Self)
    }

    /// As `Mutual::follow`.
    pub async fn follow(self) {
        self.0.follow().await;
    }

    pub fn acceptor(&self) -> Acceptor {
        Acceptor::public(self.clone())
    }

    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.now().server)
    }
}

impl fmt::Debug for Public {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Public").finish_non_exhaustive()
    }
}

struct Config {
    digest: Digest,
    ends: u64,
    server: Arc<ServerConfig>,
}

impl Made for Config {
    type Rules = ();
    const USE: &'static str = "public";

    fn read(directory: &Path, (): &()) -> Result<Self, FilesError> {
        let raw = Raw::read(directory, ["tls.crt", "tls.key"])?;
        let pair = raw.pair()?;
        let mut server = ServerConfig::builder_with_provider(crypto())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(pair.chain, pair.key)?;
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { digest: raw.digest(), ends: pair.ends, server: Arc::new(server) })
    }

    fn digest(&self) -> Digest {
        self.digest
    }

    fn ends(&self) -> u64 {
        self.ends
    }
}
