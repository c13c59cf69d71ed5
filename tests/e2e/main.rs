//! The cluster as its users meet it: real processes, a real PostgreSQL, nothing replaced.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod access_matrix;
mod authorization;
mod connections;
mod domains;
mod faults;
mod given_up;
mod invitations;
mod main_job;
mod name_server;
mod organizations;
mod people;
mod readme;
mod repeats;
mod sessions;
mod tenant_walls;
mod tokens;
