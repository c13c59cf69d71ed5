//! The TLS handshake of one connection.

use std::io;
use std::time::Duration;

use tls::{Accepted, Acceptor};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// None: it came to nothing, which is counted.
pub(super) async fn make(acceptor: &Acceptor, stream: TcpStream, limit: Duration) -> Option<Accepted> {
    let reason = match timeout(limit, acceptor.accept(stream)).await {
        Ok(Ok(accepted)) => return Some(accepted),
        Ok(Err(error)) => {
            // Why, in full, is for whoever looks for it: the peer may be anybody, and come again and again.
            tracing::debug!(%error, "a TLS handshake failed");
            match error.kind() {
                // What rustls finds: no certificate or a bad one, no TLS, nothing in common.
                io::ErrorKind::InvalidData => "refused",
                _ => "lost",
            }
        }
        Err(_) => "slow",
    };
    meters::HANDSHAKES_FAILED.count_of("reason", reason);
    None
}
