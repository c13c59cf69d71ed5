//! Texts that people and products give.

use unicode_normalization::UnicodeNormalization;

use super::{Fault, text};

text! {
    /// What somebody or something is called: at most 200 characters on one line, normalized to NFC. May be empty.
    Name;
    /// The customer's own key for a member: 1 to 256 bytes, compared as they stand.
    ExternalId;
    /// A line of the inviter's own: at most 1,000 characters. May be empty.
    InvitationMessage;
}

const NAME: usize = 200;
const EXTERNAL_ID_BYTES: usize = 256;
const MESSAGE: usize = 1000;
/// No composition makes one character of more than so many.
const DECOMPOSED: usize = 4;

/// Ends a line, or turns the text around it.
fn is_disruptive(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

fn composed(text: &str, characters: usize, too_long: Fault) -> Result<String, Fault> {
    if text.chars().nth(DECOMPOSED * characters).is_some() {
        return Err(too_long);
    }
    let text: String = text.nfc().collect();
    if text.chars().nth(characters).is_some() { Err(too_long) } else { Ok(text) }
}

impl Name {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let text = composed(text, NAME, Fault("must be at most 200 characters"))?;
        if text.chars().any(is_disruptive) {
            return Err(Fault("must not hold control characters, line breaks, or overrides of the writing direction"));
        }
        if text.trim() != text {
            return Err(Fault("must not begin or end with white space"));
        }
        Ok(Self(text))
    }

    pub fn required(text: &str) -> Result<Self, Fault> {
        if text.is_empty() { Err(Fault("must be 1 to 200 characters")) } else { Self::parse(text) }
    }
}

impl ExternalId {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text.is_empty() || text.len() > EXTERNAL_ID_BYTES {
            return Err(Fault("must be 1 to 256 bytes"));
        }
        if text.chars().any(is_disruptive) {
            return Err(Fault("may hold printable characters only"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl InvitationMessage {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let text = composed(text, MESSAGE, Fault("must be at most 1,000 characters"))?;
        if text.chars().any(|c| c != '\n' && is_disruptive(c)) {
            return Err(Fault("must not hold control characters other than line breaks"));
        }
        Ok(Self(text))
    }
}

/// A text that is only shown, such as a user agent: without control characters, cut at a character before `bytes`.
pub fn cut(text: &str, bytes: usize) -> String {
    let mut shown = String::new();
    for c in text.chars().filter(|c| !is_disruptive(*c)) {
        if shown.len() + c.len_utf8() > bytes {
            break;
        }
        shown.push(c);
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_bounded_and_read_as_they_stand() {
        assert_eq!(Name::parse("Cafe\u{301}").unwrap().as_str(), "Café");
        assert!(Name::parse("").is_ok() && Name::required("").is_err());
        assert!(Name::parse(&"é".repeat(200)).is_ok() && Name::parse(&"é".repeat(201)).is_err());
        for bad in [" Ada", "Ada ", "A\nda", "A\0da", "A\u{202E}da"] {
            assert!(Name::parse(bad).is_err(), "{bad:?}");
        }
        assert!(InvitationMessage::parse("Come in.\nAda").is_ok());
        assert!(InvitationMessage::parse("Come in.\r\nBcc: all").is_err());
        assert!(ExternalId::parse("").is_err() && ExternalId::parse(&"a".repeat(257)).is_err());
    }

    proptest! {
        #[test]
        fn a_cut_is_a_text_within_its_bounds(text in "\\PC{0,80}|.{0,80}", bytes in 0usize..64) {
            let shown = cut(&text, bytes);
            prop_assert!(shown.len() <= bytes && !shown.chars().any(is_disruptive));
        }
    }
}
