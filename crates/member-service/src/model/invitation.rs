//! An offer to join an organization.

use tenancy::{InvitationId, MemberId, OrganizationId, RoleId};
use time::{Duration, OffsetDateTime};

use super::{EmailAddress, InvitationMessage, words};

/// Between two mails of one invitation.
const FIRST_PAUSE: Duration = Duration::minutes(1);
const LONGEST_PAUSE: Duration = Duration::days(1);

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
    /// How often it was mailed, or its secret given back, and when last.
    pub sends: i32,
    #[serde(with = "time::serde::rfc3339")]
    pub send_time: OffsetDateTime,
    pub revision: i64,
    #[serde(with = "time::serde::rfc3339")]
    pub create_time: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub update_time: OffsetDateTime,
}

impl Invitation {
    /// How long it is pending from one mail on.
    pub fn lifetime(&self) -> Duration {
        self.expire_time - self.send_time
    }

    /// When it may be mailed again: a minute after the first mail, and after twice as long each further time.
    pub fn may_send_again(&self) -> OffsetDateTime {
        let doublings = u32::try_from(self.sends - 1).unwrap_or_default().min(30);
        self.send_time + (FIRST_PAUSE * 2_i32.pow(doublings)).min(LONGEST_PAUSE)
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_between_mails_doubles_up_to_a_day() {
        let sent = OffsetDateTime::UNIX_EPOCH;
        let invitation = |sends| Invitation {
            invitation_id: InvitationId::new(),
            organization_id: OrganizationId::new(),
            email_address: EmailAddress::parse("ada@acme.test").unwrap(),
            role_ids: Vec::new(),
            inviter: String::new(),
            inviter_is_project: false,
            state: InvitationState::Pending,
            expire_time: sent + Duration::days(7),
            message: InvitationMessage::default(),
            member_id: None,
            sends,
            send_time: sent,
            revision: 1,
            create_time: sent,
            update_time: sent,
        };
        let pause = |sends| invitation(sends).may_send_again() - sent;
        assert_eq!([pause(1), pause(2), pause(5)], [1, 2, 16].map(Duration::minutes));
        assert_eq!([pause(12), pause(i32::MAX)], [Duration::days(1); 2]);
        assert_eq!(invitation(3).lifetime(), Duration::days(7));
    }
}
