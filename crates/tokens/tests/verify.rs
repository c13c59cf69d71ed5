//! The verifier against whatever somebody may make of a token, and against another implementation.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokens::{ACCESS_TYPE, Algorithm, Expected, KeySet, LONGEST_LIFE, Refused, SigningKey, Token};

const NOW: u64 = 1_800_000_000;
const EXPECTED: Expected<'static> =
    Expected { typ: ACCESS_TYPE, issuer: "https://id.test", audience: Some("guildhall"), longest_life: LONGEST_LIFE };

static KEYS: LazyLock<Vec<SigningKey>> =
    LazyLock::new(|| Algorithm::ALL.map(|algorithm| SigningKey::generate(algorithm).unwrap()).into());
static SET: LazyLock<KeySet> = LazyLock::new(|| {
    let keys: Vec<_> = KEYS.iter().map(SigningKey::public_jwk).collect();
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
});

fn claims() -> Value {
    json!({"iss": "https://id.test", "sub": "member_1", "aud": "guildhall", "exp": NOW + 300, "iat": NOW, "nbf": NOW, "x": [1, {"y": null}]})
}

/// As the services do it.
fn verify_at(token: &str, now: u64) -> Result<Value, Refused> {
    let token = Token::parse(token)?;
    let key = SET.get(token.kid()).ok_or(Refused)?;
    token.verify(key, &EXPECTED, UNIX_EPOCH + Duration::from_secs(now))
}

fn verify(token: &str) -> Result<Value, Refused> {
    verify_at(token, NOW)
}

fn header(key: &SigningKey) -> Value {
    json!({"alg": key.algorithm().name(), "typ": ACCESS_TYPE, "kid": key.kid()})
}

fn sign(key: &SigningKey, header: &Value, claims: &Value) -> String {
    key.sign_parts(header.to_string().as_bytes(), claims.to_string().as_bytes()).unwrap()
}

/// What another implementation makes of it.
fn elsewhere(token: &str) -> bool {
    use jsonwebtoken::{DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
    let jwks: Vec<_> = KEYS.iter().map(SigningKey::public_jwk).collect();
    let jwks: JwkSet = serde_json::from_value(json!({ "keys": jwks })).unwrap();
    let Some(jwk) = decode_header(token).ok().and_then(|header| jwks.find(&header.kid?).cloned()) else { return false };
    let algorithm = jwk.common.key_algorithm.unwrap().to_string().parse().unwrap();
    let mut validation = Validation::new(algorithm);
    validation.set_audience(&["guildhall"]);
    validation.set_issuer(&["https://id.test"]);
    // Its clock cannot be set.
    (validation.validate_exp, validation.validate_nbf) = (false, false);
    decode::<Value>(token, &DecodingKey::from_jwk(&jwk).unwrap(), &validation).is_ok()
}

#[test]
fn what_each_algorithm_signs_is_verified_here_and_elsewhere() {
    for key in KEYS.iter() {
        let token = key.sign(ACCESS_TYPE, &claims()).unwrap();
        assert_eq!(verify(&token), Ok(claims()), "{}", key.algorithm());
        assert!(elsewhere(&token), "{}", key.algorithm());
    }
}

#[test]
fn a_list_of_the_values_is_no_object() {
    let key = &KEYS[0];
    let (head, said) = (header(key).to_string(), claims().to_string());
    let list = json!([key.algorithm().name(), ACCESS_TYPE, key.kid()]).to_string();
    let values = json!(["https://id.test", "member_1", "guildhall", NOW + 300, NOW, NOW]).to_string();
    for (head, said, good) in [(&head, &said, true), (&list, &said, false), (&head, &values, false)] {
        let token = key.sign_parts(head.as_bytes(), said.as_bytes()).unwrap();
        assert_eq!(verify(&token).is_ok(), good, "{head} {said}");
    }
}

#[test]
fn one_thing_that_is_wrong_is_enough_though_it_is_signed() {
    let key = &KEYS[0];
    let head = header(key).to_string();
    let signed = |head: &str, said: &str| key.sign_parts(head.as_bytes(), said.as_bytes()).unwrap();
    let with = |mut base: Value, name: &str, value: Value| {
        base[name] = value;
        base.to_string()
    };
    let long = "x".repeat(600);
    for (name, value) in [("iss", "https://x.test"), ("sub", ""), ("aud", "billing")] {
        assert!(verify(&signed(&head, &with(claims(), name, json!(value)))).is_err(), "{name}");
    }
    for (name, value) in [("alg", "ES256"), ("alg", "none"), ("typ", "JWT"), ("kid", KEYS[1].kid()), ("kid", &long)] {
        assert!(
            verify(&signed(&with(header(key), name, json!(value)), &claims().to_string())).is_err(),
            "{name} {value}"
        );
    }
    // A name twice, also where nobody reads it, and however it is spelled.
    let said = claims().to_string();
    for more in [r#","x":1}"#, r#","\u0078":1}"#, r#","y":[{"z":1,"z":1}]}"#] {
        assert!(verify(&signed(&head, &(said[..said.len() - 1].to_owned() + more))).is_err(), "{more}");
    }
    // Within 8 KiB, and a header within 512 bytes, whatever blanks fill it.
    for (blanks, good) in [(0, true), (4000, true), (8000, false)] {
        assert_eq!(verify(&signed(&head, &(said.clone() + &" ".repeat(blanks)))).is_ok(), good, "{blanks}");
    }
    for (blanks, good) in [(100, true), (500, false)] {
        assert_eq!(verify(&signed(&(head.clone() + &" ".repeat(blanks)), &said)).is_ok(), good, "{blanks}");
    }
}

#[test]
fn a_weak_key_is_none_under_its_right_name_either() {
    use aws_lc_rs::digest::{SHA256, digest};
    let set = |n: &str, e: &str| {
        let named = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
        let kid = URL_SAFE_NO_PAD.encode(digest(&SHA256, named.as_bytes()));
        let jwk = json!({"kty": "RSA", "n": n, "e": e, "kid": kid, "alg": "RS256", "use": "sig"});
        KeySet::parse(json!({ "keys": [jwk] }).to_string().as_bytes())
    };
    let good = KEYS[2].public_jwk()["n"].as_str().unwrap().to_owned();
    assert!(set(&good, "AQAB").is_ok());
    let odd = |bytes: usize| URL_SAFE_NO_PAD.encode(vec![0xff; bytes]);
    for (n, e) in [(&good, "Aw"), (&good, "EQ"), (&odd(128), "AQAB"), (&odd(255), "AQAB"), (&odd(513), "AQAB")] {
        assert!(set(n, e).is_err(), "{e} {}", n.len());
    }
}

#[test]
fn times_hold_to_the_second_with_five_of_leeway() {
    let token = sign(&KEYS[0], &header(&KEYS[0]), &claims());
    for (now, good) in [(NOW - 6, false), (NOW - 5, true), (NOW + 300, true), (NOW + 304, true), (NOW + 305, false)] {
        assert_eq!(verify_at(&token, now).is_ok(), good, "{now}");
    }
    assert!(verify_at(&token, 0).is_err() && verify_at(&token, u64::from(u32::MAX)).is_err());
    let _ = SystemTime::now();
}

#[test]
fn a_life_is_an_hour_at_most() {
    for (life, good) in [(3600, true), (3601, false), (0, false)] {
        let mut claims = claims();
        claims["exp"] = json!(NOW + life);
        assert_eq!(verify(&sign(&KEYS[0], &header(&KEYS[0]), &claims)).is_ok(), good, "{life}");
    }
}

#[test]
fn a_set_is_believed_only_if_every_key_of_it_is_sound() {
    let good = KEYS[0].public_jwk();
    let parse = |keys: Value| KeySet::parse(json!({ "keys": keys }).to_string().as_bytes());
    assert!(parse(json!([good])).is_ok() && parse(json!([])).is_ok());
    let with = |key: &SigningKey, name: &str, value: Value| {
        let mut jwk = key.public_jwk();
        jwk[name] = value;
        jwk
    };
    let [ed, ec, rsa] = [&KEYS[0], &KEYS[1], &KEYS[2]];
    let weak = URL_SAFE_NO_PAD.encode([0xff; 128]);
    for bad in [
        with(ed, "kid", json!("mine")),
        with(ed, "kid", json!(ec.kid())),
        with(ed, "alg", json!("HS256")),
        with(ed, "alg", json!("RS256")),
        with(ed, "kty", json!("oct")),
        with(ed, "crv", json!("Ed448")),
        with(ed, "use", json!("enc")),
        with(ed, "d", json!("c2VjcmV0")),
        with(ed, "k", json!("c2VjcmV0")),
        with(ed, "x", json!("AAAA")),
        with(ec, "x", json!(URL_SAFE_NO_PAD.encode([1; 32]))),
        with(ec, "crv", json!("P-384")),
        with(rsa, "n", json!(weak)),
        with(rsa, "e", json!("Aw")),
        with(rsa, "n", json!(format!("AAAA{}", rsa.public_jwk()["n"].as_str().unwrap()))),
        json!({}),
        json!("key"),
    ] {
        assert!(parse(json!([good, bad])).is_err(), "{bad}");
    }
    assert!(KeySet::parse(b"").is_err() && KeySet::parse(br#"{"keys":[],"keys":[]}"#).is_err());
}

#[test]
fn the_key_id_is_the_thumbprint_of_rfc_8037() {
    // Appendix A.1 to A.3: the private key in PKCS #8, and its thumbprint.
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v_VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
    let key = SigningKey::from_pem(&pem.replace('_', "/")).unwrap();
    assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn a_pem_text_of_two_keys_or_none_is_no_key() {
    let pem = KEYS[0].to_pem().unwrap();
    assert!(SigningKey::from_pem(&pem).is_some());
    assert!(SigningKey::from_pem(&format!("{pem}{pem}")).is_none());
    for bad in ["", "-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"] {
        assert!(SigningKey::from_pem(bad).is_none());
    }
}

/// A token as it is, cut, joined, exchanged in places or written anew.
fn bent() -> impl Strategy<Value = String> {
    let token = (0..3usize).prop_map(|at| sign(&KEYS[at], &header(&KEYS[at]), &claims()));
    prop_oneof![
        // Any bytes in place of any others.
        (token.clone(), any::<prop::sample::Index>(), "[ -~]{0,4}").prop_map(|(token, at, put)| {
            let at = at.index(token.len());
            let after = (at + put.len()).min(token.len());
            format!("{}{put}{}", &token[..at], &token[after..])
        }),
        (token.clone(), any::<prop::sample::Index>(), any::<prop::sample::Index>()).prop_map(|(token, from, to)| {
            let (from, to) = (from.index(token.len()), to.index(token.len()));
            token[from.min(to)..from.max(to)].to_owned()
        }),
        // Parts of two tokens.
        (token.clone(), token, 1..7usize).prop_map(|(one, other, which)| {
            let (one, other): (Vec<_>, Vec<_>) = (one.split('.').collect(), other.split('.').collect());
            let part = |at: usize| if which & (1 << at) == 0 { one[at] } else { other[at] };
            format!("{}.{}.{}", part(0), part(1), part(2))
        }),
        "[A-Za-z0-9_.-]{0,200}",
        ".{0,200}",
    ]
}

/// A value, good or bad, for a member of header or claims.
fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (NOW - 400..NOW + 4000).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec![
            "EdDSA",
            "ES256",
            "RS256",
            "HS256",
            "none",
            "at+jwt",
            "wl+jwt",
            "JWT",
            "guildhall",
            "https://id.test"
        ])
        .prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!(["guildhall"])),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_bent_token_is_refused(token in bent()) {
        let good = verify(&token);
        // The same text that was signed, or none.
        if good.is_ok() {
            prop_assert!(elsewhere(&token), "{token}");
            let signed = KEYS.iter().any(|key| sign(key, &header(key), &claims()) == token || key.algorithm() == Algorithm::Es256);
            prop_assert!(signed, "{token}");
        }
    }

    #[test]
    fn a_signed_lie_in_the_header_is_refused(
        at in 0..3usize,
        name in prop::sample::select(vec!["alg", "typ", "kid", "crit", "jwk", "jku", "b64", "zip", "other"]),
        value in value(),
    ) {
        let key = &KEYS[at];
        let mut lie = header(key);
        lie[name] = value;
        let same = lie == header(key);
        prop_assert_eq!(verify(&sign(key, &lie, &claims())).is_ok(), same);
    }

    #[test]
    fn what_is_good_here_says_all_that_it_must(
        name in prop::sample::select(vec!["iss", "sub", "aud", "exp", "iat", "nbf"]),
        value in value(),
        missing: bool,
    ) {
        let mut claims = claims();
        if missing {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value;
        }
        let token = sign(&KEYS[0], &header(&KEYS[0]), &claims);
        if verify(&token).is_ok() {
            prop_assert!(elsewhere(&token), "{claims}");
            let time = |name: &str| claims[name].as_u64().unwrap();
            prop_assert_eq!(claims["iss"].as_str(), Some("https://id.test"));
            prop_assert_eq!(claims["aud"].as_str(), Some("guildhall"));
            prop_assert!(claims["sub"].as_str().is_some_and(|sub| !sub.is_empty()));
            prop_assert!(time("iat") <= NOW + 5 && time("nbf") <= NOW + 5 && NOW < time("exp") + 5);
            prop_assert!(time("exp") - time("iat") <= 3600);
        }
    }

    #[test]
    fn an_ecdsa_signature_has_one_form(salt: u64) {
        let key = &KEYS[1];
        let mut claims = claims();
        claims["salt"] = json!(salt);
        let token = sign(key, &header(key), &claims);
        prop_assert!(verify(&token).is_ok() && elsewhere(&token));
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let order = URL_SAFE_NO_PAD.decode("_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE").unwrap();
        let mut borrow = 0i16;
        for at in (0..32).rev() {
            let left = i16::from(order[at]) - i16::from(signature[32 + at]) - borrow;
            borrow = i16::from(left < 0);
            signature[32 + at] = (left & 255) as u8;
        }
        let twin = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        // It is as true as the other, and the other is the one.
        prop_assert!(elsewhere(&twin));
        prop_assert!(verify(&twin).is_err());
    }
}
