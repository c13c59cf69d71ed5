//! Entering an organization: what somebody has proven before they choose one, where they may go, and what becomes of it there.
//!
//! Whoever has proven who they are and is no member of an organization yet holds an intermediate session. It is exchanged for a member
//! session by one of three rights, looked at in this order: they are a member; an invitation waits for their proven address; the
//! organization lets in proven addresses under a domain that it has verified. The last two make them a member by the same steps as any
//! other (see `ops::member`, `ops::invitation`), after the organization's policy is met: nobody becomes a member who could not enter.

mod exchange;
mod intermediate;
mod list;
mod newcomer;
mod second_factor;
mod switch;

pub use exchange::{Arrival, EntryError, exchange, vouched};
pub use intermediate::{LIFETIME, Opened, Proof, issue, open, spend, try_once};
pub use list::{list, may_go_anywhere};
pub use newcomer::{Candidate, Right, known_roles, right};
pub use second_factor::{Halfway, MeetError, UNCONFIRMED, enrollment, meet};
pub use switch::{ELSEWHERE, SwitchError, switch};

use tenancy::StoreError;

use crate::remote::RemoteError;

/// Looking failed.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Store(#[from] StoreError),
}
