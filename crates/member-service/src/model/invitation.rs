//! An offer to join an organization.

use tenancy::{InvitationId, MemberId, OrganizationId, RoleId};
use time::OffsetDateTime;

use super::{EmailAddress, InvitationMessage, words};

words! {
    InvitationState { Pending = "PENDING", Accepted = "ACCEPTED", Revoked = "REVOKED", Expired = "EXPIRED" }
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Invitation {
    pub invitation_id: InvitationId,
    pub organization_id: OrganizationId,
    pub email_address: EmailAddress,
    pub role_ids: Vec<RoleId>,
    /// An actor's text form.
    pub inviter: String,
    /// The inviter is a service account of the project, which holds no roles and may grant any.
    pub inviter_is_project: bool,
    /// As stored: PENDING also after `expire_time`. See [`Invitation::state_at`].
    pub state: InvitationState,
    #[serde(with = "time::serde::rfc3339")]
    pub expire_time: OffsetDateTime,
    pub message: InvitationMessage,
    pub member_id: Option<MemberId>,
    pub revision: i64,
    #[serde(with = "time::serde::rfc3339")]
    pub create_time: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub update_time: OffsetDateTime,
}

impl Invitation {
    /// Expiry is told from the clock, at each use.
    pub fn state_at(&self, now: OffsetDateTime) -> InvitationState {
        match self.state {
            InvitationState::Pending if self.expire_time <= now => InvitationState::Expired,
            state => state,
        }
    }
}

/// An invitation in the answer of the call that made it, which may hold the secret.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct IssuedInvitation {
    pub invitation: Invitation,
    pub token: Option<String>,
}

/// What a caller says of a new invitation.
#[derive(Debug, Clone)]
pub struct InvitationDraft {
    pub email_address: EmailAddress,
    /// Ids or keys.
    pub roles: Vec<String>,
    pub message: InvitationMessage,
    pub expire_time: OffsetDateTime,
    /// Give the secret back and send no mail.
    pub return_token: bool,
}
