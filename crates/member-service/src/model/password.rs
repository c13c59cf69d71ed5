//! Which passwords are taken.
//!
//! Length is what counts (NIST SP 800-63B): no rules about kinds of characters, but none of the commonest, no repetition of one
//! character, no run along the alphabet or the digits, and not the person's own address.

use std::fmt;

use super::EmailAddress;

const MIN_CHARACTERS: usize = 8;
/// A longer one is refused, and at sign-in it is wrong: hashing must not be fed without bounds.
pub const MAX_CHARACTERS: usize = 256;

/// In lower case, of 8 characters or more: shorter ones are refused by length.
const COMMONEST: &[&str] = &[
    "password",
    "password1",
    "password12",
    "password123",
    "password1234",
    "password!",
    "passw0rd",
    "p@ssword",
    "p@ssw0rd",
    "passwort",
    "contraseña",
    "motdepasse",
    "qwertyui",
    "qwertyuiop",
    "qwerty123",
    "qwerty12",
    "qwerty1234",
    "qwertz123",
    "azertyuiop",
    "1q2w3e4r",
    "1q2w3e4r5t",
    "1qaz2wsx",
    "zaq12wsx",
    "qazwsxedc",
    "asdfghjkl",
    "zxcvbnm123",
    "letmein1",
    "letmein123",
    "iloveyou",
    "iloveyou1",
    "princess",
    "sunshine",
    "football",
    "baseball",
    "superman",
    "trustno1",
    "welcome1",
    "welcome123",
    "admin123",
    "admin1234",
    "administrator",
    "changeme",
    "changeme1",
    "changeme123",
    "whatever",
    "computer",
    "internet",
    "starwars",
    "michelle",
    "jennifer",
    "charlie1",
    "monkey123",
    "dragon123",
    "master123",
    "shadow123",
    "abc12345",
    "abcd1234",
    "a1b2c3d4",
    "aa123456",
    "test1234",
    "testtest",
    "secret123",
    "samsung1",
    "liverpool",
    "chelsea1",
    "arsenal1",
    "11223344",
    "12344321",
    "12341234",
    "123123123",
    "147258369",
    "741852963",
    "987654321",
    "1234567890",
    "0123456789",
    "12345678910",
    "123456789a",
    "a123456789",
    "q1w2e3r4",
    "guest123",
    "default1",
    "temp1234",
    "summer2024",
    "winter2024",
    "summer2025",
    "winter2025",
    "summer2026",
    "winter2026",
];

/// Why a password is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    #[error("must be 8 to 256 characters")]
    Length,
    #[error("is among the first that anybody would guess")]
    Common,
    #[error("must not be the person's own email address")]
    OwnAddress,
}

/// A password that may be set.
#[derive(Clone)]
pub struct NewPassword(String);

impl fmt::Debug for NewPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewPassword(..)")
    }
}

impl NewPassword {
    pub fn parse(text: String) -> Result<Self, WeakPassword> {
        let characters = text.chars().take(MAX_CHARACTERS + 1).count();
        if !(MIN_CHARACTERS..=MAX_CHARACTERS).contains(&characters) {
            return Err(WeakPassword::Length);
        }
        let folded = text.to_lowercase();
        if COMMONEST.contains(&folded.as_str()) || is_run(&folded) {
            return Err(WeakPassword::Common);
        }
        Ok(Self(text))
    }

    /// Not the address itself, nor the part before its @ where that is long enough to be a password.
    pub fn fits(&self, address: &EmailAddress) -> Result<(), WeakPassword> {
        let folded = self.0.to_lowercase();
        let local = address.as_str().split('@').next();
        if folded == address.as_str() || Some(folded.as_str()) == local {
            Err(WeakPassword::OwnAddress)
        } else {
            Ok(())
        }
    }

    pub fn text(&self) -> &str {
        &self.0
    }

    pub fn into_text(self) -> String {
        self.0
    }
}

/// One character over and over, or each the next or the previous of the one before.
fn is_run(text: &str) -> bool {
    let codes: Vec<i64> = text.chars().map(|c| i64::from(u32::from(c))).collect();
    let mut steps = codes.windows(2).map(|pair| pair[1] - pair[0]);
    steps.next().is_some_and(|first| (-1..=1).contains(&first) && steps.all(|step| step == first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_guesses_are_refused() {
        let parse = |text: &str| NewPassword::parse(text.to_owned()).map(drop);
        for common in
            ["password", "PassWord", "aaaaaaaaaa", "12345678", "23456789", "abcdefgh", "87654321", "Qwertyuiop"]
        {
            assert_eq!(parse(common), Err(WeakPassword::Common), "{common}");
        }
        for (text, outcome) in [
            ("1234567", Err(WeakPassword::Length)),
            ("päßwörtär", Ok(())),
            ("correct horse battery staple", Ok(())),
            ("        ", Err(WeakPassword::Common)),
        ] {
            assert_eq!(parse(text), outcome, "{text}");
        }
        assert_eq!(parse(&"aé".repeat(128)), Ok(()));
        assert_eq!(parse(&("aé".repeat(128) + "x")), Err(WeakPassword::Length));
        assert!(COMMONEST.iter().all(|word| word.chars().count() >= MIN_CHARACTERS && word.to_lowercase() == *word));
    }

    #[test]
    fn ones_own_address_is_no_password() {
        let ada = EmailAddress::parse("ada.lovelace@acme.test").unwrap();
        let fits = |text: &str| NewPassword::parse(text.to_owned()).unwrap().fits(&ada);
        assert_eq!(fits("Ada.Lovelace@acme.test"), Err(WeakPassword::OwnAddress));
        assert_eq!(fits("ADA.lovelace"), Err(WeakPassword::OwnAddress));
        assert_eq!(fits("ada.lovelace 1815"), Ok(()));
    }
}
