//! Between the contract's messages and the model. Reading collects every bad field; writing cannot fail.

mod batch;
mod identity;
mod invitation;
mod member;
mod metadata;
mod service_account;
mod session;
mod sign_up;
mod sso;
mod time;

pub use batch::{outcome, read_batch};
pub use identity::{identity, read_identity_update, read_import, read_pool};
pub use invitation::{
    invitation, issued_invitation, read_invitation, read_invitations, read_state as read_invitation_state,
    stored_invitation,
};
pub use member::{member, member_alone, read_create, read_key, read_state, read_update};
pub use service_account::{
    api_key, api_key_in, authenticated, issued_api_key, project_account, read_account_update, read_api_key,
    read_display_name, read_revoking, service_account, token_revocation,
};
pub use session::{
    Exchanged, auth_factor, end_reason, entered, entrance, grant, intermediate, read_beginning, read_exchange,
    read_impersonation, session,
};
pub use sign_up::read_application;
pub use sso::provider_account;
pub use time::timestamp;

use runtime::Violations;

/// At most so many roles in one request.
const MAX_ROLES: usize = 50;

/// Ids or keys of roles. What they name is for authz-service to say.
fn read_roles_at(path: &str, roles: Vec<String>, violations: &mut Violations) -> Vec<String> {
    violations.require(roles.len() <= MAX_ROLES, path, "must be at most 50");
    for (at, role) in roles.iter().take(MAX_ROLES).enumerate() {
        let good = (1..=64).contains(&role.len()) && role.bytes().all(|b| b.is_ascii_graphic());
        violations.require(good, format!("{path}[{at}]"), "must be the id or the key of a role");
    }
    roles
}
