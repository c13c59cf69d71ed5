//! The rows of schema `org`, and the only SQL of this service. Functions borrow a transaction that was opened with a scope.

pub mod connection;
pub mod directory;
pub mod domain;
pub mod organization;
pub mod project;
pub mod slug;

use tenancy::{StoreError, migration::Migrations};

/// What `migrate` applies, and what a server needs to find applied.
pub fn migrations() -> Migrations {
    static OWN: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");
    Migrations::of(&OWN)
}

/// A word of a column with a check constraint, by the names that serde gives the variants.
fn word<T: serde::de::DeserializeOwned>(text: String, column: &'static str) -> Result<T, StoreError> {
    serde_json::from_value(serde_json::Value::String(text)).map_err(|_| StoreError::Corrupt(column))
}

fn spelled<T: serde::Serialize>(word: &T) -> Result<String, StoreError> {
    match serde_json::to_value(word) {
        Ok(serde_json::Value::String(text)) => Ok(text),
        _ => Err(StoreError::Corrupt("a word")),
    }
}
