//! Opaque secrets: refresh tokens, API keys, invitations, intermediate sessions. 256 random bits, shown once, stored as SHA-256.
//!
//! A secret names the tenant and the row that it belongs to, so that it is looked up inside that tenant's scope, by primary key,
//! and nothing is ever searched by a secret. A checksum lets a mistyped or truncated one be refused without a database; the
//! prefix lets scanners find leaked ones.

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::{Sealer, sealing};

/// What a secret is for. A secret of one kind is nothing to a method that takes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretKind {
    RefreshToken,
    ApiKey,
    Invitation,
    IntermediateSession,
    /// At the end of the link in a mail that signs in.
    EmailLink,
    /// What goes to an identity provider and comes back.
    SsoState,
}

impl SecretKind {
    fn prefix(self) -> &'static str {
        match self {
            Self::RefreshToken => "ghr_",
            Self::ApiKey => "ghk_",
            Self::Invitation => "ghi_",
            Self::IntermediateSession => "ghs_",
            Self::EmailLink => "ghl_",
            Self::SsoState => "gho_",
        }
    }
}

const UUID: usize = 16;
const RANDOM: usize = 32;
const CHECKSUM: usize = 4;
const BODY: usize = 2 * UUID + RANDOM;

/// SHA-256 of a secret's random part: what the database keeps.
#[derive(Debug, Clone, Copy)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// In constant time.
    pub fn matches(&self, stored: &[u8]) -> bool {
        self.0.as_slice().ct_eq(stored).into()
    }
}

/// A secret just made: the text goes to its owner, the hash to the database.
#[derive(Debug)]
pub struct Issued {
    pub text: SecretString,
    pub hash: SecretHash,
}

/// A secret that a caller presented, well-formed but not yet known to be right.
#[derive(Debug, Clone, Copy)]
pub struct Presented {
    /// The organization (or project) whose scope it is looked up in.
    pub tenant: Uuid,
    /// The row that it opens.
    pub id: Uuid,
    pub hash: SecretHash,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed")]
pub struct Malformed;

pub fn issue(kind: SecretKind, tenant: Uuid, id: Uuid) -> Issued {
    of(kind, tenant, id, &sealing::random())
}

/// What a secret is traded for: the same whenever it is asked for, so that many who trade one in at once get one, and whoever lost the answer gets
/// it again. It follows from the whole secret, which the database does not hold, and from the sealing key: there is one for each, the
/// current one's first.
pub fn successors(sealer: &Sealer, kind: SecretKind, text: &str) -> Result<Vec<Issued>, Malformed> {
    let (id, tenant, _) = body(kind, text)?;
    let purpose = format!("successor of {}", kind.prefix());
    Ok(sealer.tags(&purpose, text.as_bytes()).map(|random| of(kind, tenant, id, &random)).collect())
}

fn of(kind: SecretKind, tenant: Uuid, id: Uuid, random: &[u8; RANDOM]) -> Issued {
    let mut bytes = Vec::with_capacity(BODY + CHECKSUM);
    bytes.extend_from_slice(id.as_bytes());
    bytes.extend_from_slice(tenant.as_bytes());
    bytes.extend_from_slice(random);
    bytes.extend_from_slice(&checksum(kind, &bytes));
    let text = format!("{}{}", kind.prefix(), URL_SAFE_NO_PAD.encode(&bytes));
    Issued { text: text.into(), hash: hash(random) }
}

pub fn parse(kind: SecretKind, text: &str) -> Result<Presented, Malformed> {
    let (id, tenant, hash) = body(kind, text)?;
    Ok(Presented { tenant, id, hash })
}

fn body(kind: SecretKind, text: &str) -> Result<(Uuid, Uuid, SecretHash), Malformed> {
    let encoded = text.strip_prefix(kind.prefix()).ok_or(Malformed)?;
    let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| Malformed)?;
    let (body, sum) = bytes.split_at_checked(BODY).ok_or(Malformed)?;
    if sum != checksum(kind, body) {
        return Err(Malformed);
    }
    let uuid = |at: usize| Uuid::from_slice(&body[at..at + UUID]).map_err(|_| Malformed);
    Ok((uuid(0)?, uuid(UUID)?, hash(&body[2 * UUID..])))
}

/// The part of a secret that may be shown in a list: its kind and the first characters, which are of its id.
pub fn shown_prefix(secret: &SecretString) -> String {
    secret.expose_secret().chars().take(12).collect()
}

fn hash(random: &[u8]) -> SecretHash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, random).as_ref());
    SecretHash(hash)
}

fn checksum(kind: SecretKind, body: &[u8]) -> [u8; CHECKSUM] {
    let mut sum = crc32fast::Hasher::new();
    sum.update(kind.prefix().as_bytes());
    sum.update(body);
    sum.finalize().to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_back_as_it_was_given() {
        let (tenant, id) = (Uuid::now_v7(), Uuid::now_v7());
        let issued = issue(SecretKind::RefreshToken, tenant, id);
        let presented = parse(SecretKind::RefreshToken, issued.text.expose_secret()).unwrap();
        assert_eq!((presented.tenant, presented.id), (tenant, id));
        assert!(presented.hash.matches(issued.hash.as_bytes()));
    }

    #[test]
    fn a_secret_is_traded_for_the_same_next_one_by_who_has_the_key() {
        let line = |id: &str, byte: u8| {
            let key = base64::engine::general_purpose::STANDARD.encode([byte; 32]);
            format!("{id}:{key}\n")
        };
        let sealer = Sealer::parse(&line("one", 1)).unwrap();
        let both = Sealer::parse(&(line("two", 2) + &line("one", 1))).unwrap();
        let (tenant, id) = (Uuid::now_v7(), Uuid::now_v7());
        let issued = issue(SecretKind::RefreshToken, tenant, id);
        let next = |sealer: &Sealer, text: &SecretString| -> Vec<String> {
            let next = successors(sealer, SecretKind::RefreshToken, text.expose_secret()).unwrap();
            next.iter().map(|next| next.text.expose_secret().to_owned()).collect()
        };
        let first = next(&sealer, &issued.text);
        assert_eq!((first.len(), &first), (1, &next(&sealer, &issued.text)));
        let presented = parse(SecretKind::RefreshToken, &first[0]).unwrap();
        assert_eq!((presented.tenant, presented.id), (tenant, id));
        let by_both = next(&both, &issued.text);
        assert!(by_both.len() == 2 && by_both[1] == first[0] && by_both[0] != first[0], "the current key's first");
        let again = next(&sealer, &first[0].clone().into());
        assert!(again != first && next(&sealer, &issue(SecretKind::RefreshToken, tenant, id).text) != first);
        assert!(successors(&sealer, SecretKind::ApiKey, issued.text.expose_secret()).is_err());
    }

    #[test]
    fn another_kind_or_a_changed_character_is_malformed() {
        let issued = issue(SecretKind::ApiKey, Uuid::now_v7(), Uuid::now_v7());
        let text = issued.text.expose_secret();
        assert!(parse(SecretKind::Invitation, text).is_err());
        assert!(parse(SecretKind::Invitation, &text.replacen("ghk_", "ghi_", 1)).is_err());
        for at in 0..text.len() {
            let mut bent: Vec<u8> = text.bytes().collect();
            bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
            assert!(parse(SecretKind::ApiKey, std::str::from_utf8(&bent).unwrap()).is_err(), "character {at}");
            assert!(parse(SecretKind::ApiKey, &text[..at]).is_err(), "cut at {at}");
        }
        assert!(parse(SecretKind::ApiKey, &format!("{text}A")).is_err());
    }
}
