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
    "alice.it",
    "aol.co.uk",
    "aol.com",
    "aol.de",
    "aol.fr",
    "att.net",
    "bellsouth.net",
    "bk.ru",
    "bluewin.ch",
    "bol.com.br",
    "btinternet.com",
    "charter.net",
    "comcast.net",
    "cox.net",
    "daum.net",
    "duck.com",
    "earthlink.net",
    "email.com",
    "fastmail.com",
    "fastmail.fm",
    "foxmail.com",
    "free.fr",
    "freenet.de",
    "gmail.com",
    "gmx.at",
    "gmx.ch",
    "gmx.com",
    "gmx.de",
    "gmx.net",
    "gmx.us",
    "googlemail.com",
    "hanmail.net",
    "hey.com",
    "hotmail.ca",
    "hotmail.co.uk",
    "hotmail.com",
    "hotmail.de",
    "hotmail.es",
    "hotmail.fr",
    "hotmail.it",
    "hushmail.com",
    "icloud.com",
    "inbox.lv",
    "inbox.ru",
    "interia.pl",
    "laposte.net",
    "libero.it",
    "list.ru",
    "live.ca",
    "live.co.uk",
    "live.com",
    "live.fr",
    "live.nl",
    "mac.com",
    "mail.com",
    "mail.de",
    "mail.ee",
    "mail.ru",
    "mailbox.org",
    "mailfence.com",
    "mailinator.com",
    "me.com",
    "msn.cn",
    "msn.com",
    "nate.com",
    "naver.com",
    "neuf.fr",
    "ntlworld.com",
    "o2.pl",
    "onet.pl",
    "orange.fr",
    "outlook.com",
    "outlook.de",
    "outlook.es",
    "outlook.fr",
    "outlook.it",
    "passport.com",
    "pm.me",
    "posteo.de",
    "proton.me",
    "protonmail.ch",
    "protonmail.com",
    "qq.com",
    "rambler.ru",
    "rediffmail.com",
    "riseup.net",
    "rocketmail.com",
    "runbox.com",
    "sbcglobal.net",
    "seznam.cz",
    "sfr.fr",
    "sina.com",
    "sky.com",
    "sohu.com",
    "startmail.com",
    "t-online.de",
    "telia.com",
    "tiscali.it",
    "tuta.com",
    "tuta.io",
    "tutamail.com",
    "tutanota.com",
    "tutanota.de",
    "ukr.net",
    "uol.com.br",
    "verizon.net",
    "virgilio.it",
    "vivaldi.net",
    "wanadoo.fr",
    "web.de",
    "wp.pl",
    "ya.ru",
    "yahoo.ca",
    "yahoo.co.in",
    "yahoo.co.jp",
    "yahoo.co.uk",
    "yahoo.com",
    "yahoo.com.ar",
    "yahoo.com.au",
    "yahoo.com.br",
    "yahoo.com.mx",
    "yahoo.de",
    "yahoo.es",
    "yahoo.fr",
    "yahoo.in",
    "yahoo.it",
    "yandex.by",
    "yandex.com",
    "yandex.kz",
    "yandex.ru",
    "yeah.net",
    "ymail.com",
    "zoho.com",
    "zoho.eu",
    "zohomail.com",
];

impl EmailDomain {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let name = host_name(text).ok_or(Fault("must be a domain name such as acme.test"))?;
        if is_public_provider(&name) {
            return Err(Fault("must not be a public mail provider, where anybody gets an address"));
        }
        Ok(Self(name))
    }
}

/// Whether anybody gets an address under this name, which is in ASCII form.
pub(super) fn is_public_provider(name: &str) -> bool {
    PUBLIC_PROVIDERS.binary_search(&name).is_ok()
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
