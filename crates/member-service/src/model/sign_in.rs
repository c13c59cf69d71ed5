//! What an organization asks of those who sign in, and what somebody has proven before they enter one.

use secrecy::SecretString;
use tenancy::{IdentityId, IntermediateSessionId, InvitationId, MemberId, OrganizationId};
use time::OffsetDateTime;

use super::{AuthFactor, AuthMethod, EmailAddress, words};

words! {
    /// A way of signing in, as organizations allow it.
    SignInMethod {
        Password = "PASSWORD",
        EmailCode = "EMAIL_CODE",
        MagicLink = "MAGIC_LINK",
        Sso = "SSO",
        Social = "SOCIAL",
        Passkey = "PASSKEY",
    }

    SecondFactor { Totp = "TOTP", Passkey = "PASSKEY" }
}

impl AuthMethod {
    /// None of what is only ever a second factor.
    pub fn sign_in_method(self) -> Option<SignInMethod> {
        match self {
            Self::Password => Some(SignInMethod::Password),
            Self::EmailCode => Some(SignInMethod::EmailCode),
            Self::EmailLink => Some(SignInMethod::MagicLink),
            Self::Oidc | Self::Saml => Some(SignInMethod::Sso),
            Self::Social => Some(SignInMethod::Social),
            Self::Passkey => Some(SignInMethod::Passkey),
            Self::Totp | Self::RecoveryCode => None,
        }
    }

    fn second_factor(self) -> Option<SecondFactor> {
        match self {
            Self::Totp | Self::RecoveryCode => Some(SecondFactor::Totp),
            Self::Passkey => Some(SecondFactor::Passkey),
            Self::Password | Self::EmailCode | Self::EmailLink | Self::Oidc | Self::Saml | Self::Social => None,
        }
    }
}

/// What a session at an organization must have been proven by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SignInPolicy {
    /// None: every way.
    pub allowed: Option<Vec<SignInMethod>>,
    pub needs_second_factor: bool,
    /// Empty: any.
    pub second_factors: Vec<SecondFactor>,
}

/// What is missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unmet {
    #[error("the organization does not allow this way of signing in")]
    Method { allowed: Vec<SignInMethod> },
    #[error("the organization asks for a second factor")]
    SecondFactor { allowed: Vec<SecondFactor> },
}

impl SignInPolicy {
    /// Whether the factors suffice. `is_breakglass`: of a member who may always use their password.
    pub fn met_by(&self, factors: &[AuthFactor], is_breakglass: bool) -> Result<(), Unmet> {
        if let Some(allowed) = &self.allowed {
            let lets_in = |method| allowed.contains(&method) || (is_breakglass && method == SignInMethod::Password);
            if !factors.iter().filter_map(|factor| factor.method.sign_in_method()).any(lets_in) {
                return Err(Unmet::Method { allowed: allowed.clone() });
            }
        }
        let fits = |factor| self.second_factors.is_empty() || self.second_factors.contains(&factor);
        if self.needs_second_factor && !factors.iter().filter_map(|f| f.method.second_factor()).any(fits) {
            let allowed = match self.second_factors.as_slice() {
                [] => vec![SecondFactor::Totp, SecondFactor::Passkey],
                named => named.to_vec(),
            };
            return Err(Unmet::SecondFactor { allowed });
        }
        Ok(())
    }
}

/// A sign-in that has not entered an organization yet.
#[derive(Debug, Clone)]
pub struct Intermediate {
    pub id: IntermediateSessionId,
    /// None: nobody had the address when it was proven.
    pub identity_id: Option<IdentityId>,
    pub email_address: EmailAddress,
    /// By a factor of this sign-in.
    pub email_verified: bool,
    pub auth_factors: Vec<AuthFactor>,
    pub expire_time: OffsetDateTime,
}

/// One just made, with its secret.
#[derive(Debug)]
pub struct IssuedIntermediate {
    pub token: SecretString,
    pub expire_time: OffsetDateTime,
    pub email_address: EmailAddress,
}

/// An organization that somebody may enter. The order is that of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Entrance {
    Member(OrganizationId, MemberId),
    Invited(OrganizationId, InvitationId),
    Joinable(OrganizationId),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(methods: &[AuthMethod]) -> Vec<AuthFactor> {
        methods.iter().map(|&method| AuthFactor::given(method, OffsetDateTime::UNIX_EPOCH)).collect()
    }

    #[test]
    fn a_restricted_organization_takes_what_it_names_and_a_password_behind_the_glass() {
        let policy = SignInPolicy { allowed: Some(vec![SignInMethod::Sso]), ..SignInPolicy::default() };
        let unmet = Err(Unmet::Method { allowed: vec![SignInMethod::Sso] });
        assert_eq!(policy.met_by(&factors(&[AuthMethod::Password]), false), unmet);
        assert_eq!(policy.met_by(&factors(&[AuthMethod::Password]), true), Ok(()));
        assert_eq!(
            policy.met_by(&factors(&[AuthMethod::EmailCode]), true),
            unmet,
            "the glass is over the password only"
        );
        assert_eq!(policy.met_by(&factors(&[AuthMethod::EmailCode, AuthMethod::Oidc]), false), Ok(()));
        // A second factor alone is no way in.
        assert_eq!(policy.met_by(&factors(&[AuthMethod::Totp]), false), unmet);
        let nobody = SignInPolicy { allowed: Some(Vec::new()), ..SignInPolicy::default() };
        assert!(nobody.met_by(&factors(&[AuthMethod::Passkey]), false).is_err());
        assert!(SignInPolicy::default().met_by(&factors(&[AuthMethod::EmailCode]), false).is_ok());
    }

    #[test]
    fn two_first_factors_are_no_second_one() {
        let policy = SignInPolicy { needs_second_factor: true, ..SignInPolicy::default() };
        let two = factors(&[AuthMethod::Password, AuthMethod::EmailCode]);
        let unmet = Err(Unmet::SecondFactor { allowed: vec![SecondFactor::Totp, SecondFactor::Passkey] });
        assert_eq!(policy.met_by(&two, true), unmet, "nobody is let off");
        for second in [AuthMethod::Totp, AuthMethod::RecoveryCode, AuthMethod::Passkey] {
            assert_eq!(policy.met_by(&factors(&[AuthMethod::Password, second]), false), Ok(()));
        }
        let passkeys = SignInPolicy { second_factors: vec![SecondFactor::Passkey], ..policy };
        assert!(passkeys.met_by(&factors(&[AuthMethod::Password, AuthMethod::Totp]), false).is_err());
    }
}
