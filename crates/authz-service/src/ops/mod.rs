//! What callers may do to what decides, each in one transaction: the change, its events and the answer commit together.

pub mod binding;
pub mod catalog;
mod change;
pub mod contextual;
pub mod explain;
pub mod group;
pub mod membership;
mod newcomers;
mod owners;
pub mod purge;
mod refused;
pub mod resource;
pub mod role;
mod rules;
pub mod subject;
pub mod subject_roles;
pub mod subject_roles_batch;

pub use change::Call;
pub use refused::Refused;
