//! Domain names as they stand behind the `@` of an email address.

use super::{Fault, text};

text! {
    /// In lower case and ASCII form, without a dot at the end.
    EmailDomain;
}

/// Where anybody gets an address: whoever lets these in lets everybody in.
const PUBLIC_PROVIDERS: &[&str] = &[
    "126.com",
    "163.com",
    "aol.com",
    "fastmail.com",
    "free.fr",
    "gmail.com",
    "gmx.com",
    "gmx.de",
    "gmx.net",
    "googlemail.com",
    "hey.com",
    "hotmail.co.uk",
    "hotmail.com",
    "hotmail.fr",
    "icloud.com",
    "laposte.net",
    "libero.it",
    "live.com",
    "mac.com",
    "mail.com",
    "mail.ru",
    "me.com",
    "msn.com",
    "naver.com",
    "orange.fr",
    "outlook.com",
    "pm.me",
    "proton.me",
    "protonmail.com",
    "qq.com",
    "rediffmail.com",
    "t-online.de",
    "tuta.io",
    "tutanota.com",
    "web.de",
    "yahoo.co.jp",
    "yahoo.co.uk",
    "yahoo.com",
    "yahoo.de",
    "yahoo.fr",
    "yandex.com",
    "yandex.ru",
    "ymail.com",
    "zoho.com",
];

impl EmailDomain {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let name = host_name(text).ok_or(Fault("must be a domain name such as acme.test"))?;
        if PUBLIC_PROVIDERS.contains(&name.as_str()) {
            return Err(Fault("must not be a public mail provider, where anybody gets an address"));
        }
        Ok(Self(name))
    }
}

/// The ASCII form of a domain name of two labels or more; None if the text is no such name.
pub(super) fn host_name(text: &str) -> Option<String> {
    // The URL parser would decode `%` and cut at `/`, so nothing of the kind may reach it.
    if text.is_empty()
        || text.len() > 1024
        || text.chars().any(|c| c.is_ascii() && !(c.is_ascii_alphanumeric() || c == '-' || c == '.'))
    {
        return None;
    }
    let url::Host::Domain(name) = url::Host::parse(text).ok()? else { return None };
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    (name.len() <= 253 && name.contains('.') && name.split('.').all(label)).then_some(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_kept_in_its_ascii_form() {
        assert_eq!(EmailDomain::parse("ACME.Test").unwrap().as_str(), "acme.test");
        assert_eq!(EmailDomain::parse("Bücher.example").unwrap().as_str(), "xn--bcher-kva.example");
    }

    #[test]
    fn what_is_no_mail_domain_is_refused() {
        for bad in [
            "",
            "acme",
            "acme.test.",
            ".test",
            "a..b",
            "-a.test",
            "a_b.test",
            "127.0.0.1",
            "[::1]",
            "a.test/b",
            "%61.test",
            "ada@acme.test",
        ] {
            assert!(EmailDomain::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_public_provider_is_refused_in_any_spelling() {
        assert!(PUBLIC_PROVIDERS.is_sorted());
        assert!(EmailDomain::parse("GMail.com").is_err());
        assert!(EmailDomain::parse("mail.gmail.com").is_ok(), "another name");
    }

    proptest! {
        #[test]
        fn what_was_kept_is_good_again(text in "\\PC{0,20}|[a-zA-ZäöÜ0-9.-]{1,40}") {
            if let Ok(domain) = EmailDomain::parse(&text) {
                prop_assert_eq!(EmailDomain::parse(domain.as_str()), Ok(domain.clone()));
                prop_assert!(domain.as_str().is_ascii());
            }
        }
    }
}
