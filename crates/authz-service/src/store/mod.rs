//! SQL, and nothing but: every statement names the organization whose rows it means.

pub mod binding;
pub mod catalog;
pub mod group;
pub mod membership;
pub mod organization;
pub mod resource;
pub mod role;
pub mod subject;
pub mod template;
pub mod tree;

/// An open transaction's connection, as those who only pass it on call it.
pub use sqlx::PgConnection as Connection;

use tenancy::migration::Migrations;

/// What `migrate` applies, and what a server needs to find applied.
pub fn migrations() -> Migrations {
    static OWN: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");
    Migrations::of(&OWN)
}
