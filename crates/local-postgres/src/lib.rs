//! PostgreSQL on this machine, for `guildhall dev` and for tests: found or installed, started as a private server, provisioned.
//!
//! Nothing here runs in production. There is one store semantics everywhere, a real PostgreSQL, so a newcomer's machine and
//! every test need one; this crate makes that cost nothing. A `DATABASE_URL` that a user gives wins over all of it: the
//! callers ask [`given_url`] first.

mod account;
mod cluster;
mod database;
mod error;
mod installation;
mod launch;
mod leash;
mod port;
mod provision;
mod scram;

pub use cluster::{Cluster, Options};
pub use database::{create_database, create_database_from_template, drop_database, url_for};
pub use error::Error;
pub use installation::{Installation, install};
pub use leash::{Held, Leash};
pub use port::free_port;
pub use provision::{Passwords, ServiceUrl, ServiceUrls, provision};

/// The oldest major version whose behaviour the services rely on.
pub const OLDEST_MAJOR: u32 = 15;

/// The server that the user named in `DATABASE_URL`: a superuser's URL. Empty counts as absent.
pub fn given_url() -> Option<String> {
    std::env::var("DATABASE_URL").ok().filter(|url| !url.trim().is_empty())
}
