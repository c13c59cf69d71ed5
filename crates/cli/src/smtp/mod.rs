//! A mail server for development: takes every message on the loopback address, sends none on, prints it, and keeps it as a file
//! that the gateway's dev mailbox serves. Services speak the same SMTP to it as to a real one.

mod mailbox;
mod session;

use std::net::Ipv4Addr;
use std::sync::Arc;

pub use mailbox::Mailbox;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use crate::Failure;

/// More callers at once wait to be greeted.
const SESSIONS: usize = 32;

/// Serves until the handle is aborted. Tells the port, which the system chooses.
pub async fn serve(mailbox: Mailbox) -> Result<(u16, JoinHandle<()>), Failure> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(Failure::system("cannot listen for mail"))?;
    let port = listener.local_addr().map_err(Failure::system("cannot listen for mail"))?.port();
    let mailbox = Arc::new(mailbox);
    let handle = tokio::spawn(async move {
        let places = Arc::new(Semaphore::new(SESSIONS));
        let mut sessions = JoinSet::new();
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            // An accept that fails (no file descriptors left) is no reason to end; the caller tries again.
            let Ok((stream, _)) = listener.accept().await else { continue };
            let mailbox = Arc::clone(&mailbox);
            sessions.spawn(async move {
                // A caller that breaks off mid-session has nothing more to hear.
                let _ = session::hold(stream, &mailbox).await;
                drop(place);
            });
            while sessions.try_join_next().is_some() {}
        }
    });
    Ok((port, handle))
}

#[cfg(test)]
mod tests;
