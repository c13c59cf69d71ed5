//! Mail: what it says, and how it waits to be sent.
//!
//! A mail is put into the outbox by the transaction that gives the reason for it, and sent afterwards: a mail server that is slow or
//! away delays no call, and nothing is mailed that did not happen. Delivery is at least once.

mod content;
mod templates;

pub use content::Mail;
pub use templates::{InvitationMail, invitation, sign_in};
