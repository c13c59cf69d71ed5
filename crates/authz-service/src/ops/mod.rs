//! What callers may do to what decides, each in one transaction: the change, its events and the answer commit together.

pub mod apply;
pub mod binding;
pub mod catalog;
mod change;
pub mod contextual;
pub mod edit;
pub mod explain;
pub mod export;
pub mod group;
pub mod import;
mod newcomers;
mod owners;
mod plan;
pub mod precondition;
pub mod purge;
mod refused;
pub mod resource;
pub mod role;
mod rows;
mod rules;
pub mod simulate;
pub mod subject;
pub mod subject_roles;
pub mod subject_roles_batch;

pub use change::Call;
pub use refused::{Refused, Rejected, Unmet};
