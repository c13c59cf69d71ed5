//! The house is in order: who may depend on whom, where SQL and scopes may stand, how the contracts are written. These tests read
//! the tree; nothing is started.

mod contract;
mod layers;
mod supply;
mod tree;
