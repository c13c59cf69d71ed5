//! What tests stand on: real PostgreSQL, one database for each test, and a whole installation of real processes.
//!
//! Everything here panics with a clear message when it cannot do its work: a test has nothing better to do with such an error.

pub mod bounds;
pub mod caller;
pub mod dynamic;
pub mod http;
pub mod postgres;
pub mod raw_http2;

pub mod binaries;
mod cluster;
mod mail;
pub mod otlp;
mod proxy;
mod replica;

pub use cluster::{Access, Cluster, DatabaseUrls, Down};
pub use mail::Mail;
pub use proxy::Proxy;
pub use replica::{Replica, free_port};
