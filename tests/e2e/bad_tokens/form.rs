//! Tokens that are not in the one form that a token has, and signatures in another than the one that they have.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE},
};
use serde_json::json;
use tokens::{Algorithm, SigningKey};

use super::forge::{Case, Forge, decoded, encoded, header, parts, sign};

/// The order of P-256.
const P256_ORDER: &str = "_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE";
/// The order of Ed25519's group, the lowest byte first.
const ED25519_ORDER: &str = "7dP1XBpjEljWnPei3vneFAAAAAAAAAAAAAAAAAAAABA";
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

pub fn cases(forge: &Forge) -> Vec<Case> {
    [parts_of_it(forge), spellings(forge), json_of_it(forge), signatures(forge), flips(forge)]
        .into_iter()
        .flatten()
        .collect()
}

fn parts_of_it(forge: &Forge) -> Vec<Case> {
    let key = &forge.access[0];
    let good = forge.good(key);
    let [h, c, s] = parts(&good);
    let other = parts(&forge.good(key));
    let mut bad = vec![
        ("a header alone", h.clone()),
        ("no signature part", format!("{h}.{c}")),
        ("an empty signature", format!("{h}.{c}.")),
        ("an empty header", format!(".{c}.{s}")),
        ("empty claims", format!("{h}..{s}")),
        ("three empty parts", "..".to_owned()),
        ("four parts", format!("{good}.{s}")),
        ("four parts, the last empty", format!("{good}.")),
        ("a dot in front", format!(".{good}")),
        ("five parts, as JWE has", format!("{h}.{c}.{s}.{c}.{s}")),
        ("no dots", good.replace('.', "")),
        ("commas for dots", good.replace('.', ",")),
        ("twice", format!("{good}{good}")),
        ("another's signature", format!("{h}.{c}.{}", other[2])),
        ("another's claims", format!("{h}.{}.{s}", other[1])),
        ("claims and header changed about", format!("{c}.{h}.{s}")),
        ("backwards", good.chars().rev().collect()),
    ];
    for cut in [1, 2, 3, 10, 40, 85, 86, 87, good.len() / 2] {
        bad.push(("cut short", good[..good.len() - cut].to_owned()));
    }
    // Signed like any other: what is signed is just no token of ours.
    let whole = |h: &[u8], c: &[u8]| key.sign_parts(h, c).unwrap();
    let head = header(key).to_string();
    bad.push(("a token in a token", whole(head.as_bytes(), good.as_bytes())));
    let nested = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": key.kid(), "cty": "JWT"}).to_string();
    bad.push(("a token in a token, said so", whole(nested.as_bytes(), good.as_bytes())));
    let jwe = json!({"alg": "dir", "enc": "A256GCM", "typ": "at+jwt", "kid": key.kid()}).to_string();
    bad.push(("JWE", format!("{}..{}.{}.{}", encoded(&jwe), encoded([1; 12]), encoded(&c), encoded([2; 16]))));
    let mut large = forge.claims();
    large["note"] = json!("x".repeat(9000));
    bad.push(("larger than a token may be", whole(head.as_bytes(), large.to_string().as_bytes())));
    bad.into_iter().map(|(name, bad)| forge.case(name, key, &bad)).collect()
}

/// The same contents in another text.
fn spellings(forge: &Forge) -> Vec<Case> {
    let mut cases = Vec::new();
    for key in &forge.access {
        let good = forge.good(key);
        for (at, what) in ["header", "claims", "signature"].into_iter().enumerate() {
            let spelled = |part: String| {
                let mut all = parts(&good);
                all[at] = part;
                all.join(".")
            };
            let part = parts(&good)[at].clone();
            let mut bad = vec![
                ("padding that is too long", format!("{part}====")),
                ("one more character", format!("{part}A")),
                ("a space behind", format!("{part} ")),
                ("a line end inside", format!("{}\n{}", &part[..8], &part[8..])),
                ("percent-encoded", part.replacen(&part[..1], &format!("%{:02X}", part.as_bytes()[0]), 1)),
                ("a character of no alphabet", format!("{}!{}", &part[..8], &part[9..])),
            ];
            let bytes = decoded(&part);
            if !bytes.len().is_multiple_of(3) {
                bad.push(("padded", URL_SAFE.encode(&bytes)));
                let last = ALPHABET.iter().position(|c| *c == *part.as_bytes().last().unwrap()).unwrap();
                let other = char::from(ALPHABET[last + 1]);
                bad.push(("other bits left over", format!("{}{other}", &part[..part.len() - 1])));
            }
            let standard = STANDARD_NO_PAD.encode(&bytes);
            if standard != part {
                bad.push(("the other alphabet", standard));
            }
            for (how, bad) in bad {
                // A header cannot hold a line end, so nobody could send it.
                if !bad.contains('\n') {
                    cases.push(forge.case(format!("{}, {what}: {how}", key.algorithm()), key, &spelled(bad)));
                }
            }
        }
    }
    cases
}

/// Signed, and read by two readers as two different things.
fn json_of_it(forge: &Forge) -> Vec<Case> {
    let key = &forge.access[0];
    let head = header(key).to_string();
    let inner = |text: &str| text[1..text.len() - 1].to_owned();
    let h = inner(&head);
    let headers = [
        ("alg twice", format!(r#"{{"alg":"none",{h}}}"#)),
        ("alg twice, the same", format!(r#"{{"alg":"EdDSA",{h}}}"#)),
        ("kid twice", format!(r#"{{{h},"kid":"other"}}"#)),
        ("typ twice, once spelled otherwise", format!(r#"{{{h},"t\u0079p":"JWT"}}"#)),
        ("something behind", format!("{head}x")),
        ("two headers", format!("{head}{head}")),
        ("a mark of byte order", format!("\u{feff}{head}")),
        ("a comment", format!("/**/{head}")),
        ("a list", format!("[{head}]")),
        ("a text", json!(head).to_string()),
        ("a number", "1".to_owned()),
        ("nothing", "null".to_owned()),
        ("an empty object", "{}".to_owned()),
        ("a list of its values", json!(["EdDSA", "at+jwt", key.kid()]).to_string()),
    ];
    let mut cases = Vec::new();
    for (name, bad) in headers {
        let token = key.sign_parts(bad.as_bytes(), forge.claims().to_string().as_bytes()).unwrap();
        cases.push(forge.case(format!("header: {name}"), key, &token));
    }
    let claims = forge.claims();
    let said = claims.to_string();
    let c = inner(&said);
    let deep = format!("{}1{}", "[".repeat(300), "]".repeat(300));
    let values: Vec<_> = claims.as_object().unwrap().values().cloned().collect();
    let bodies = [
        ("sub twice", format!(r#"{{"sub":"operator",{c}}}"#)),
        ("exp twice", format!(r#"{{{c},"exp":9999999999}}"#)),
        ("org_id twice, the same", format!(r#"{{{c},"org_id":{}}}"#, claims["org_id"])),
        ("aud twice, once spelled otherwise", format!(r#"{{{c},"\u0061ud":"guildhall"}}"#)),
        ("a name twice further in", format!(r#"{{{c},"act":{{"sub":"a","sub":"b"}}}}"#)),
        ("a name of ours that says nothing, twice", format!(r#"{{{c},"x":1,"x":1}}"#)),
        ("something behind", format!("{said} x")),
        ("two of them", format!("{said}{said}")),
        ("a mark of byte order", format!("\u{feff}{said}")),
        ("a comma too many", format!("{{{c},}}")),
        ("a list", format!("[{said}]")),
        ("a list of the values", json!(values).to_string()),
        ("a text", json!(said).to_string()),
        ("nothing", "null".to_owned()),
        ("no JSON", "sub=operator".to_owned()),
        ("300 levels deep", format!(r#"{{{c},"deep":{deep}}}"#)),
        ("NaN", format!(r#"{{{c},"n":NaN}}"#)),
    ];
    for (name, bad) in bodies {
        let token = key.sign_parts(head.as_bytes(), bad.as_bytes()).unwrap();
        cases.push(forge.case(format!("claims: {name}"), key, &token));
    }
    let mut no_text = said.clone().into_bytes();
    no_text.splice(1..1, *b"\"x\":\"\xff\xfe\",");
    cases.push(forge.case("claims: no UTF-8", key, &key.sign_parts(head.as_bytes(), &no_text).unwrap()));
    let wide: Vec<u8> = said.encode_utf16().flat_map(u16::to_le_bytes).collect();
    cases.push(forge.case("claims: UTF-16", key, &key.sign_parts(head.as_bytes(), &wide).unwrap()));
    cases
}

fn signatures(forge: &Forge) -> Vec<Case> {
    let mut cases = Vec::new();
    for key in &forge.access {
        let good = forge.good(key);
        let [h, c, s] = parts(&good);
        let s = decoded(&s);
        let mut bad: Vec<(&str, Vec<u8>)> = vec![
            ("of zeros", vec![0; s.len()]),
            ("of ones", vec![255; s.len()]),
            ("with a zero in front", [&[0][..], &s].concat()),
            ("with a zero behind", [&s[..], &[0]].concat()),
            ("less its first byte", s[1..].to_vec()),
            ("twice", [&s[..], &s].concat()),
            ("in hexadecimal", s.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes()),
            ("of another token", decoded(&parts(&forge.good(key))[2])),
        ];
        match key.algorithm() {
            Algorithm::EdDsa => {
                let mut low_first = s[32..].to_vec();
                add(&mut low_first, decoded(ED25519_ORDER).as_slice());
                bad.push(("whose S is not the least", [&s[..32], &low_first].concat()));
                bad.push(("whose halves are changed about", [&s[32..], &s[..32]].concat()));
            }
            Algorithm::Es256 => {
                let zero = [0; 32];
                let order = decoded(P256_ORDER);
                bad.push(("with the other s", [&s[..32], &subtract(&order, &s[32..])].concat()));
                bad.push(("in DER", der(&s)));
                bad.push(("whose halves are changed about", [&s[32..], &s[..32]].concat()));
                bad.push(("whose r is zero", [&zero, &s[32..]].concat()));
                bad.push(("whose s is zero", [&s[..32], &zero].concat()));
                bad.push(("whose r is the order", [&order, &s[32..]].concat()));
                bad.push(("whose s is the order", [&s[..32], &order].concat()));
            }
            Algorithm::Rs256 => {}
        }
        let what = |how: &str| format!("{}: a signature {how}", key.algorithm());
        cases
            .extend(bad.into_iter().map(|(how, bad)| forge.case(what(how), key, &format!("{h}.{c}.{}", encoded(bad)))));
    }
    cases
}

/// The lowest byte first.
fn add(number: &mut [u8], other: &[u8]) {
    let mut carry = 0u16;
    for (byte, other) in number.iter_mut().zip(other) {
        let sum = u16::from(*byte) + u16::from(*other) + carry;
        *byte = (sum & 255) as u8;
        carry = sum >> 8;
    }
}

/// The highest byte first.
fn subtract(from: &[u8], number: &[u8]) -> Vec<u8> {
    let mut borrow = 0i16;
    let mut difference: Vec<u8> = Vec::new();
    for (from, byte) in from.iter().zip(number).rev() {
        let left = i16::from(*from) - i16::from(*byte) - borrow;
        borrow = i16::from(left < 0);
        difference.push((left & 255) as u8);
    }
    difference.reverse();
    difference
}

/// As X.509 has an ECDSA signature.
fn der(signature: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| {
        let sign = if number[0] >= 0x80 { &[0][..] } else { &[] };
        let number = [sign, number].concat();
        [&[2, number.len() as u8][..], &number].concat()
    };
    let both = [integer(&signature[..32]), integer(&signature[32..])].concat();
    [&[0x30, both.len() as u8][..], &both].concat()
}

/// One character for another, anywhere, by a generator that always says the same.
fn flips(forge: &Forge) -> Vec<Case> {
    let mut state = 0x0005_DEEC_E66D_u64;
    let mut below = |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as usize) % limit
    };
    let mut cases = Vec::new();
    for round in 0..90 {
        let key: &SigningKey = &forge.access[round % 3];
        let good = sign(key, &header(key), &forge.claims());
        let mut bytes = good.clone().into_bytes();
        let dots: Vec<usize> = good.match_indices('.').map(|(at, _)| at).collect();
        let (from, to) = [(0, dots[0]), (dots[0] + 1, dots[1]), (dots[1] + 1, bytes.len())][(round / 3) % 3];
        let at = from + below(to - from);
        let here = ALPHABET.iter().position(|c| *c == bytes[at]).unwrap();
        // One of its six bits.
        bytes[at] = ALPHABET[here ^ (1 << below(6))];
        cases.push(forge.case(format!("flip {round} at {at}"), key, &String::from_utf8(bytes).unwrap()));
    }
    cases
}
