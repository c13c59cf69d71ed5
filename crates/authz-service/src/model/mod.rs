//! What this service keeps, in its own words. Each is also the payload of an event and the answer to a repeated request.

mod binding;
mod catalog;
mod group;
mod resource;
mod revision;
mod role;
mod subject;

pub use binding::{Binding, Effect, RoleSource, Window};
pub use catalog::PermissionCatalog;
pub use group::{Group, GroupMembership};
pub use resource::{Registration, Resource};
pub use revision::{At, NotARevision, Revision};
pub use role::{MAX_ROLES, Role, RoleKey, RoleName};
pub use subject::{Grantor, Standing, Subject, SubjectStatus};
