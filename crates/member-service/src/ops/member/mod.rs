//! Members.

mod batch;
mod create;
mod domain_roles;
mod read;
mod remove;
mod rows;
mod state;
mod update;

pub use batch::create_many;
pub use create::{CreateError, create};
pub(super) use create::{MemberParts, Newcomer, add, insert, look};
pub use domain_roles::{ReviewError, review_some};
pub(super) use domain_roles::{settle_group_roles, still_those_of_domain, with_those_of_domain};
pub use read::{ReadError, RoleFilter, get, list};

pub use crate::store::member::{Filter, Key};
pub use remove::{RemoveError, finish_removal, remove};
pub use state::{StateError, finish_suspension, reactivate, suspend};
pub use update::{UpdateError, update};
