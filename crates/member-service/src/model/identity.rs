//! A person's sign-in inside a user pool.

use tenancy::{IdentityId, OrganizationId};
use time::OffsetDateTime;

use super::{AuthFactor, EmailAddress, Fault, Name, text, words};

/// As many addresses as are remembered of those that an identity had before.
const MAX_RETIRED: usize = 20;
const URI_BYTES: usize = 2048;

words! {
    IdentityState { Active = "ACTIVE", Suspended = "SUSPENDED" }
}

text! {
    /// The https address of a picture. May be empty.
    PictureUri;
}

impl PictureUri {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        if text.len() > URI_BYTES {
            return Err(Fault("must be at most 2,048 bytes"));
        }
        // As it stands, not as a parser would mend it.
        let plain = text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'<' | b'>' | b'\\' | b'`'));
        let parsed = url::Url::parse(text).ok().filter(|url| url.scheme() == "https" && url.host_str().is_some());
        if plain && text.starts_with("https://") && parsed.is_some() {
            Ok(Self(text.to_owned()))
        } else {
            Err(Fault("must be an absolute https URI"))
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    pub identity_id: IdentityId,
    /// The key that its rows stand under: the project's own where the project shares one pool.
    pub pool: OrganizationId,
    pub pool_is_project: bool,
    pub email_address: EmailAddress,
    pub email_verified: bool,
    /// Newest first.
    #[serde(default)]
    pub retired_email_addresses: Vec<EmailAddress>,
    pub display_name: Name,
    #[serde(default)]
    pub picture_uri: PictureUri,
    pub has_password: bool,
    /// See [`super::Standing`].
    #[serde(default)]
    pub password_is_short: bool,
    /// An authenticator app is enrolled and confirmed.
    #[serde(default)]
    pub has_totp: bool,
    /// Sessions on the strength of what was proven earlier are over.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub sessions_from: Option<OffsetDateTime>,
    pub state: IdentityState,
    pub revision: i64,
    #[serde(with = "time::serde::rfc3339")]
    pub create_time: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub update_time: OffsetDateTime,
}

/// Of an identity what a membership of it needs.
#[derive(Debug, Clone)]
pub struct Person {
    pub identity_id: IdentityId,
    pub email_address: EmailAddress,
    pub email_verified: bool,
}

impl From<&Identity> for Person {
    fn from(identity: &Identity) -> Self {
        let Identity { identity_id, email_address, email_verified, .. } = identity;
        Self { identity_id: *identity_id, email_address: email_address.clone(), email_verified: *email_verified }
    }
}

impl Identity {
    /// Whether what was proven then is proven no more.
    pub fn outdates(&self, factors: &[AuthFactor]) -> bool {
        let first = factors.iter().map(|factor| factor.time).min();
        self.sessions_from.is_some_and(|from| first.is_none_or(|first| first < from))
    }
}

/// What an update sets; None leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct IdentityChanges {
    pub email_address: Option<EmailAddress>,
    pub display_name: Option<Name>,
    pub picture_uri: Option<PictureUri>,
    pub state: Option<IdentityState>,
    /// Take the second factors away.
    pub forget_second_factors: bool,
}

impl IdentityChanges {
    /// A new address is nobody's proof, and the one before it retires.
    pub fn apply(self, identity: &mut Identity) {
        if let Some(address) = self.email_address
            && address != identity.email_address
        {
            let before = std::mem::replace(&mut identity.email_address, address);
            identity.email_verified = false;
            identity.retired_email_addresses.retain(|retired| *retired != before && *retired != identity.email_address);
            identity.retired_email_addresses.insert(0, before);
            identity.retired_email_addresses.truncate(MAX_RETIRED);
        }
        if let Some(name) = self.display_name {
            identity.display_name = name;
        }
        if let Some(uri) = self.picture_uri {
            identity.picture_uri = uri;
        }
        if self.forget_second_factors {
            identity.has_totp = false;
        }
        if let Some(state) = self.state {
            identity.state = state;
        }
    }
}

/// An identity as another system had it.
#[derive(Debug, Clone)]
pub struct IdentityDraft {
    pub email_address: EmailAddress,
    pub email_verified: bool,
    pub display_name: Name,
    pub picture_uri: PictureUri,
    pub state: IdentityState,
    pub password_hash: Option<super::ForeignHash>,
}

/// Stands for an address of a pool where tries are counted, without being one.
#[derive(Debug, Clone, Copy)]
pub struct AddressTag(pub [u8; 32]);

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> EmailAddress {
        EmailAddress::parse(text).unwrap()
    }

    #[test]
    fn an_address_retires_once_and_is_unproven_when_it_is_new() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let mut identity = Identity {
            identity_id: IdentityId::new(),
            pool: OrganizationId::new(),
            pool_is_project: true,
            email_address: address("a@x.test"),
            email_verified: true,
            retired_email_addresses: Vec::new(),
            display_name: Name::default(),
            picture_uri: PictureUri::default(),
            has_password: false,
            password_is_short: false,
            has_totp: false,
            sessions_from: None,
            state: IdentityState::Active,
            revision: 1,
            create_time: now,
            update_time: now,
        };
        let to = |text: &str| IdentityChanges { email_address: Some(address(text)), ..IdentityChanges::default() };
        to("A@x.test").apply(&mut identity);
        assert!(identity.email_verified && identity.retired_email_addresses.is_empty(), "the same address");
        to("b@x.test").apply(&mut identity);
        assert!(!identity.email_verified);
        to("c@x.test").apply(&mut identity);
        assert_eq!(identity.retired_email_addresses, [address("b@x.test"), address("a@x.test")]);
        to("a@x.test").apply(&mut identity);
        assert_eq!(identity.retired_email_addresses, [address("c@x.test"), address("b@x.test")]);
        for n in 0..30 {
            to(&format!("n{n}@x.test")).apply(&mut identity);
        }
        assert_eq!(identity.retired_email_addresses.len(), MAX_RETIRED);
    }

    #[test]
    fn a_picture_is_an_https_uri() {
        for good in ["", "https://cdn.test/a.png", "https://cdn.test/a?b=c#d"] {
            assert!(PictureUri::parse(good).is_ok(), "{good}");
        }
        for bad in ["http://cdn.test/a", "javascript:alert(1)", "https://", "https://a b", "//cdn.test", "https://x\"y"]
        {
            assert!(PictureUri::parse(bad).is_err(), "{bad}");
        }
        assert!(PictureUri::parse(&format!("https://x.test/{}", "a".repeat(2048))).is_err());
    }
}
