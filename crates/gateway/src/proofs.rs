//! What an access token says of how its member proved who they are: `amr` in the words of RFC 8176, and `acr`.

use api::member::v1::{AuthFactor, AuthFactorMethod as Method};

/// One factor, or what somebody else vouched for: whether that was more is theirs to know.
const SINGLE: &str = "urn:guildhall:acr:1fa";
/// Two factors of different kinds, both seen by us.
const TWO: &str = "urn:guildhall:acr:2fa";

/// The registered values, each once, in the order of the proofs; `mfa` where a second factor is among them.
pub fn amr(factors: &[AuthFactor]) -> Vec<String> {
    let mut values: Vec<&str> = Vec::new();
    for factor in factors {
        let value = match factor.method() {
            Method::Password => "pwd",
            Method::EmailCode | Method::EmailLink | Method::Totp | Method::RecoveryCode => "otp",
            // Not in the RFC's registry, and what others write for a sign-in that somebody else vouched for.
            Method::Oidc | Method::Saml | Method::Social => "fed",
            Method::Passkey => "hwk",
            Method::Unspecified => continue,
        };
        if !values.contains(&value) {
            values.push(value);
        }
    }
    if is_two(factors) {
        values.push("mfa");
    }
    values.into_iter().map(str::to_owned).collect()
}

/// None of a session that nobody proved anything for.
pub fn acr(factors: &[AuthFactor]) -> Option<String> {
    let value = if is_two(factors) { TWO } else { SINGLE };
    (!factors.is_empty()).then(|| value.to_owned())
}

/// Two ways in are one factor: a password and a code by email both fall with the mailbox. A passkey, by itself, is two: it is not
/// taken without the person's verification.
fn is_two(factors: &[AuthFactor]) -> bool {
    factors.iter().any(|factor| matches!(factor.method(), Method::Totp | Method::RecoveryCode | Method::Passkey))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(methods: &[Method]) -> Vec<AuthFactor> {
        methods.iter().map(|&method| AuthFactor { method: method.into(), ..AuthFactor::default() }).collect()
    }

    #[test]
    fn proofs_become_registered_values() {
        let of = |methods: &[Method]| amr(&factors(methods));
        assert_eq!(of(&[Method::Password]), ["pwd"]);
        assert_eq!(of(&[Method::EmailCode]), ["otp"]);
        assert_eq!(of(&[Method::Password, Method::Totp]), ["pwd", "otp", "mfa"]);
        assert_eq!(of(&[Method::EmailLink, Method::RecoveryCode]), ["otp", "mfa"]);
        assert_eq!(of(&[Method::Oidc, Method::Totp]), ["fed", "otp", "mfa"]);
        assert_eq!(of(&[Method::Password, Method::EmailCode]), ["pwd", "otp"], "two ways in are one factor");
        assert_eq!(of(&[]), Vec::<String>::new());
    }

    #[test]
    fn the_class_says_how_many_factors() {
        let of = |methods: &[Method]| acr(&factors(methods));
        assert_eq!(of(&[Method::Password, Method::EmailCode]).as_deref(), Some(SINGLE));
        assert_eq!(of(&[Method::Oidc]).as_deref(), Some(SINGLE));
        assert_eq!(of(&[Method::EmailCode, Method::Totp]).as_deref(), Some(TWO));
        assert_eq!(of(&[]), None);
    }
}
