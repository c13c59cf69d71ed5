//! Slugs: an organization's name in addresses.

use tenancy::OrganizationId;

use super::{Fault, text};

const LENGTH: std::ops::RangeInclusive<usize> = 2..=128;

/// What a product is likely to serve beside its organizations under the same host or path, and path segments with a meaning.
const RESERVED: &[&str] = &[
    "..",
    "about",
    "account",
    "admin",
    "api",
    "app",
    "assets",
    "auth",
    "billing",
    "blog",
    "dashboard",
    "docs",
    "help",
    "login",
    "logout",
    "mail",
    "oauth2",
    "public",
    "root",
    "settings",
    "signin",
    "signup",
    "static",
    "status",
    "support",
    "system",
    "www",
];

text! {
    /// 2 to 128 of `a-z 0-9 . _ ~ -`. Unique in a project, for ever.
    Slug;
}

impl Slug {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if !LENGTH.contains(&text.len()) {
            return Err(Fault("must be 2 to 128 characters"));
        }
        if !text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'~' | b'-')) {
            return Err(Fault("may hold a-z, 0-9, and the characters . _ ~ - only"));
        }
        if text.starts_with("org_") {
            return Err(Fault("must not begin with org_, which only ids do"));
        }
        if RESERVED.contains(&text) {
            return Err(Fault("is a reserved word"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The slug of an organization that was given none: its id.
    pub fn of(organization: OrganizationId) -> Self {
        Self(organization.to_string())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_reserved_words_are_slugs_otherwise_and_in_order() {
        for word in RESERVED {
            assert_eq!(Slug::parse(word), Err(Fault("is a reserved word")), "{word}");
        }
        assert!(RESERVED.is_sorted());
        assert!(Slug::parse("admin2").is_ok());
    }

    #[test]
    fn only_an_id_begins_like_an_id() {
        let id = OrganizationId::new();
        assert!(Slug::parse(&id.to_string()).is_err());
        assert_eq!(Slug::of(id).as_str(), id.to_string());
        assert!(Slug::parse("org-acme").is_ok());
    }

    #[test]
    fn the_length_is_bounded_at_both_ends() {
        assert!(Slug::parse("a").is_err());
        assert!(Slug::parse("ab").is_ok());
        assert!(Slug::parse(&"a".repeat(128)).is_ok());
        assert!(Slug::parse(&"a".repeat(129)).is_err());
    }

    proptest! {
        #[test]
        fn whatever_parses_stays_as_it_is_and_is_plain(text in "\\PC{0,8}|[a-z0-9._~-]{0,130}") {
            if let Ok(slug) = Slug::parse(&text) {
                prop_assert_eq!(slug.as_str(), &text);
                prop_assert!(text.is_ascii() && !text.contains('/') && text != "." && text != "..");
            }
        }
    }
}
