//! TLS of the installation: by certificates from files, which may change while the process runs.
//!
//! A directory is as cert-manager mounts it: `tls.crt` (the certificate, then those between it and its authority), `tls.key`, and for
//! [`Mutual`] `ca.crt`, the authorities that are believed. Several may stand in it, and that is how an authority is replaced: the new
//! one is added everywhere, then the certificates change, then the old one goes.
//!
//! - [`Mutual`] is between our own processes: both sides show a certificate, and believe these authorities alone;
//! - [`Public`] is for those who come from outside: the server alone shows one;
//! - [`Client`] dials, by either's rules or by the machine's own authorities.
//!
//! What is absent: resumed sessions, which would be believed after their authority is not; TLS 1.2 between our own processes; and any
//! look into a certificate of our own, but for when it ends.

mod client;
mod files;
mod follow;
mod mutual;
mod names;
mod public;
mod server;

pub use client::Client;
pub use files::FilesError;
pub use mutual::Mutual;
pub use names::Names;
pub use public::Public;
pub use rustls::Error;
pub use server::{Accepted, Acceptor, Peer};
