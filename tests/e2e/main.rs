//! The cluster as its users meet it: real processes, a real PostgreSQL, nothing replaced.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod access_matrix;
mod authorization;
mod faults;
mod given_up;
mod half_states;
mod invitations;
mod inviting;
mod main_job;
mod many_members;
mod organizations;
mod people;
mod readme;
mod repeats;
mod sessions;
mod tenant_walls;
mod tokens;
