//! The house is in order: who may depend on whom, where SQL and scopes may stand, how the contracts are written. These tests read
//! the tree; nothing is started.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod contract;
mod layers;
mod observability;
mod reference;
mod supply;
mod tree;
