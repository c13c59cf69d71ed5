//! Who calls, and may they.
//!
//! [`Access::layer`] finds the method in the contract, verifies the credential, and refuses callers that the method's audience leaves
//! out; a handler then asks for the scope that its request names ([`Access::organization`], [`Access::project`], ...), which is where
//! the tenant and the permission are decided. There is no other way to a scope, so a handler that forgets to ask gets no
//! database.
//!
//! Nobody is trusted for where a call comes from: a service verifies its caller's token itself, whether the gateway forwarded
//! the call or not.

mod authorize;
mod caller;
mod directory;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod granted;
mod invalidations;
mod layer;
mod onward;
mod options;
mod permission;
mod refusal;
mod tenant;
mod trust;
mod verify;

pub use authorize::{Access, IMPERSONATE};
pub use caller::{Caller, Impersonator, Served, Service};
pub use directory::Directory;
pub use granted::{Granted, Known};
pub use invalidations::{Invalidations, Listening, RevocationOptions, Told};
pub use layer::{AccessLayer, admit, bearer, within};
pub use onward::Onward;
pub use options::AccessOptions;
pub use permission::{PermissionCheck, RemotePermissions};
pub use refusal::{
    credential_revoked, invalid_field, permission_missing, project_archived, revocations_unknown, store,
    unauthenticated,
};
pub use tenant::Tenant;
pub use tokens::{AccessClaims, KeyError, Refused, Ring, SigningKey, WorkloadClaims};
pub use trust::{Trust, TrustError};
pub use verify::{Verified, Verifier};
