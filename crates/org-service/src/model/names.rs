//! Texts that people and products give: names, keys, reasons.

use unicode_normalization::UnicodeNormalization;

use super::{Fault, text};

text! {
    /// A name for people: 1 to 200 characters in Unicode normalization form C, on one line, that reads the way it is stored.
    DisplayName;
    /// The product's own key for an organization: 1 to 255 printable characters, compared as they stand.
    ExternalId;
    /// What the customer pays for, as the product calls it: 1 to 64 of `a-z 0-9 _ -`.
    Plan;
    /// Why somebody did something, for the audit record: at most 512 characters. May be empty.
    Reason;
}

const DISPLAY_NAME: usize = 200;
const EXTERNAL_ID: usize = 255;
const PLAN: usize = 64;
const REASON: usize = 512;
/// No composition shortens a text by more.
const DECOMPOSED: usize = 4;

/// Ends a line, or does something invisible to the text around it: control characters, line and paragraph separators, embeddings,
/// overrides and isolates of writing direction. The plain direction marks stay: names in Hebrew and Arabic use them.
pub(super) fn is_disruptive(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Leaves ink.
fn is_visible(c: char) -> bool {
    !c.is_whitespace()
        && !matches!(c, '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2060}'..='\u{2064}' | '\u{FEFF}')
}

impl DisplayName {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let length = Fault("must be 1 to 200 characters");
        if text.chars().take(DECOMPOSED * DISPLAY_NAME + 1).count() > DECOMPOSED * DISPLAY_NAME {
            return Err(length);
        }
        let text: String = text.nfc().collect();
        if text.is_empty() || text.chars().count() > DISPLAY_NAME {
            return Err(length);
        }
        if text.chars().any(is_disruptive) {
            return Err(Fault("must not hold control characters, line breaks, or overrides of the writing direction"));
        }
        if text.trim() != text {
            return Err(Fault("must not begin or end with white space"));
        }
        if !text.chars().any(is_visible) {
            return Err(Fault("must hold a visible character"));
        }
        Ok(Self(text))
    }
}

/// A name as the filter by prefix compares it: without regard to case.
pub fn fold(name: &str) -> String {
    name.nfc().flat_map(char::to_lowercase).nfc().collect()
}

impl ExternalId {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text.is_empty() || text.chars().take(EXTERNAL_ID + 1).count() > EXTERNAL_ID {
            return Err(Fault("must be 1 to 255 characters"));
        }
        if text.chars().any(is_disruptive) {
            return Err(Fault("may hold printable characters only"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Plan {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let plain = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        if (1..=PLAN).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Fault("must be 1 to 64 of a-z, 0-9, _ and -"))
        }
    }
}

impl Reason {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text.chars().take(REASON + 1).count() > REASON {
            return Err(Fault("must be at most 512 characters"));
        }
        if text.chars().any(|c| c != '\n' && is_disruptive(c)) {
            return Err(Fault("must not hold control characters other than line breaks"));
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_display_name_is_kept_composed() {
        let name = DisplayName::parse("Cafe\u{301} Zürich").unwrap();
        assert_eq!(name.as_str(), "Café Zürich");
        // 200 letters, each of which came as two characters.
        assert!(DisplayName::parse(&"e\u{301}".repeat(200)).is_ok());
        assert!(DisplayName::parse(&"é".repeat(201)).is_err());
    }

    #[test]
    fn a_display_name_that_misleads_is_refused() {
        for bad in ["", " ", "Acme ", "\u{200B}\u{FEFF}", "Ac\u{202E}me", "a\nb", "a\0b", "a\u{2028}b", "\u{2066}a"] {
            assert!(DisplayName::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["Acme", "O’Neill & Söhne", "שלום\u{200F}", "👩‍🚀", "株式会社"] {
            assert!(DisplayName::parse(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn an_external_id_is_compared_as_it_stands() {
        assert_eq!(ExternalId::parse("Cus_1 é").unwrap().as_str(), "Cus_1 é");
        assert!(ExternalId::parse("").is_err());
        assert!(ExternalId::parse("a\tb").is_err());
        assert!(ExternalId::parse(&"é".repeat(255)).is_ok());
        assert!(ExternalId::parse(&"a".repeat(256)).is_err());
    }

    proptest! {
        #[test]
        fn a_display_name_that_was_kept_is_good_again(text in "\\PC{0,220}|.{0,40}") {
            if let Ok(name) = DisplayName::parse(&text) {
                prop_assert_eq!(DisplayName::parse(name.as_str()), Ok(name.clone()));
                prop_assert!((1..=200).contains(&name.as_str().chars().count()));
            }
        }

        #[test]
        fn a_name_begins_with_its_beginning_in_any_case(name in "[a-zA-ZÄÖÜéñΣ ]{1,20}", at in 0usize..20) {
            let beginning: String = name.chars().take(at).collect();
            prop_assert!(fold(&name).starts_with(&fold(&beginning.to_uppercase())));
        }
    }
}
