//! What an organization asks of those who sign in, and what somebody has proven before they enter one.

use secrecy::SecretString;
use tenancy::{IdentityId, IntermediateSessionId, InvitationId, MemberId, OrganizationId};
use time::OffsetDateTime;

use super::{AuthFactor, AuthMethod, EmailAddress, Identity, TotpEnrollment, TotpSecret, words};

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

    pub fn second_factor(self) -> Option<SecondFactor> {
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

/// What a policy must know of whoever signs in.
#[derive(Debug, Clone, Copy, Default)]
pub struct Standing {
    /// A member who may always use their password.
    pub is_breakglass: bool,
    /// They have enrolled an authenticator app.
    pub has_totp: bool,
    /// Their password lets in beside a second factor only.
    pub password_is_short: bool,
}

impl Standing {
    pub fn of(identity: Option<&Identity>, is_breakglass: bool) -> Self {
        Self {
            is_breakglass,
            has_totp: identity.is_some_and(|identity| identity.has_totp),
            password_is_short: identity.is_some_and(|identity| identity.password_is_short),
        }
    }
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
    /// Whether the factors suffice: one of a way in that is allowed, and a second one where the organization asks everybody for it,
    /// where the person has enrolled one, and where all they gave is a password that may not stand alone. Nobody is let off.
    pub fn met_by(&self, factors: &[AuthFactor], standing: Standing) -> Result<(), Unmet> {
        let mut ways = factors.iter().filter_map(|factor| factor.method.sign_in_method());
        if let Some(allowed) = &self.allowed {
            let breaks_glass = |method| standing.is_breakglass && method == SignInMethod::Password;
            if !ways.clone().any(|method| allowed.contains(&method) || breaks_glass(method)) {
                return Err(Unmet::Method { allowed: allowed.clone() });
            }
        }
        let half = standing.password_is_short && ways.all(|method| method == SignInMethod::Password);
        let needed = self.needs_second_factor || half || (standing.has_totp && self.takes(SecondFactor::Totp));
        let given = factors.iter().filter_map(|factor| factor.method.second_factor()).any(|factor| self.takes(factor));
        if needed && !given {
            let allowed = [SecondFactor::Totp, SecondFactor::Passkey].into_iter().filter(|factor| self.takes(*factor));
            return Err(Unmet::SecondFactor { allowed: allowed.collect() });
        }
        Ok(())
    }

    /// Whether a second factor counts here.
    pub fn takes(&self, factor: SecondFactor) -> bool {
        self.second_factors.is_empty() || self.second_factors.contains(&factor)
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
    /// The session that comes of it ends then at the latest.
    pub no_later_than: Option<OffsetDateTime>,
    pub expire_time: OffsetDateTime,
}

/// What stands between somebody who has proven who they are and their session: the second factor.
#[derive(Debug)]
pub struct SecondFactorRequired {
    pub intermediate: IssuedIntermediate,
    pub organization_id: OrganizationId,
    pub organization_slug: String,
    /// None: they have an authenticator app.
    pub enrollment: Option<TotpEnrollment>,
}

/// An authenticator app that is being enrolled by a sign-in, with what it is told.
#[derive(Debug)]
pub struct Enrollment {
    pub secret: TotpSecret,
    pub shown: TotpEnrollment,
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

    const ANYBODY: Standing = Standing { is_breakglass: false, has_totp: false, password_is_short: false };
    const BREAKGLASS: Standing = Standing { is_breakglass: true, ..ANYBODY };

    #[test]
    fn a_restricted_organization_takes_what_it_names_and_a_password_behind_the_glass() {
        let policy = SignInPolicy { allowed: Some(vec![SignInMethod::Sso]), ..SignInPolicy::default() };
        let unmet = Err(Unmet::Method { allowed: vec![SignInMethod::Sso] });
        assert_eq!(policy.met_by(&factors(&[AuthMethod::Password]), ANYBODY), unmet);
        assert_eq!(policy.met_by(&factors(&[AuthMethod::Password]), BREAKGLASS), Ok(()));
        assert_eq!(
            policy.met_by(&factors(&[AuthMethod::EmailCode]), BREAKGLASS),
            unmet,
            "the glass is over the password only"
        );
        assert_eq!(policy.met_by(&factors(&[AuthMethod::EmailCode, AuthMethod::Oidc]), ANYBODY), Ok(()));
        // A second factor alone is no way in.
        assert_eq!(policy.met_by(&factors(&[AuthMethod::Totp]), ANYBODY), unmet);
        let nobody = SignInPolicy { allowed: Some(Vec::new()), ..SignInPolicy::default() };
        assert!(nobody.met_by(&factors(&[AuthMethod::Passkey]), ANYBODY).is_err());
        assert!(SignInPolicy::default().met_by(&factors(&[AuthMethod::EmailCode]), ANYBODY).is_ok());
    }

    #[test]
    fn two_first_factors_are_no_second_one() {
        let policy = SignInPolicy { needs_second_factor: true, ..SignInPolicy::default() };
        let two = factors(&[AuthMethod::Password, AuthMethod::EmailCode]);
        let unmet = Err(Unmet::SecondFactor { allowed: vec![SecondFactor::Totp, SecondFactor::Passkey] });
        assert_eq!(policy.met_by(&two, BREAKGLASS), unmet, "nobody is let off");
        for second in [AuthMethod::Totp, AuthMethod::RecoveryCode, AuthMethod::Passkey] {
            assert_eq!(policy.met_by(&factors(&[AuthMethod::Password, second]), ANYBODY), Ok(()));
        }
        let passkeys = SignInPolicy { second_factors: vec![SecondFactor::Passkey], ..policy };
        assert!(passkeys.met_by(&factors(&[AuthMethod::Password, AuthMethod::Totp]), ANYBODY).is_err());
    }

    #[test]
    fn whoever_has_an_app_is_asked_for_it_where_it_counts() {
        let (password, both) = (factors(&[AuthMethod::Password]), factors(&[AuthMethod::Password, AuthMethod::Totp]));
        let enrolled = Standing { has_totp: true, ..ANYBODY };
        let optional = SignInPolicy::default();
        assert!(matches!(optional.met_by(&password, enrolled), Err(Unmet::SecondFactor { .. })));
        assert_eq!(optional.met_by(&both, enrolled), Ok(()));
        let passkeys = SignInPolicy { second_factors: vec![SecondFactor::Passkey], ..optional };
        assert_eq!(passkeys.met_by(&password, enrolled), Ok(()), "an app proves nothing here");
    }

    #[test]
    fn a_short_password_lets_in_beside_something_else_only() {
        let short = Standing { password_is_short: true, ..ANYBODY };
        let met = |methods: &[AuthMethod]| SignInPolicy::default().met_by(&factors(methods), short).is_ok();
        assert!(!met(&[AuthMethod::Password]));
        assert!(
            met(&[AuthMethod::Password, AuthMethod::Totp]) && met(&[AuthMethod::Password, AuthMethod::RecoveryCode])
        );
        assert!(met(&[AuthMethod::EmailCode]) && met(&[AuthMethod::Oidc]), "it was not asked for");
    }
}
