//! Email addresses: one rule by which every spelling of an address becomes one.
//!
//! 1. Refused as they came: invisible, control, bidirectional and white-space characters anywhere; anything but one `@`. Nothing
//!    is trimmed.
//! 2. Compatibility forms are folded (NFKC: full width, ligatures), both parts are put in lower case.
//! 3. The domain becomes ASCII by UTS #46 (`bücher.test` is `xn--bcher-kva.test`); it has two labels or more and no dot at its end.
//! 4. The local part keeps its dots and what follows a plus: whether `a.b+c` reaches `ab` is for that domain alone to say.
//!
//! The normalized form is what is compared, stored and shown, and at most 254 bytes long (RFC 5321).

use std::fmt;

use unicode_normalization::UnicodeNormalization;

use super::Fault;

const BYTES: usize = 254;
const LOCAL_BYTES: usize = 64;
/// No form that is folded away is longer than this times what it becomes; a longer text is not looked at.
const RAW_BYTES: usize = 4 * BYTES;

/// A normalized address.
#[derive(Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct EmailAddress(String);

impl fmt::Debug for EmailAddress {
    /// An address is no matter for a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailAddress(..)")
    }
}

impl EmailAddress {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text.is_empty() {
            return Err(Fault("is required"));
        }
        if text.len() > RAW_BYTES {
            return Err(Fault("must be at most 254 bytes"));
        }
        if text.chars().any(is_hidden) {
            return Err(Fault("must not hold white space, control, invisible or bidirectional characters"));
        }
        let folded = fold(text);
        let Some((local, domain)) = folded.split_once('@') else { return Err(Fault("must hold an @")) };
        if domain.contains('@') {
            return Err(Fault("must hold one @ only"));
        }
        check_local(local)?;
        let domain = normal_domain(domain)?;
        let address = format!("{local}@{domain}");
        if address.len() > BYTES {
            return Err(Fault("must be at most 254 bytes"));
        }
        Ok(Self(address))
    }

    /// An address that was normalized before it was stored.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }

    /// What stands before the last `@`.
    pub fn local(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(local, _)| local)
    }

    /// What stands behind the last `@`.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The beginning of an address, folded as addresses are, for a filter.
    pub fn fold_prefix(text: &str) -> Result<String, Fault> {
        if text.len() > BYTES || text.chars().any(is_hidden) {
            return Err(Fault("must be the beginning of an address, at most 254 bytes"));
        }
        Ok(fold(text))
    }
}

/// NFKC and lower case, until neither changes anything more: a lower-cased letter may compose anew. Letter by letter, so that the case of
/// a letter does not hang on its neighbours, as that of a final sigma does.
fn fold(text: &str) -> String {
    let mut folded: String = text.to_owned();
    loop {
        let next: String = folded.nfkc().flat_map(char::to_lowercase).nfkc().collect();
        if next == folded {
            return folded;
        }
        folded = next;
    }
}

/// What a reader does not see, or sees elsewhere than it stands.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || c.is_whitespace()
        || matches!(c,
            '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
            | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
            | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}'
            | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

fn check_local(local: &str) -> Result<(), Fault> {
    if local.is_empty() {
        return Err(Fault("must have a part before the @"));
    }
    if local.len() > LOCAL_BYTES {
        return Err(Fault("must have at most 64 bytes before the @"));
    }
    // RFC 5322 `atext`, and the letters and digits of all scripts (RFC 6532). Quoted local parts are not taken.
    let plain = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    if !local.split('.').all(|part| !part.is_empty() && part.chars().all(plain)) {
        return Err(Fault("must hold letters, digits, single dots and !#$%&'*+-/=?^_`{|}~ before the @"));
    }
    Ok(())
}

fn normal_domain(domain: &str) -> Result<String, Fault> {
    if domain.ends_with('.') {
        return Err(Fault("must not end with a dot"));
    }
    let wrong = Fault("must have the name of a domain after the @, such as example.com");
    let ascii = idna::domain_to_ascii_strict(domain).map_err(|_| wrong)?;
    // A last label of digits is an address of a machine, in one of its many spellings.
    let last = ascii.rsplit('.').next().unwrap_or_default();
    if !ascii.contains('.') || ascii.ends_with('.') || last.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong);
    }
    Ok(ascii)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(text: &str) -> Result<String, Fault> {
        EmailAddress::parse(text).map(|address| address.0)
    }

    #[test]
    fn the_spellings_of_one_address_become_one() {
        for (one, other) in [
            ("Ada@Acme.test", "ada@acme.test"),
            ("ada@ACME.TEST", "ada@acme.test"),
            ("ａｄａ@acme.test", "ada@acme.test"),
            ("ada@ａｃｍｅ.ｔｅｓｔ", "ada@acme.test"),
            ("ada@bücher.test", "ada@xn--bcher-kva.test"),
            ("ada@BÜCHER.test", "ada@xn--bcher-kva.test"),
            ("ada@bu\u{308}cher.test", "ada@xn--bcher-kva.test"),
            ("ada@XN--BCHER-KVA.test", "ada@xn--bcher-kva.test"),
            ("ada@acme。test", "ada@acme.test"),
            ("ada＠acme.test", "ada@acme.test"),
            ("JOSE\u{301}@acme.test", "josé@acme.test"),
        ] {
            assert_eq!(normal(one).as_deref(), Ok(other), "{one}");
        }
    }

    #[test]
    fn what_a_domain_may_tell_apart_is_kept_apart() {
        for (one, other) in [
            ("ada@acme.test", "ada+news@acme.test"),
            ("ada@acme.test", "a.da@acme.test"),
            ("ada@acme.test", "аda@acme.test"),
            ("ada@acme.test", "ada@аcme.test"),
        ] {
            assert_ne!(normal(one).unwrap(), normal(other).unwrap());
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in [
            "",
            "@",
            "ada",
            "ada@",
            "@acme.test",
            "ada@acme",
            "ada@acme.test.",
            "ada@acme.test。",
            "ada@@acme.test",
            "a@b@acme.test",
            " ada@acme.test",
            "ada@acme.test ",
            "ada@acme.test\n",
            "a da@acme.test",
            "ada@ac me.test",
            "ada\u{200B}@acme.test",
            "ada@ac\u{AD}me.test",
            "ada@acme\u{202E}.test",
            "\u{FEFF}ada@acme.test",
            "a\0@acme.test",
            ".ada@acme.test",
            "ada.@acme.test",
            "a..b@acme.test",
            "\"ada\"@acme.test",
            "ada@[127.0.0.1]",
            "ada@127.0.0.1",
            "ada@-acme.test",
            "ada@acme..test",
            "ada@.test",
            "ada@ac_me.test",
            "<ada@acme.test>",
            "a,b@acme.test",
        ] {
            assert!(normal(bad).is_err(), "{bad:?}");
        }
        assert!(normal(&format!("{}@acme.test", "a".repeat(65))).is_err());
        assert!(
            normal(&format!("a@{}", ["b".repeat(63), "c".repeat(63), "d".repeat(63), "e".repeat(63)].join(".")))
                .is_err()
        );
        assert!(normal(&"a".repeat(100_000)).is_err());
    }

    proptest! {
        #[test]
        fn a_normal_address_is_its_own_normal_form(text in "\\PC{1,12}@\\PC{1,10}\\.[a-zA-Zß]{2,6}") {
            if let Ok(address) = normal(&text) {
                prop_assert_eq!(normal(&address), Ok(address.clone()));
                prop_assert!(address.len() <= BYTES && address.matches('@').count() == 1);
                prop_assert!(!address.chars().any(is_hidden) && !address.ends_with('.'));
            }
        }

        #[test]
        fn case_and_width_make_no_difference(local in "[a-z0-9][a-z0-9+._-]{0,8}[a-z0-9]", domain in "[a-z0-9]{1,8}\\.[a-z]{2,5}") {
            let text = format!("{local}@{domain}");
            let Ok(address) = normal(&text) else { return Ok(()) };
            let wide: String = text.chars().map(|c| char::from_u32(c as u32 + 0xFEE0).filter(|_| c.is_ascii_alphanumeric()).unwrap_or(c)).collect();
            prop_assert_eq!(normal(&text.to_uppercase()), Ok(address.clone()));
            prop_assert_eq!(normal(&wide), Ok(address));
        }
    }
}
