//! SQL. Every function borrows a transaction that was opened with a scope.

pub mod attempt;
pub mod challenge;
pub mod identity;
pub mod invitation;
pub mod member;
pub mod outbox;
pub mod prospect;
pub mod service_account;
pub mod session;
pub mod sweep;

use secrecy::{ExposeSecret, SecretString};
use tenancy::{StoreError, migration::Migrations};

/// What `migrate` applies, and what a server needs to find applied.
pub fn migrations() -> Migrations {
    static OWN: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");
    Migrations::of(&OWN)
}

/// Whether a text is the URL of a PostgreSQL database. The error never shows the text, which may hold a password.
pub fn check_url(url: &SecretString) -> Result<(), &'static str> {
    let url = url.expose_secret();
    let known = url.starts_with("postgres://") || url.starts_with("postgresql://");
    match url.parse::<sqlx::postgres::PgConnectOptions>() {
        Ok(_) if known => Ok(()),
        _ => Err("must be of the form postgres://user:password@host:port/database"),
    }
}

/// Free-form data as it stands in a column.
fn json<T: serde::Serialize>(value: &T) -> Result<serde_json::Value, StoreError> {
    serde_json::to_value(value).map_err(|_| StoreError::Corrupt("free-form data"))
}

fn from_json<T: serde::de::DeserializeOwned>(value: serde_json::Value, column: &'static str) -> Result<T, StoreError> {
    serde_json::from_value(value).map_err(|_| StoreError::Corrupt(column))
}
