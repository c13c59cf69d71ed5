//! The accepting side.

use std::io;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::mutual::Mutual;
use crate::public::Public;

/// The process at the other end of a connection, by its certificate: `gateway`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub &'static str);

/// A connection that may be read and written.
#[derive(Debug)]
pub struct Accepted {
    pub stream: TlsStream<TcpStream>,
    /// Who it is, between our own processes.
    pub peer: Option<Peer>,
}

/// Makes the handshakes of a listener, each by the certificates of its moment. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Acceptor(By);

#[derive(Clone, Debug)]
enum By {
    Mutual(Mutual),
    Public(Public),
}

impl Acceptor {
    pub(crate) fn mutual(mutual: Mutual) -> Self {
        Self(By::Mutual(mutual))
    }

    pub(crate) fn public(public: Public) -> Self {
        Self(By::Public(public))
    }

    /// Takes as long as the peer does: whoever asks sets a limit.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<Accepted> {
        let config = match &self.0 {
            By::Mutual(mutual) => mutual.server_config(),
            By::Public(public) => public.server_config(),
        };
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let By::Mutual(mutual) = &self.0 else { return Ok(Accepted { stream, peer: None }) };
        // The verifier has found the name; a connection without one is none, whatever the verifier did.
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let name = shown.and_then(|certificate| mutual.names().one(certificate));
        let name = name.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the certificate names nobody"))?;
        Ok(Accepted { stream, peer: Some(Peer(name)) })
    }
}
