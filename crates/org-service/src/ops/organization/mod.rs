//! Organizations: made, read, changed, shut and opened again.

mod create;
mod found;
mod promote;
mod purge;
mod read;
mod state;
mod update;

pub use create::{CreateError, create};
pub use found::{Foundation, found};
pub use promote::{PromoteError, promote};
pub use purge::{due, purge};
pub use read::{Key, SeveralError, get, get_several, list, lookup};
pub use state::{StateChange, StateError, Target, change_state};
pub use update::{Update, UpdateError, update};

use tenancy::{NewEvent, OrganizationId};

use crate::model::OrganizationChange;

fn event(kind: &'static str, organization: OrganizationId, change: &OrganizationChange) -> NewEvent {
    NewEvent::new(kind, vec![organization.to_string()], change)
}
