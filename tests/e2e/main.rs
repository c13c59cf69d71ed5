//! The cluster as its users meet it: real processes, a real PostgreSQL, nothing replaced.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod access_matrix;
mod authorization;
mod faults;
mod given_up;
mod identities;
mod invitations;
mod isolated_pools;
mod mail;
mod main_job;
mod organizations;
mod people;
mod readme;
mod repeats;
mod service_accounts;
mod sessions;
mod tenant_walls;
mod tokens;
mod unasked;
