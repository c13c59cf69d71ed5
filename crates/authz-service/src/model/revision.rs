//! Revision tokens: how far an organization's authorization had come when an answer was given.
//!
//! What decides in an organization is its own and its project's (catalogue and roles), so a token holds two counters. It is
//! authenticated and names its tenant and the tenant's incarnation: a token of another organization, of another installation or of
//! a history that a restore has undone is refused, not compared. A token of the project's own resources names the project, and is
//! good in every organization of it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use tenancy::{Head, OrganizationId, Sealer};
use uuid::Uuid;

const PURPOSE: &str = "revision token";
/// The form of what follows, so that a later one can be told apart.
const FORM: u8 = 1;
const BODY: usize = 1 + 16 + 16 + 8 + 8;
const TAG: usize = 32;
/// The length of a token's text.
const TEXT: usize = (BODY + TAG).div_ceil(3) * 4;

/// A place in the history of what decides in an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Revision {
    /// The organization, or the project under its own uuid.
    pub tenant: OrganizationId,
    pub incarnation: Uuid,
    /// The organization's own revision; 0 in a token of the project.
    pub own: i64,
    /// The project's revision.
    pub template: i64,
}

/// The text is no revision token of this installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no revision token of this organization")]
pub struct NotARevision;

impl Revision {
    /// Where an organization stands, with its project's head if that has one already.
    pub fn of_heads(organization: &Head, project: Option<&Head>) -> Self {
        Self {
            tenant: organization.organization_id,
            incarnation: organization.incarnation,
            own: organization.revision,
            template: project.map_or(0, |head| head.revision),
        }
    }

    /// Whether the token was given out of a tenant's history: of the one being written, of another one, as from before a restore, or
    /// of none of it. None in the last case.
    pub fn is_of_the_history_of(&self, head: &Head) -> Option<bool> {
        (self.tenant == head.organization_id).then_some(self.incarnation == head.incarnation)
    }

    /// Whether an organization and its project's templates stand just here. The token of one resource says nothing of the templates.
    pub fn is_where(&self, head: &Head, template: i64) -> bool {
        self.own == head.revision && (self.template == 0 || self.template == template)
    }

    fn body(&self) -> [u8; BODY] {
        let mut body = [0; BODY];
        body[0] = FORM;
        body[1..17].copy_from_slice(self.tenant.uuid().as_bytes());
        body[17..33].copy_from_slice(self.incarnation.as_bytes());
        body[33..41].copy_from_slice(&self.own.to_be_bytes());
        body[41..49].copy_from_slice(&self.template.to_be_bytes());
        body
    }

    pub fn token(&self, sealer: &Sealer) -> String {
        let body = self.body();
        let mut bytes = [0; BODY + TAG];
        bytes[..BODY].copy_from_slice(&body);
        bytes[BODY..].copy_from_slice(&sealer.tag(PURPOSE, &body));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    pub fn parse(sealer: &Sealer, token: &str) -> Result<Self, NotARevision> {
        if token.len() > TEXT {
            return Err(NotARevision);
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| NotARevision)?;
        let (body, tag) = bytes.split_at_checked(BODY).ok_or(NotARevision)?;
        sealer.verify(PURPOSE, body, tag).map_err(|_| NotARevision)?;
        let uuid = |at: usize| Uuid::from_slice(&body[at..at + 16]).map_err(|_| NotARevision);
        let counter = |at: usize| -> Result<i64, NotARevision> {
            Ok(i64::from_be_bytes(body[at..at + 8].try_into().map_err(|_| NotARevision)?))
        };
        if body[0] != FORM {
            return Err(NotARevision);
        }
        Ok(Self {
            tenant: OrganizationId::from_uuid(uuid(1)?),
            incarnation: uuid(17)?,
            own: counter(33)?,
            template: counter(41)?,
        })
    }
}

/// A value with the revision that it is true at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct At<T> {
    pub value: T,
    pub revision: Revision,
}

impl<T> At<T> {
    pub fn try_map<U, E>(self, read: impl FnOnce(T) -> Result<U, E>) -> Result<At<U>, E> {
        Ok(At { value: read(self.value)?, revision: self.revision })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealer(byte: char) -> Sealer {
        Sealer::parse(&format!("a:{}=", byte.to_string().repeat(43))).unwrap()
    }

    prop_compose! {
        fn revision()(tenant: u128, incarnation: u128, own: i64, template: i64) -> Revision {
            Revision {
                tenant: OrganizationId::from_uuid(Uuid::from_u128(tenant)),
                incarnation: Uuid::from_u128(incarnation),
                own,
                template,
            }
        }
    }

    proptest! {
        #[test]
        fn a_token_says_what_it_was_made_from(revision in revision()) {
            let token = revision.token(&sealer('A'));
            prop_assert!(token.len() <= TEXT);
            prop_assert_eq!(Revision::parse(&sealer('A'), &token), Ok(revision));
        }

        #[test]
        fn a_token_of_another_installation_is_refused(revision in revision()) {
            prop_assert_eq!(Revision::parse(&sealer('E'), &revision.token(&sealer('A'))), Err(NotARevision));
        }

        #[test]
        fn a_bent_or_cut_token_is_refused(revision in revision(), at in 0..TEXT, cut in 0..TEXT) {
            let token = revision.token(&sealer('A'));
            let mut bent = token.clone().into_bytes();
            let at = at % bent.len();
            bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
            let bent = String::from_utf8(bent).unwrap();
            prop_assert_eq!(Revision::parse(&sealer('A'), &bent), Err(NotARevision));
            let cut = cut % token.len();
            prop_assert_eq!(Revision::parse(&sealer('A'), &token[..cut]), Err(NotARevision));
        }

        #[test]
        fn no_text_of_an_outsider_is_a_token(text in "\\PC{0,200}") {
            prop_assert_eq!(Revision::parse(&sealer('A'), &text), Err(NotARevision));
        }
    }
}
