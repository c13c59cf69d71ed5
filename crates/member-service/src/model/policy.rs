//! What an organization allows, as org-service says: how people come in, and how many.

use std::collections::BTreeMap;

use super::{EmailAddress, SessionLimits, SignInPolicy};

/// Who may be invited by email.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EmailInvites {
    #[default]
    AllAllowed,
    /// To the allowed email domains.
    Restricted,
    NotAllowed,
}

/// Who becomes a member by signing in through one of the organization's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SsoJitProvisioning {
    AllAllowed,
    /// Whose verified address is under an allowed domain.
    Restricted,
    #[default]
    NotAllowed,
}

/// How people come into an organization.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    pub email_invites: EmailInvites,
    pub sign_in: SignInPolicy,
    pub session: SessionLimits,
    /// Whoever proves an address under an allowed domain that is also verified becomes a member.
    pub email_jit_provisioning: bool,
    pub sso_jit_provisioning: SsoJitProvisioning,
    /// As addresses spell them. A name stands for itself, not for its subdomains.
    pub allowed_email_domains: Vec<String>,
    /// Of members who came without an invitation, as ids or keys.
    pub jit_roles: Vec<String>,
    /// By email domain.
    pub domain_roles: BTreeMap<String, Vec<String>>,
}

/// The organization's policy does not let the address be invited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the organization does not allow to invite this address")]
pub struct NotInvitable(pub EmailInvites);

impl EmailInvites {
    /// As the contract spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AllAllowed => "ALL_ALLOWED",
            Self::Restricted => "RESTRICTED",
            Self::NotAllowed => "NOT_ALLOWED",
        }
    }
}

impl Policy {
    pub fn allows_domain(&self, address: &EmailAddress) -> bool {
        self.allowed_email_domains.iter().any(|domain| domain == address.domain())
    }

    /// Whether whoever proves this address may become a member, if its domain is also verified.
    pub fn lets_in(&self, address: &EmailAddress) -> bool {
        self.email_jit_provisioning && self.allows_domain(address)
    }

    pub fn allows_invitation(&self, address: &EmailAddress) -> Result<(), NotInvitable> {
        let allowed = match self.email_invites {
            EmailInvites::AllAllowed => true,
            EmailInvites::Restricted => self.allows_domain(address),
            EmailInvites::NotAllowed => false,
        };
        if allowed { Ok(()) } else { Err(NotInvitable(self.email_invites)) }
    }
}

/// How much of what an organization may hold. None: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    pub max_members: Option<i64>,
    pub max_pending_invitations: Option<i64>,
    pub max_service_accounts: Option<i64>,
}

/// How much of it is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    pub members: i64,
    pub pending_invitations: i64,
    pub service_accounts: i64,
}

/// The organization holds as many as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("the organization holds {used} of {allowed}")]
pub struct LimitReached {
    pub allowed: i64,
    pub used: i64,
}

/// How many more there may be.
#[derive(Debug, Clone, Copy)]
pub struct Room(Option<LimitReached>);

impl Room {
    /// No limit.
    pub fn any() -> Self {
        Self(None)
    }

    pub fn of(allowed: i64, used: i64) -> Self {
        Self(Some(LimitReached { allowed, used }))
    }

    /// Takes a place for one more.
    pub fn take(&mut self) -> Result<(), LimitReached> {
        match &mut self.0 {
            None => Ok(()),
            Some(full) if full.used >= full.allowed => Err(*full),
            Some(room) => {
                room.used += 1;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lowered_limit_lets_nobody_more_in() {
        let mut room = Room::of(2, 1);
        assert!(room.take().is_ok());
        assert_eq!(room.take(), Err(LimitReached { allowed: 2, used: 2 }));
        assert_eq!(Room::of(1, 5).take(), Err(LimitReached { allowed: 1, used: 5 }));
        let mut any = Room::any();
        assert!((0..1000).all(|_| any.take().is_ok()));
    }

    #[test]
    fn a_domain_stands_for_itself_and_not_for_what_is_below_or_looks_alike() {
        let address = |text: &str| EmailAddress::parse(text).unwrap();
        let mut policy = Policy {
            email_invites: EmailInvites::Restricted,
            allowed_email_domains: vec!["acme.test".to_owned()],
            ..Policy::default()
        };
        assert!(policy.allows_invitation(&address("Ada@ACME.test")).is_ok());
        for other in ["ada@sub.acme.test", "ada@notacme.test", "acme.test@evil.test", "ada@acme.test.evil.test"] {
            assert_eq!(
                policy.allows_invitation(&address(other)),
                Err(NotInvitable(EmailInvites::Restricted)),
                "{other}"
            );
        }
        policy.email_invites = EmailInvites::NotAllowed;
        assert!(policy.allows_invitation(&address("ada@acme.test")).is_err());
    }
}
