//! What the gateway does itself: signing people in, keeping sessions going, giving tokens to programs, and merging the three event logs.

pub mod choice;
pub mod clients;
pub mod event_page;
pub mod events;
pub mod sessions;
pub mod sign_in;
pub mod sso;
