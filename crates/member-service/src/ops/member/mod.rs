//! Members.

mod batch;
mod create;
mod read;
mod remove;
mod rows;
mod state;
mod update;

pub use batch::create_many;
pub use create::{CreateError, create};
pub(super) use create::{MemberParts, insert};
pub use read::{ReadError, RoleFilter, get, list};

pub use crate::store::member::{Filter, Key};
pub use remove::{RemoveError, finish_removal, remove};
pub use state::{StateError, finish_suspension, reactivate, suspend};
pub use update::{UpdateError, update};
