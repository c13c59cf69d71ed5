//! What the gateway does itself: signing people in, keeping sessions going, giving tokens to programs, and merging the three event logs.

pub mod choice;
pub mod clients;
pub mod event_page;
pub mod events;
pub mod exchange;
pub mod grants;
pub mod invalidations;
pub mod mfa;
pub mod projects;
pub mod proven;
pub mod refused;
pub mod sessions;
pub mod sign_in;
pub mod sso;
pub mod standing;
pub mod tokens;
