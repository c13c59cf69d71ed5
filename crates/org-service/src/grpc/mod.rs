//! The door: identify, authorize, convert, operate, encode.

mod connection;
mod convert;
mod directory;
mod domain;
mod events;
mod organization;
mod project;
mod provider;
mod refusal;

pub use connection::Connections;
pub use directory::Directory;
pub use domain::Domains;
pub use events::payload;
pub use organization::Organizations;
pub use project::Projects;
pub use provider::SignIns;
