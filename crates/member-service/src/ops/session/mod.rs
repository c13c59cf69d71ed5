//! Sessions: begun by a sign-in, kept alive by refresh tokens, ended by many things.

mod begin;
mod derived;
mod end;
mod impersonate;
mod refresh;

pub use begin::{BeginError, Beginning, begin};
pub use derived::{append_end, end_derived};
pub use end::{EndError, end_by_token, end_own, list, revoke, revoke_of_member};
pub use impersonate::{ImpersonateError, Impersonation, impersonate};
pub use refresh::{RefreshError, read, refresh};
