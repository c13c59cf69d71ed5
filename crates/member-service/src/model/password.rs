//! Which passwords are taken.
//!
//! Length is what counts (NIST SP 800-63B-4): 15 characters where the password stands alone, 8 beside a second factor; no rules about
//! kinds of characters, but none that is guessed first: none of the commonest, also said over, no repetition of a few characters, no run
//! along the alphabet, the digits or the keyboard, and not the person's own address. A password is the same however the keyboard composes
//! its letters: what is hashed is its NFKC form.

use std::fmt;

use unicode_normalization::UnicodeNormalization;

use super::EmailAddress;

const MIN_CHARACTERS: usize = 8;
/// From here on a password may stand alone.
const ALONE_CHARACTERS: usize = 15;
/// A longer one is refused, and at sign-in it is wrong: hashing must not be fed without bounds.
pub const MAX_CHARACTERS: usize = 256;
/// What is shorter than this and said over and over is no better than said once.
const UNIT_CHARACTERS: usize = 8;

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

/// Rows of keyboards, and the orders that everybody knows. Read in both directions.
const RUNS: &[&str] = &[
    "abcdefghijklmnopqrstuvwxyz",
    "0123456789012345678901234567890",
    "1234567890-=",
    "qwertyuiop[]",
    "qwertyuiopasdfghjklzxcvbnm",
    "asdfghjkl;'zxcvbnm,./",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/",
    "1q2w3e4r5t6y7u8i9o0p",
];

/// Why a password is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    #[error("must be 8 to 256 characters")]
    Length,
    #[error("must be at least 15 characters: nothing else proves here who signs in")]
    Alone,
    #[error("is among the first that anybody would guess")]
    Common,
    #[error("must not be the person's own email address")]
    OwnAddress,
}

/// What is hashed of a password as it was typed. None of one that is longer than any that is taken.
pub fn hashed_form(text: &str) -> Option<String> {
    match text.chars().nth(MAX_CHARACTERS) {
        Some(_) => None,
        None => Some(text.nfkc().collect()),
    }
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
    pub fn parse(text: &str) -> Result<Self, WeakPassword> {
        let form = hashed_form(text).ok_or(WeakPassword::Length)?;
        if form.chars().take(MIN_CHARACTERS).count() < MIN_CHARACTERS {
            return Err(WeakPassword::Length);
        }
        let folded: Vec<char> = form.to_lowercase().chars().collect();
        if is_guessed(&folded) {
            return Err(WeakPassword::Common);
        }
        Ok(Self(form))
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

    /// Whether it lets in beside a second factor only.
    pub fn is_short(&self) -> bool {
        self.0.chars().take(ALONE_CHARACTERS).count() < ALONE_CHARACTERS
    }

    pub fn text(&self) -> &str {
        &self.0
    }

    pub fn into_text(self) -> String {
        self.0
    }
}

fn is_guessed(folded: &[char]) -> bool {
    let unit = unit(folded);
    let word: String = unit.iter().collect();
    let said_over = unit.len() < folded.len() && unit.len() < UNIT_CHARACTERS;
    said_over || COMMONEST.contains(&word.as_str()) || is_run(unit)
}

/// What a text is said over of, the last time perhaps not to the end: the text itself where it is no repetition.
fn unit(text: &[char]) -> &[char] {
    let repeats = |length: &usize| text.iter().zip(&text[*length..]).all(|(a, b)| a == b);
    let length = (1..=text.len() / 2).find(repeats).unwrap_or(text.len());
    &text[..length]
}

/// One character over and over, or each the next or the previous of the one before, in an order that everybody knows.
fn is_run(text: &[char]) -> bool {
    let mut steps = text.windows(2).map(|pair| i64::from(u32::from(pair[1])) - i64::from(u32::from(pair[0])));
    if steps.next().is_some_and(|first| (-1..=1).contains(&first) && steps.all(|step| step == first)) {
        return true;
    }
    let (forth, back): (String, String) = (text.iter().collect(), text.iter().rev().collect());
    RUNS.iter().any(|run| run.contains(&forth) || run.contains(&back))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<(), WeakPassword> {
        NewPassword::parse(text).map(drop)
    }

    #[test]
    fn the_first_guesses_are_refused() {
        for common in [
            "password",
            "PassWord",
            "ｐａｓｓｗｏｒｄ",
            "passwordpassword",
            "PasswordPasswordPass",
            "aaaaaaaaaa",
            "abcabcabcabcabcabc",
            "12345678",
            "123456789012345",
            "1234567890123456789",
            "23456789",
            "abcdefgh",
            "abcdefghijklmnopqrst",
            "87654321",
            "Qwertyuiop",
            "qwertyuiopasdfghjkl",
            "poiuytrewq",
            "1qaz2wsx3edc4rfv",
            "        ",
        ] {
            assert_eq!(parse(common), Err(WeakPassword::Common), "{common}");
        }
        for text in ["päßwörtär", "correct horse battery staple", "🐴🔋📎✅ more of it", "mypasswordpassword"]
        {
            assert_eq!(parse(text), Ok(()), "{text}");
        }
        assert!(COMMONEST.iter().all(|word| word.chars().count() >= MIN_CHARACTERS && word.to_lowercase() == *word));
    }

    #[test]
    fn length_is_counted_in_characters_and_bounded() {
        assert_eq!(parse("1234567"), Err(WeakPassword::Length));
        let long: String = (0..128).map(|n| format!("{}é", char::from(b'a' + n % 23))).collect();
        assert_eq!(parse(&long), Ok(()));
        assert_eq!(parse(&(long + "x")), Err(WeakPassword::Length));
        assert!(NewPassword::parse("fourteen chars").unwrap().is_short());
        assert!(!NewPassword::parse("fifteen chars !").unwrap().is_short());
        assert!(NewPassword::parse("päßwörtär").unwrap().is_short());
    }

    #[test]
    fn ones_own_address_is_no_password() {
        let ada = EmailAddress::parse("ada.lovelace@acme.test").unwrap();
        let fits = |text: &str| NewPassword::parse(text).unwrap().fits(&ada);
        assert_eq!(fits("Ada.Lovelace@acme.test"), Err(WeakPassword::OwnAddress));
        assert_eq!(fits("ADA.lovelace"), Err(WeakPassword::OwnAddress));
        assert_eq!(fits("ada.lovelace 1815"), Ok(()));
    }

    proptest! {
        #[test]
        fn what_was_set_is_what_is_typed(text in "\\PC{0,300}") {
            if let Ok(set) = NewPassword::parse(&text) {
                let nfd: String = text.nfd().collect();
                let hashed = hashed_form(&text);
                prop_assert_eq!(hashed.as_deref(), Some(set.text()));
                if let Some(typed) = hashed_form(&nfd) {
                    prop_assert_eq!(typed.as_str(), set.text(), "however it is composed");
                }
            }
        }

        #[test]
        fn a_few_characters_said_over_are_refused(few in "[a-z0-9]{1,7}", more in 2_usize..20) {
            let text: String = few.chars().cycle().take((few.len() * more).max(8)).collect();
            prop_assert!(parse(&text).is_err());
        }
    }
}
