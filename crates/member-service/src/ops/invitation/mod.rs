//! Invitations.

mod accept;
mod create;
mod resend;
mod revoke;

pub use accept::{AcceptError, Acceptance, accept, accept_proven};
pub use create::{InviteError, create};
pub use resend::{ResendError, resend};
pub use revoke::{RevokeError, revoke, revoke_pending};

use access::Granted;
use tenancy::{
    InvitationId, OrganizationScope, StoreError,
    page::{Listed, Page},
};

use super::Context;
use crate::{
    model::{Invitation, InvitationState},
    store::invitation,
};

pub async fn get(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    id: InvitationId,
) -> Result<Option<Invitation>, StoreError> {
    let mut read = context.database.read(granted.scope).await?;
    let found = invitation::find(read.connection(), granted.scope.organization_id(), id).await?;
    read.finish();
    Ok(found)
}

pub async fn list(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    state: Option<InvitationState>,
    page: &Page<InvitationId>,
) -> Result<Listed<Invitation, InvitationId>, StoreError> {
    let mut read = context.database.read(granted.scope).await?;
    let listed = invitation::list(read.connection(), granted.scope.organization_id(), state, page).await?;
    read.finish();
    Ok(listed)
}
