//! SQL. Every function borrows a transaction that was opened with a scope.

pub mod assertion;
pub mod attempt;
pub mod challenge;
pub mod domain_review;
pub mod ended_connection;
pub mod ended_session;
pub mod entrance;
pub mod founding;
pub mod identity;
pub mod identity_batch;
pub mod intermediate;
pub mod invitation;
pub mod member;
pub mod outbox;
pub mod prospect;
pub mod provider_account;
pub mod second_factor;
pub mod service_account;
pub mod session;
pub mod sso;
pub mod sweep;
pub mod usage;

use tenancy::{StoreError, migration::Migrations};

/// What `migrate` applies, and what a server needs to find applied.
pub fn migrations() -> Migrations {
    static OWN: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");
    Migrations::of(&OWN)
}

/// Free-form data as it stands in a column.
fn json<T: serde::Serialize>(value: &T) -> Result<serde_json::Value, StoreError> {
    serde_json::to_value(value).map_err(|_| StoreError::Corrupt("free-form data"))
}

fn from_json<T: serde::de::DeserializeOwned>(value: serde_json::Value, column: &'static str) -> Result<T, StoreError> {
    serde_json::from_value(value).map_err(|_| StoreError::Corrupt(column))
}
