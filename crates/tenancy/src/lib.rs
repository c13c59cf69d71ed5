//! What every store of Guildhall shares: typed ids, the scopes that alone open transactions, the tenant's head row with its
//! revision and event chain, idempotent answers, sealed secrets and page tokens.
//!
//! Two walls stand between tenants. Every statement names its `organization_id`, and row-level security hides every row outside
//! the scope that the transaction was opened with. A scope is made by crate `access`, after it has decided on a caller, or by
//! background work that serves no caller; a test reads the tree and finds no other place.

pub mod database;
mod erasure;
pub mod event;
pub mod feed;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod gather;
mod head;
mod heads;
pub mod hints;
pub mod id;
pub mod mask;
pub mod migration;
mod moment;
pub mod page;
mod pool;
mod purge;
mod reach;
pub mod resting;
pub mod scope;
mod seal;
pub mod sealing;
pub mod secret;
pub mod since;
mod transaction;
mod turns;
mod write;

pub use database::{Database, DatabaseOptions, Read, StoreError, constraint};
pub use event::{Actor, Change, Event, NewEvent, Origin};
pub use head::{Head, OrganizationState};
pub use id::*;
pub use moment::{AsOf, Moment};
pub use purge::PURGED;
pub use scope::{ClusterScope, OrganizationScope, ProjectScope, Scope};
pub use sealing::Sealer;
pub use turns::{Place, Places, Turn, Turns};
pub use write::{Once, Write};
