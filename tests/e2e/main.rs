//! The cluster as its users meet it: real processes, a real PostgreSQL, nothing replaced.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod access_matrix;
mod acting_as;
mod authorization;
mod custom_roles;
mod faults;
mod given_up;
mod invitations;
mod lifecycle;
mod limits;
mod main_job;
mod organizations;
mod owners;
mod people;
mod purge;
mod purge_authz;
mod readme;
mod repeats;
mod sessions;
mod tenant_walls;
mod tokens;
