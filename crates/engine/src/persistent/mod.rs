//! Collections whose copies share what they have in common. A copy costs a few reference counts; a change to a copy costs the
//! handful of nodes on the way to what it changes, and where nobody shares them they are changed in place.
//!
//! So a snapshot is built and brought up to date by the same steps, and the one before it goes on answering meanwhile.

mod radix;
mod table;
mod tree;
mod trie;

pub(crate) use radix::Radix;
pub(crate) use table::{Record, Table};
pub(crate) use tree::Tree;
