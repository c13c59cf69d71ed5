//! One spelling of an email address, to count attempts by. It folds together everything that member-service takes for the same
//! address, and may fold more: two addresses that share a count are harmless, one address with two counts is not.

use unicode_normalization::UnicodeNormalization;

/// At most this long an address is sent on.
pub const MAX_CHARACTERS: usize = 254;

pub fn canonical(address: &str) -> String {
    let folded = fold(address);
    let Some((local, domain)) = folded.rsplit_once('@') else { return folded };
    // As member-service reads names: what a URL would make of one more (an address of numbers, `%61`) is none of its business here.
    let ascii = idna::domain_to_ascii(domain);
    let domain = ascii.as_deref().unwrap_or(domain).trim_end_matches('.');
    format!("{local}@{domain}")
}

/// As member-service folds, until nothing changes any more: what was composed may have a lower case, and what was put in lower case may
/// compose. One pass alone would leave an address two counts.
fn fold(text: &str) -> String {
    let mut folded: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    loop {
        let next: String = folded.nfkc().flat_map(char::to_lowercase).nfkc().filter(|c| !c.is_whitespace()).collect();
        if next == folded {
            return folded;
        }
        folded = next;
    }
}

/// What is so malformed that no member can have it.
pub fn check(address: &str) -> Result<(), &'static str> {
    if address.chars().count() > MAX_CHARACTERS {
        return Err("must be at most 254 characters");
    }
    match address.trim().rsplit_once('@') {
        Some((local, domain)) if !local.is_empty() && !domain.is_empty() => Ok(()),
        _ => Err("must be an email address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_counts_as_one() {
        for spelling in [
            "ada@acme.test",
            "ADA@Acme.TEST",
            " ada@acme.test ",
            "ada@acme.test.",
            "\u{ff41}da@acme.test",
            "ada@ACME\u{3002}test",
            "ada@acme.test\u{3002}",
        ] {
            assert_eq!(canonical(spelling), "ada@acme.test", "{spelling:?}");
        }
        assert_eq!(canonical("ada@b\u{fc}cher.test"), canonical("ada@xn--bcher-kva.test"));
        // Nobody registers a name that ends in a number; but member-service takes it.
        assert_eq!(canonical("ada@b\u{fc}cher.0x7f"), canonical("ada@xn--bcher-kva.0x7f"));
        assert_ne!(canonical("ada@acme.test"), canonical("adb@acme.test"));
        // In lower case it composes anew.
        assert_eq!(canonical("J\u{30c}@x.test"), canonical("\u{1f0}@x.test"));
    }

    #[test]
    fn an_address_has_two_sides() {
        assert_eq!(check("ada@acme.test"), Ok(()));
        for bad in ["", "@", "ada", "ada@", "@acme.test", &format!("{}@acme.test", "a".repeat(260))] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
