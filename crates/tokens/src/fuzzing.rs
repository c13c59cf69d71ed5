//! What a fuzzer does with tokens: see the crate `seeds`.

#![allow(clippy::unwrap_used, reason = "a body fails by panic")]

use std::{
    sync::LazyLock,
    time::{Duration, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use seeds::Choices;
use serde::{Deserialize, Deserializer, de::MapAccess};
use serde_json::{Value, json};

use crate::{ACCESS_TYPE, Algorithm, Expected, KeySet, LEEWAY, MAX_TOKEN, Refused, SigningKey, Token};

const NOW: u64 = 1_800_000_000;
const LIFE: u64 = 900;
const EXPECTED: Expected<'static> = Expected {
    typ: ACCESS_TYPE,
    issuer: "https://id.test",
    audience: Some("guildhall"),
    longest_life: Duration::from_secs(LIFE),
};
/// RFC 8725 bounds neither; we do.
const MAX_HEADER_TEXT: usize = 512;

static KEYS: LazyLock<Vec<SigningKey>> =
    LazyLock::new(|| Algorithm::ALL.map(|algorithm| SigningKey::generate(algorithm).unwrap()).into());
static SET: LazyLock<KeySet> = LazyLock::new(|| {
    let keys: Vec<_> = KEYS.iter().map(SigningKey::public_jwk).collect();
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
});
/// A good one of each algorithm.
static GOOD: LazyLock<Vec<String>> = LazyLock::new(|| {
    let claims = json!({"iss": "https://id.test", "sub": "member_1", "aud": "guildhall", "exp": NOW + 300, "iat": NOW, "nbf": NOW});
    KEYS.iter().map(|key| key.sign(ACCESS_TYPE, &claims).unwrap()).collect()
});

fn verify(token: &str) -> Result<Value, Refused> {
    let token = Token::parse(token)?;
    let key = SET.get(token.kid()).ok_or(Refused)?;
    token.verify(key, &EXPECTED, UNIX_EPOCH + Duration::from_secs(NOW))
}

/// The first byte says what is tried: `0` the text as it is, `1` a good token with something changed, `2` a header (one line; an empty one
/// is the right one) and claims, signed as they stand, `3` a key set.
pub fn token(input: &[u8]) {
    let mut choices = Choices::new(input);
    match choices.below(4) {
        0 => foreign(&choices.text()),
        1 => bent(&mut choices),
        2 => signed(&mut choices),
        _ => key_set(choices.rest()),
    }
}

/// Nobody but us makes a token that is good; and what is taken apart is what was there.
fn foreign(text: &str) {
    if let Ok(token) = Token::parse(text) {
        assert!(text.len() <= MAX_TOKEN && text.split('.').count() == 3);
        let head = URL_SAFE_NO_PAD.decode(text.split('.').next().unwrap()).unwrap();
        let head: Value = serde_json::from_slice(&head).unwrap();
        assert_eq!((&head["kid"], &head["typ"]), (&json!(token.kid()), &json!(token.typ())));
        assert_eq!(head.as_object().unwrap().len(), 3);
    }
    assert_eq!(verify(text), Err(Refused));
}

/// No other text is as good as a good one.
fn bent(choices: &mut Choices<'_>) {
    let good = choices.pick(&GOOD);
    assert!(verify(good).is_ok());
    let text = if choices.yes() {
        // One part of it from another good token.
        let other: Vec<&str> = choices.pick(&GOOD).split('.').collect();
        let mut parts: Vec<&str> = good.split('.').collect();
        let part = choices.below(3);
        parts[part] = other[part];
        parts.join(".")
    } else {
        choices.bend(good)
    };
    // All three say the same, so their claims may change places.
    assert_eq!(verify(&text).is_ok(), GOOD.contains(&text), "{text}");
}

/// What is signed is good if it says what it must, in the only way to say it, and only then.
fn signed(choices: &mut Choices<'_>) {
    let key = choices.pick(&KEYS[..2]);
    let right = format!(r#"{{"alg":"{}","typ":"{ACCESS_TYPE}","kid":"{}"}}"#, key.algorithm().name(), key.kid());
    let line = choices.line();
    let head = if line.is_empty() { right.as_bytes() } else { line };
    let claims = choices.rest();
    let token = key.sign_parts(head, claims).unwrap();
    let verified = verify(&token);
    let texts = token.len() <= MAX_TOKEN && token.find('.').unwrap() <= MAX_HEADER_TEXT;
    let good = texts && is_right_header(head, key) && says_what_it_must(claims);
    assert_eq!(verified.is_ok(), good, "{} {}", head.escape_ascii(), claims.escape_ascii());
    if let Ok(said) = verified {
        assert_eq!(said, serde_json::from_slice::<Value>(claims).unwrap());
    }
}

fn is_right_header(head: &[u8], key: &SigningKey) -> bool {
    let Some(head) = pairs(head) else { return false };
    let right = [("alg", key.algorithm().name()), ("typ", ACCESS_TYPE), ("kid", key.kid())];
    head.len() == 3 && right.iter().all(|(name, text)| head.iter().any(|(n, t)| n == name && *t == json!(text)))
}

fn says_what_it_must(claims: &[u8]) -> bool {
    let Some(claims) = pairs(claims) else { return false };
    let get = |name: &str| claims.iter().find(|(n, _)| n == name).map_or(&Value::Null, |(_, value)| value);
    let times = ["exp", "iat", "nbf"].map(|name| get(name).as_u64());
    let [Some(exp), Some(iat), Some(nbf)] = times else { return false };
    let leeway = LEEWAY.as_secs();
    get("iss") == EXPECTED.issuer
        && get("aud") == "guildhall"
        && get("sub").as_str().is_some_and(|sub| !sub.is_empty())
        && iat <= NOW + leeway
        && nbf <= NOW + leeway
        && nbf < exp
        && iat <= exp
        && exp - iat <= LIFE
        && NOW < exp.saturating_add(leeway)
}

/// An object as it stands there. None: it is none, or a name stands in it twice, at whatever depth.
fn pairs(json: &[u8]) -> Option<Vec<(String, Value)>> {
    let Every(Value::Object(_), pairs) = serde_json::from_slice(json).ok()? else { return None };
    (json[0] == b'{').then_some(pairs?)
}

/// Any JSON, and the entries of an object; none where a name stands twice somewhere within.
struct Every(Value, Option<Vec<(String, Value)>>);

impl<'de> Deserialize<'de> for Every {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> serde::de::Visitor<'de> for Reader {
            type Value = Every;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Every, A::Error> {
                let mut entries: Vec<(String, Value)> = Vec::new();
                let mut sound = true;
                while let Some((name, Every(value, inner))) = map.next_entry::<String, Every>()? {
                    sound &= inner.is_some() && entries.iter().all(|(other, _)| *other != name);
                    entries.push((name, value));
                }
                Ok(Every(entries.iter().cloned().collect(), sound.then_some(entries)))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Every, A::Error> {
                let (mut list, mut sound) = (Vec::new(), true);
                while let Some(Every(value, inner)) = items.next_element()? {
                    sound &= inner.is_some();
                    list.push(value);
                }
                Ok(Every(list.into(), sound.then(Vec::new)))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Every, E> {
                Ok(Every(value.into(), Some(Vec::new())))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Every, E> {
                Ok(Every(value.into(), Some(Vec::new())))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Every, E> {
                Ok(Every(value.into(), Some(Vec::new())))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Every, E> {
                Ok(Every(value.into(), Some(Vec::new())))
            }
            fn visit_str<E>(self, value: &str) -> Result<Every, E> {
                Ok(Every(value.into(), Some(Vec::new())))
            }
            fn visit_unit<E>(self) -> Result<Every, E> {
                Ok(Every(Value::Null, Some(Vec::new())))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// A set that is believed is published as it is believed.
fn key_set(text: &[u8]) {
    let Ok(set) = KeySet::parse(text) else { return };
    let keys: Vec<Value> = set.iter().map(|key| key.jwk()).collect();
    assert!(keys.iter().all(|key| key.get("d").is_none() && key.get("k").is_none()));
    let again = KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap();
    assert_eq!(again.iter().count(), keys.len());
    assert!(set.iter().all(|key| again.get(key.kid()).is_some_and(|same| same.jwk() == key.jwk())));
}

#[cfg(test)]
mod tests {
    #[test]
    fn token() {
        seeds::each("token", super::token);
    }
}
