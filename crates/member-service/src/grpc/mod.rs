//! The door: identify, authorize, convert, operate, encode.

mod convert;
mod credential;
mod events;
mod identity;
mod invitation;
mod member;
mod refusal;
mod second_factor;
mod service_account;
mod session;
mod sign_up;
mod sso;
mod tenant;

use std::sync::Arc;

use access::Access;

pub use events::payload;

use crate::ops::Context;

/// What every service of this process needs.
#[derive(Debug, Clone)]
pub struct Door {
    pub access: Access,
    pub context: Arc<Context>,
}
