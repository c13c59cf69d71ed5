//! The door: identify, authorize, convert, operate, encode.

mod convert;
mod directory;
mod events;
mod organization;
mod project;
mod refusal;

pub use directory::Directory;
pub use events::payload;
pub use organization::Organizations;
pub use project::Projects;
