//! What this service does: each operation opens one transaction, and what it changes, the event and the kept answer commit together.

pub mod connection;
pub mod directory;
pub mod domain;
pub mod organization;
pub mod project;
pub mod provider;
