//! Authenticator apps (TOTP, RFC 6238) and the recovery codes that stand in for a lost one.
//!
//! The parameters are those that every app understands: SHA-1, six digits, 30 seconds. A code is taken in its own 30 seconds and those
//! next to it, and each of these steps counts once: whoever keeps the last step that worked lets no code be used again.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use time::{Duration, OffsetDateTime};
use totp_rs::{Builder, Secret, Totp};

use super::EmailAddress;

/// As many bits as SHA-1 gives: what RFC 4226 recommends.
const SECRET_BYTES: usize = 20;
const DIGITS: usize = 6;
/// How long an app that is shown may be confirmed.
pub const ENROLLMENT: Duration = Duration::minutes(10);

/// The secret that an authenticator app shares with us.
pub struct TotpSecret([u8; SECRET_BYTES]);

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpSecret(..)")
    }
}

/// What the person is shown once.
#[derive(Debug)]
pub struct TotpEnrollment {
    pub provisioning_uri: SecretString,
    pub secret: SecretString,
}

impl TotpSecret {
    pub fn random() -> Self {
        Self(tenancy::sealing::random())
    }

    /// As it comes out of its seal. None of another length.
    pub fn stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn totp(&self) -> Builder {
        Builder::new().with_secret(Secret::new_stack(self.0))
    }

    /// The step that a code is of, if it is of one that counts now and comes after the last that worked.
    pub fn step_of(&self, code: &str, now: OffsetDateTime, last_step: i64) -> Option<i64> {
        let code = six_digits(code)?;
        let seconds = u64::try_from(now.unix_timestamp()).ok()?;
        let step = self.totp().build().ok()?.check(&code, seconds)?;
        i64::try_from(step).ok().filter(|step| *step > last_step)
    }

    /// How an app is told of it: `issuer` is who asks for the codes, as the app shows it.
    pub fn shown(&self, issuer: &str, account: &EmailAddress) -> TotpEnrollment {
        let issuer = issuer.replace(':', " ");
        let issuer = Some(issuer).filter(|issuer| !issuer.is_empty());
        let named = self.totp().with_issuer(issuer).with_account_name(account.as_str().replace(':', " "));
        let uri = |totp: Totp| totp.to_url().ok();
        TotpEnrollment {
            provisioning_uri: named.build().ok().and_then(uri).unwrap_or_default().into(),
            secret: Secret::new_stack(self.0).to_base32().into(),
        }
    }
}

/// Blanks are for the eye.
fn six_digits(code: &str) -> Option<String> {
    let code: String = code.chars().filter(|c| !c.is_whitespace()).take(DIGITS + 1).collect();
    (code.len() == DIGITS && code.bytes().all(|b| b.is_ascii_digit())).then_some(code)
}

/// How many a person gets at once.
pub const RECOVERY_CODES: usize = 10;
const CODE_BYTES: usize = 10;
/// Crockford's: no letter looks like a digit.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// One recovery code: 80 random bits, in four groups of four.
#[derive(Clone)]
pub struct RecoveryCode([u8; CODE_BYTES]);

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode(..)")
    }
}

impl RecoveryCode {
    pub fn random() -> Self {
        Self(tenancy::sealing::random())
    }

    /// Blanks, hyphens and case are for the eye, and what looks like a digit is one.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bits = 0_u128;
        let mut characters = 0;
        for character in text.chars().filter(|c| !c.is_whitespace() && *c != '-') {
            characters += 1;
            if characters > CODE_BYTES * 8 / 5 {
                return None;
            }
            let plain = match character.to_ascii_lowercase() {
                'o' => '0',
                'i' | 'l' => '1',
                other => other,
            };
            let value = ALPHABET.iter().position(|letter| char::from(*letter) == plain)?;
            bits = bits << 5 | value as u128;
        }
        let complete = characters == CODE_BYTES * 8 / 5;
        let bytes = bits.to_be_bytes();
        complete.then(|| bytes[bytes.len() - CODE_BYTES..].try_into().ok().map(Self)).flatten()
    }

    pub fn text(&self) -> SecretString {
        let bits = self.0.iter().fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
        let letters = (0..16).rev().map(|place| char::from(ALPHABET[(bits >> (5 * place) & 31) as usize]));
        let mut text = String::with_capacity(19);
        for (at, letter) in letters.enumerate() {
            if at > 0 && at % 4 == 0 {
                text.push('-');
            }
            text.push(letter);
        }
        text.into()
    }

    /// What the database keeps of it, for one person.
    pub fn hash(&self, identity: tenancy::IdentityId) -> [u8; 32] {
        tenancy::event::sha256(&[identity.uuid().as_bytes().as_slice(), &self.0].concat())
    }
}

/// The codes as they are answered: kept, sealed, for a request that is repeated.
#[derive(Debug, Clone, Default)]
pub struct RecoveryCodes(Vec<RecoveryCode>);

impl RecoveryCodes {
    pub fn random() -> Self {
        Self((0..RECOVERY_CODES).map(|_| RecoveryCode::random()).collect())
    }

    pub fn hashes(&self, identity: tenancy::IdentityId) -> Vec<Vec<u8>> {
        self.0.iter().map(|code| code.hash(identity).to_vec()).collect()
    }

    pub fn texts(&self) -> Vec<String> {
        self.0.iter().map(|code| code.text().expose_secret().to_owned()).collect()
    }
}

impl serde::Serialize for RecoveryCodes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.texts().serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for RecoveryCodes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let codes: Option<_> = texts.iter().map(|text| RecoveryCode::parse(text)).collect();
        codes.map(Self).ok_or_else(|| serde::de::Error::custom("no recovery codes"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The key of RFC 6238's test vectors for SHA-1. Its codes have eight digits, of which ours are the last six.
    const VECTORS: TotpSecret = TotpSecret(*b"12345678901234567890");

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(seconds).unwrap()
    }

    #[test]
    fn the_codes_are_those_of_rfc_6238() {
        for (seconds, code) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            assert_eq!(VECTORS.step_of(&code[2..], at(seconds), 0), Some(seconds / 30), "{seconds}");
        }
    }

    #[test]
    fn a_code_counts_in_its_own_step_and_those_next_to_it() {
        // "050471" is of the step that begins at 1111111110.
        let begin = 1_111_111_110;
        let taken = |seconds| VECTORS.step_of("050471", at(seconds), 0).is_some();
        assert!(taken(begin - 30) && taken(begin) && taken(begin + 29) && taken(begin + 59));
        assert!(!taken(begin - 31) && !taken(begin + 60));
    }

    #[test]
    fn no_step_counts_twice_nor_one_before_it() {
        let step = 1_111_111_111 / 30;
        let taken = |last| VECTORS.step_of("050471", at(1_111_111_111), last);
        assert_eq!(taken(step - 1), Some(step));
        assert_eq!((taken(step), taken(step + 1)), (None, None));
    }

    #[test]
    fn blanks_are_for_the_eye_and_nothing_else_is_taken() {
        let taken = |code: &str| VECTORS.step_of(code, at(1_111_111_111), 0).is_some();
        assert!(taken("050 471") && taken(" 050471\n"));
        for other in ["", "50471", "0050471", "05047", "o50471", "٠٥٠٤٧١", "050471 0", "-50471"] {
            assert!(!taken(other), "{other}");
        }
    }

    #[test]
    fn an_app_is_told_whose_codes_they_are() {
        let address = EmailAddress::parse("ada@acme.test").unwrap();
        let shown = VECTORS.shown("Acme: the works", &address);
        let uri = shown.provisioning_uri.expose_secret();
        assert!(uri.starts_with("otpauth://totp/Acme%20%20the%20works:ada%40acme.test?secret="), "{uri}");
        assert!(uri.contains("secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"), "{uri}");
        assert_eq!(shown.secret.expose_secret(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert!(!VECTORS.shown("", &address).provisioning_uri.expose_secret().is_empty());
    }

    #[test]
    fn ten_codes_that_differ() {
        let codes = RecoveryCodes::random();
        let texts: std::collections::HashSet<_> = codes.texts().into_iter().collect();
        assert_eq!(texts.len(), RECOVERY_CODES);
        let kept: RecoveryCodes = serde_json::from_str(&serde_json::to_string(&codes).unwrap()).unwrap();
        assert_eq!(kept.texts(), codes.texts());
        let (ada, grace) = (tenancy::IdentityId::new(), tenancy::IdentityId::new());
        assert_ne!(codes.hashes(ada), codes.hashes(grace), "a code is one person's");
    }

    proptest! {
        #[test]
        fn a_recovery_code_is_read_however_it_is_written(bytes: [u8; CODE_BYTES], upper: bool, separator in "[ -]{0,2}") {
            let text = RecoveryCode(bytes).text().expose_secret().to_owned();
            prop_assert_eq!(text.len(), 19);
            let written = text.replace('-', &separator);
            let written = if upper { written.to_uppercase().replace('0', "O").replace('1', "L") } else { written };
            prop_assert_eq!(RecoveryCode::parse(&written).map(|code| code.0), Some(bytes));
            let (shorter, longer) = (&text[1..], format!("{}0", text));
            prop_assert!(RecoveryCode::parse(shorter).is_none() && RecoveryCode::parse(&longer).is_none());
        }

        #[test]
        fn anything_else_is_no_code(text in "\\PC{0,40}") {
            let _ = RecoveryCode::parse(&text);
            let _ = VECTORS.step_of(&text, at(1_111_111_111), 0);
        }
    }
}
