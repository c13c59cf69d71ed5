//! Ids as Guildhall writes them: a prefix and a uuid in 26 characters of Crockford's base 32.

use std::{fmt, str::FromStr};

use api::authz::v1 as proto;
use engine::SubjectId;
use proto::subject::Subject as Kind;
use uuid::Uuid;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 26;

/// The text is not such an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be an id of the form {0}_<26 characters>")]
pub struct InvalidId(&'static str);

/// The uuid of an id with this prefix. One id has one spelling.
pub(crate) fn uuid(prefix: &'static str, text: &str) -> Result<Uuid, InvalidId> {
    let digits = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_')).ok_or(InvalidId(prefix))?.as_bytes();
    if digits.len() != LENGTH || digits[0] > b'7' {
        return Err(InvalidId(prefix));
    }
    let mut bits = 0u128;
    for digit in digits {
        let value = ALPHABET.iter().position(|known| known == digit).ok_or(InvalidId(prefix))?;
        bits = (bits << 5) | value as u128;
    }
    Ok(Uuid::from_u128(bits))
}

fn text(prefix: &str, uuid: Uuid) -> String {
    let digits = (0..LENGTH).rev().map(|at| char::from(ALPHABET[((uuid.as_u128() >> (5 * at)) & 31) as usize]));
    prefix.chars().chain(['_']).chain(digits).collect()
}

/// Whom a question is about: a member or a service account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subject {
    id: SubjectId,
}

impl Subject {
    pub(super) fn id(&self) -> &SubjectId {
        &self.id
    }

    pub(super) fn to_proto(self) -> proto::Subject {
        let kind = match self.id {
            SubjectId::ServiceAccount(_) => Kind::ServiceAccountId(self.to_string()),
            _ => Kind::MemberId(self.to_string()),
        };
        proto::Subject { subject: Some(kind) }
    }
}

impl FromStr for Subject {
    type Err = InvalidId;

    /// `member_..` or `sa_..`.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let id = match text.starts_with("sa_") {
            true => SubjectId::ServiceAccount(uuid("sa", text)?),
            false => SubjectId::Member(uuid("member", text)?),
        };
        Ok(Self { id })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            SubjectId::ServiceAccount(id) => f.write_str(&text("sa", id)),
            SubjectId::Member(id) | SubjectId::Group(id) => f.write_str(&text("member", id)),
            SubjectId::AllMembers => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        for good in ["member_01h455vb4pex5vsknk084sn02q", "sa_7zzzzzzzzzzzzzzzzzzzzzzzzz"] {
            assert_eq!(good.parse::<Subject>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "member_",
            "group_01h455vb4pex5vsknk084sn02q",
            "member_01H455vb4pex5vsknk084sn02q",
            "sa_8zzzzzzzzzzzzzzzzzzzzzzzzz",
        ] {
            assert!(bad.parse::<Subject>().is_err(), "{bad}");
        }
    }
}
