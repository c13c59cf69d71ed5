//! What a fuzzer does with ids, secrets and page tokens: see the crate `seeds`.

#![allow(clippy::unwrap_used, reason = "a body fails by panic")]

use std::{fmt::Debug, str::FromStr, sync::LazyLock};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::ExposeSecret;
use seeds::Choices;
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    Actor, ApiKeyId, BindingId, ChallengeId, ConnectionId, DomainId, EventId, GroupId, IdentityId,
    IntermediateSessionId, InvitationId, MemberId, OrganizationId, OrganizationScope, ProjectId, RoleId, Scope, Sealer,
    ServiceAccountId, SessionId, SsoSignInId,
    page::{Page, PageError, Query},
    secret::{self, SecretKind},
};

/// A key, and the one before it.
static SEALER: LazyLock<Sealer> = LazyLock::new(|| {
    let keys = "b:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\na:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    Sealer::parse(keys).unwrap()
});

/// A text is at most one kind's id, and then it is what that id is written as; and every sixteen bytes are an id of every kind, in
/// the order that their texts have.
pub fn id(input: &[u8]) {
    let mut choices = Choices::new(input);
    if choices.yes() {
        let bits = [0; 2].map(|_| (u128::from(choices.number()) << 64) | u128::from(choices.number()));
        each_kind(|kind| (kind.written)(bits));
    } else {
        let text = choices.text();
        let mut taken = 0;
        each_kind(|kind| taken += usize::from((kind.read)(&text)));
        assert!(taken <= 1, "{text} is an id of {taken} kinds");
        if let Ok(actor) = text.parse::<Actor>() {
            assert_eq!(actor.to_string(), text);
        }
    }
}

struct Kind {
    read: fn(&str) -> bool,
    written: fn([u128; 2]),
}

fn each_kind(mut tried: impl FnMut(&Kind)) {
    macro_rules! kinds {
        ($($name:ident)+) => {$(
            tried(&Kind { read: read::<$name>, written: |bits| written(bits.map(|bits| $name::from_uuid(Uuid::from_u128(bits)))) });
        )+};
    }
    kinds! {
        ProjectId OrganizationId DomainId ConnectionId IdentityId MemberId InvitationId SessionId IntermediateSessionId SsoSignInId
        ServiceAccountId ApiKeyId ChallengeId RoleId GroupId BindingId EventId
    }
}

fn read<T: FromStr + ToString>(text: &str) -> bool {
    let Ok(id) = text.parse::<T>() else { return false };
    assert_eq!(id.to_string(), text, "an id has one spelling");
    true
}

fn written<T>([one, other]: [T; 2])
where
    T: FromStr<Err: Debug> + ToString + Ord + Debug + Serialize + DeserializeOwned,
{
    let (text, later) = (one.to_string(), other.to_string());
    assert_eq!(text.parse::<T>().unwrap(), one);
    assert_eq!(text.cmp(&later), one.cmp(&other), "texts have the order of ids");
    let json = serde_json::to_string(&one).unwrap();
    assert_eq!(json, format!("\"{text}\""));
    assert_eq!(serde_json::from_str::<T>(&json).unwrap(), one);
}

const KINDS: [SecretKind; 6] = [
    SecretKind::RefreshToken,
    SecretKind::ApiKey,
    SecretKind::Invitation,
    SecretKind::IntermediateSession,
    SecretKind::EmailLink,
    SecretKind::SsoState,
];

/// A text is at most one kind of secret, in one spelling, and one that was changed is another one or none: what opens a row is what
/// was given out.
pub fn secret(input: &[u8]) {
    let mut choices = Choices::new(input);
    match choices.below(3) {
        0 => {
            let text = choices.text();
            let taken: Vec<_> = KINDS.iter().filter(|kind| secret::parse(**kind, &text).is_ok()).collect();
            assert!(taken.len() <= 1, "{text} is {taken:?}");
            if !taken.is_empty() {
                let body = &text[text.find('_').unwrap() + 1..];
                assert_eq!(URL_SAFE_NO_PAD.encode(URL_SAFE_NO_PAD.decode(body).unwrap()), body);
                assert_eq!(body.len(), (16 + 16 + 32 + 4) * 4_usize / 3 + 1);
            }
        }
        1 => {
            let kind = *choices.pick(&KINDS);
            let id = |choices: &mut Choices<'_>| Uuid::from_u64_pair(choices.number(), choices.number());
            let (tenant, row) = (id(&mut choices), id(&mut choices));
            let issued = secret::issue(kind, tenant, row);
            let text = issued.text.expose_secret();
            let given = secret::parse(kind, text).unwrap();
            assert_eq!((given.tenant, given.id), (tenant, row));
            assert!(given.hash.matches(issued.hash.as_bytes()));
            let bent = choices.bend(text);
            if let Ok(other) = secret::parse(kind, &bent)
                && bent != *text
            {
                // The checksum is against errors, not against forgers: who makes one that is whole has still another secret.
                let same = (other.tenant, other.id) == (tenant, row) && other.hash.matches(issued.hash.as_bytes());
                assert!(!same, "{bent} opens what {text} does");
            }
        }
        _ => sealed(&mut choices),
    }
}

/// What was sealed opens for its use and in its place, and in no other; what was changed does not open.
fn sealed(choices: &mut Choices<'_>) {
    let place = choices.line();
    let text = choices.line();
    let sealed = SEALER.seal("fuzzing", place, text);
    assert_eq!(SEALER.open("fuzzing", place, &sealed).unwrap(), text);
    assert!(SEALER.open("another use", place, &sealed).is_err());
    assert!(SEALER.open("fuzzing", &[place, b"x"].concat(), &sealed).is_err());
    let mut bent = sealed.clone();
    let at = choices.place(bent.len());
    bent[at] ^= choices.byte().max(1);
    assert!(SEALER.open("fuzzing", place, &bent).is_err(), "byte {at}");
    assert!(SEALER.open("fuzzing", place, &sealed[..at]).is_err());
    assert!(SEALER.open("fuzzing", place, choices.rest()).is_err());
}

/// A page token goes on with the query that it was given for, in the scope that it was given in, from where it was given: and nothing
/// else is a page token.
pub fn page(input: &[u8]) {
    let mut choices = Choices::new(input);
    let forged = !choices.yes();
    let id = |choices: &mut Choices<'_>| u128::from(choices.number());
    let scope = |project: u128, organization: u128| -> Scope {
        let (project, organization) = (Uuid::from_u128(project), Uuid::from_u128(organization));
        OrganizationScope::granted(ProjectId::from_uuid(project), OrganizationId::from_uuid(organization)).into()
    };
    let (project, organization) = (id(&mut choices), id(&mut choices));
    let filter = String::from_utf8_lossy(choices.line()).into_owned();
    let query = Query { method: "ListMembers", scope: scope(project, organization), filter: &filter };
    let read = |query: &Query<'_>, text: &str| query.page::<String>(&SEALER, 0, text).map(|page| page.after);
    if forged {
        let text = choices.text();
        let expected = if text.is_empty() { Ok(None) } else { Err(PageError::Token) };
        assert_eq!(read(&query, &text), expected);
        return;
    }
    let cursor = String::from_utf8_lossy(choices.line()).into_owned();
    let token = query.token(&SEALER, &cursor);
    // A row's name is far shorter than what makes a token too long, and holds nothing that is written six times as long.
    if cursor.len() < 500 && !cursor.contains(char::is_control) {
        let page = Page { size: 50, after: Some(cursor.clone()) };
        assert_eq!(query.page::<String>(&SEALER, 0, &token), Ok(page));
    }
    let longer = format!("{filter}{cursor}");
    let others = [
        Query { method: "ListRoles", ..query },
        Query { filter: &longer, ..query },
        Query { scope: scope(organization, project), ..query },
        Query { scope: scope(project, organization ^ 1), ..query },
    ];
    for other in others
        .iter()
        .filter(|other| other.filter != filter || other.scope != query.scope || other.method != query.method)
    {
        assert_eq!(read(other, &token), Err(PageError::Token), "{other:?}");
    }
    let bent = choices.bend(&token);
    if bent != token && !bent.is_empty() {
        assert_eq!(read(&query, &bent), Err(PageError::Token), "{bent}");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn id() {
        seeds::each("id", super::id);
    }

    #[test]
    fn secret() {
        seeds::each("secret", super::secret);
    }

    #[test]
    fn page() {
        seeds::each("page_token", super::page);
    }
}
