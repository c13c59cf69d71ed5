//! Ids: a TypeID (prefix, underscore, a UUIDv7 in 26 characters of Crockford's base 32), each kind a type of its own.
//!
//! The text form is what callers see; the database stores the uuid. Parsing is strict (lower case, the right prefix, no
//! overflow), so that one id has one spelling.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 26;

/// Why a text is not the id that was asked for. Names the prefix that was expected, never the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an id of the form {prefix}_<26 characters>")]
pub struct IdError {
    prefix: &'static str,
}

fn encode(uuid: Uuid, out: &mut String) {
    let bits = uuid.as_u128();
    for at in (0..LENGTH).rev() {
        out.push(char::from(ALPHABET[((bits >> (5 * at)) & 31) as usize]));
    }
}

/// A character's digit; `NONE` of those that are none.
const DIGITS: [u8; 256] = {
    let mut digits = [NONE; 256];
    let mut digit = 0;
    while digit < ALPHABET.len() {
        digits[ALPHABET[digit] as usize] = digit as u8;
        digit += 1;
    }
    digits
};
const NONE: u8 = u8::MAX;

fn decode(text: &str) -> Option<Uuid> {
    let text: &[u8; LENGTH] = text.as_bytes().try_into().ok()?;
    let (mut bits, mut wrong) = (0u128, u8::from(text[0] > b'7'));
    for byte in text {
        let digit = DIGITS[usize::from(*byte)];
        wrong |= digit & !31;
        bits = (bits << 5) | u128::from(digit & 31);
    }
    (wrong == 0).then(|| Uuid::from_u128(bits))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type)]
        #[sqlx(transparent)]
        pub struct $name(Uuid);

        impl $name {
            pub const PREFIX: &'static str = $prefix;

            /// A new id: never given before, ordered by time.
            #[expect(clippy::new_without_default, reason = "two calls give two ids")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = String::with_capacity($prefix.len() + 1 + LENGTH);
                text.push_str($prefix);
                text.push('_');
                encode(self.0, &mut text);
                f.write_str(&text)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix($prefix)
                    .and_then(|rest| rest.strip_prefix('_'))
                    .and_then(decode)
                    .map(Self)
                    .ok_or(IdError { prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// One product built on Guildhall: the outer wall.
    ProjectId = "proj";
    /// A tenant of a project.
    OrganizationId = "org";
    DomainId = "domain";
    ConnectionId = "connection";
    /// A person's sign-in inside a user pool.
    IdentityId = "identity";
    /// An identity inside one organization.
    MemberId = "member";
    InvitationId = "invitation";
    SessionId = "session";
    /// A sign-in that has not entered an organization yet.
    IntermediateSessionId = "intermediate";
    SsoSignInId = "sso";
    ServiceAccountId = "sa";
    ApiKeyId = "key";
    ChallengeId = "challenge";
    RoleId = "role";
    GroupId = "group";
    BindingId = "binding";
    EventId = "event";
}

impl From<ProjectId> for OrganizationId {
    /// The project itself as the owner of rows and of an event chain: it stands under its own uuid where an organization
    /// would.
    fn from(project: ProjectId) -> Self {
        Self(project.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_text_form_is_the_published_one() {
        // The example of the TypeID specification: 01890a5d-ac96-774b-bcce-b302099a8057.
        let uuid = Uuid::from_u128(0x0189_0a5d_ac96_774b_bcce_b302_099a_8057);
        assert_eq!(MemberId::from_uuid(uuid).to_string(), "member_01h455vb4pex5vsknk084sn02q");
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let member = MemberId::new().to_string();
        assert!(member.parse::<OrganizationId>().is_err());
        assert!(member.to_uppercase().parse::<MemberId>().is_err());
        assert!(member.replacen("member_0", "member_8", 1).parse::<MemberId>().is_err(), "more than 128 bits");
        assert!("member_".parse::<MemberId>().is_err());
        assert!("member_01h455vb4pex5vsknk084sn02l".parse::<MemberId>().is_err(), "l is not in the alphabet");
    }

    proptest! {
        #[test]
        fn every_uuid_survives_its_text_form(bits: u128) {
            let id = OrganizationId::from_uuid(Uuid::from_u128(bits));
            prop_assert_eq!(id.to_string().parse::<OrganizationId>(), Ok(id));
        }

        #[test]
        fn whatever_parses_has_one_spelling(text in "org_[0-9a-z]{24,28}") {
            if let Ok(id) = text.parse::<OrganizationId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
