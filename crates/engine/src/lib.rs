//! The authorization engine: who may do what, where, and why. Pure: no I/O, no clock, no async; the time is an argument.
//!
//! A store reads an [`OrganizationData`], [`Snapshot::build`] closes and interns it, and the snapshot answers until the next
//! one replaces it. A decision follows these rules, in this order of precedence:
//!
//! 1. A permission that the catalog does not know is denied.
//! 2. An organization or a subject that is not active is denied everything.
//! 3. A resource whose ancestors form a cycle, or more than [`MAX_RESOURCE_DEPTH`] levels, is denied: its place is unknown,
//!    so a deny binding above it could be missed.
//! 4. A binding applies when its subject is the one asked about or a set it is in, its scope is the resource, an ancestor of it or
//!    the organization, its window is open (`not_before <= now < expire_time`), and its role grants the permission.
//! 5. A binding with a condition applies when that is true too. One that fails applies if it denies, and does not if it allows: no
//!    error widens access. One that lacks an input may apply.
//! 6. One deny binding that applies denies, whatever else does. Where no allow binding applies or may apply, it is denied. Where one
//!    applies and no deny may, it is allowed. Everything else is conditional on the inputs that are missing: to those denies that may
//!    apply, and if no allow applies for certain, to the allows that may.
//! 7. Who holds something, to hand it on or to be counted as an owner, holds it without a condition: an allow with one gives nothing
//!    to hold, a deny with one takes away.
//!
//! Stored faults never loop and never panic. A binding or an inclusion that names a role which is not there, means nothing.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may fail by panic"))]

mod catalog;
mod change;
mod condition;
mod cycle;
mod data;
mod derivation;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod id;
mod name;
mod permission;
mod persistent;
mod resource;
mod snapshot;
mod system;

pub use catalog::{
    Catalog, CatalogFault, CatalogProblem, InvalidCatalog, MAX_DESCRIPTION_LENGTH, MAX_TYPES, MAX_VERBS, ResourceType,
};
pub use change::Change;
pub use condition::{
    Condition, ConditionFault, Context, Input, InvalidCondition, InvalidContext, MAX_CONTEXT_BYTES, MAX_CONTEXT_DEPTH,
    MAX_SOURCE_LENGTH, Meter, Outcome,
};
pub use cycle::{group_cycle, role_cycle};
pub use data::{Binding, Effect, Group, OrganizationData, Resource, Role, SubjectState};
pub use derivation::{BindingStep, Derivation, Missing, NearMiss, Verdict};
pub use id::{BindingId, GroupId, RoleId, SubjectId};
pub use name::{MAX_RESOURCE_ID_LENGTH, MAX_TYPE_LENGTH, MAX_VERB_LENGTH, NameError, TypeName};
pub use permission::{Permission, PermissionPattern};
pub use resource::ResourceRef;
pub use snapshot::{Circumstances, Decision, HeldRole, Holder, Listed, MAX_RESOURCE_DEPTH, Permissions, Snapshot};
pub use system::{ADMIN, BUILTIN_ROLES, BuiltinRole, MEMBER, OWNER, is_builtin};
