//! The cluster as its users meet it: real processes, a real PostgreSQL, nothing replaced.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod access_matrix;
mod acting_as;
mod authorization;
mod cli;
mod connections;
mod custom_roles;
mod domains;
mod event_log;
mod faults;
mod feed_lag;
mod given_up;
mod half_states;
mod identities;
mod invitations;
mod inviting;
mod isolated_pools;
mod lifecycle;
mod limits;
mod mail;
mod main_job;
mod many_members;
mod name_server;
mod organizations;
mod owners;
mod people;
mod purge;
mod purge_authz;
mod readme;
mod repeats;
mod replicas;
mod service_accounts;
mod sessions;
mod tenant_walls;
mod tokens;
mod unasked;
