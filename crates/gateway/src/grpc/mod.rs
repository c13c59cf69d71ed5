//! The gRPC services that the gateway implements itself.

pub mod authentication;
mod convert;
pub mod events;
pub mod tokens;
