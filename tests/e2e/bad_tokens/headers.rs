//! Tokens whose header lies: about the algorithm, about the key, about what they are.

use aws_lc_rs::hmac;
use serde_json::{Value, json};
use tokens::{Algorithm, SigningKey};

use super::forge::{Case, Forge, decoded, encoded, header, parts, sign};

const NONE: [&str; 10] = ["none", "None", "NONE", "nOnE", "nonE", "none ", " none", "no\u{6e}e\u{0}", "", "null"];
const OTHERS: [&str; 14] = [
    "HS256", "HS384", "HS512", "PS256", "RS384", "RS512", "ES384", "ES512", "ES256K", "eddsa", "Ed25519", "es256",
    "rs256", "EdDSA ",
];

pub fn cases(forge: &Forge) -> Vec<Case> {
    [algorithms(forge), shared_secrets(forge), swapped(forge), additions(forge), ids(forge), types(forge)]
        .into_iter()
        .flatten()
        .collect()
}

fn unsigned(header: &Value, claims: &Value, signature: &str) -> String {
    format!("{}.{}.{signature}", encoded(header.to_string()), encoded(claims.to_string()))
}

fn algorithms(forge: &Forge) -> Vec<Case> {
    let mut cases = Vec::new();
    for key in &forge.access {
        for alg in NONE {
            let mut lie = header(key);
            lie["alg"] = json!(alg);
            let claims = forge.claims();
            let signature = parts(&sign(key, &lie, &claims))[2].clone();
            for (what, signature) in [("none", ""), ("a good one", signature.as_str())] {
                let token = unsigned(&lie, &claims, signature);
                cases.push(forge.case(format!("{}: alg {alg:?}, signature {what}", key.algorithm()), key, &token));
            }
        }
        let others = Algorithm::ALL.iter().map(|other| other.name()).filter(|name| *name != key.algorithm().name());
        for alg in OTHERS.into_iter().chain(others) {
            cases.push(forge.header(format!("{} says alg {alg:?}", key.algorithm()), key, |h| h["alg"] = json!(alg)));
        }
    }
    let key = &forge.access[0];
    for alg in [json!(null), json!(["EdDSA"]), json!({"EdDSA": 1}), json!(0), json!(true)] {
        cases.push(forge.header(format!("alg {alg}"), key, |h| h["alg"] = alg));
    }
    cases.push(forge.header("no alg", key, |h| drop(h.as_object_mut().unwrap().remove("alg"))));
    cases
}

/// A public key is no secret: whoever takes it for one lets everybody sign.
fn shared_secrets(forge: &Forge) -> Vec<Case> {
    let mut cases = Vec::new();
    for key in &forge.access {
        let jwk = key.public_jwk();
        let number = |name: &str| jwk[name].as_str().map(decoded).unwrap_or_default();
        let der = match key.algorithm() {
            Algorithm::EdDsa => [decoded("MCowBQYDK2VwAyEA"), number("x")].concat(),
            Algorithm::Es256 => [decoded("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE"), number("x"), number("y")].concat(),
            Algorithm::Rs256 => {
                [decoded("MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA"), number("n"), vec![2, 3, 1, 0, 1]].concat()
            }
        };
        let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &der);
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{base64}\n-----END PUBLIC KEY-----\n");
        let secrets = [
            ("its number", [number("x"), number("n")].concat()),
            ("its DER", der),
            ("its PEM", pem.trim_end().as_bytes().to_vec()),
            ("its PEM with a line end", pem.into_bytes()),
            ("its JWK", jwk.to_string().into_bytes()),
            ("the set", json!({"keys": [jwk]}).to_string().into_bytes()),
            ("its id", key.kid().as_bytes().to_vec()),
            ("nothing", Vec::new()),
        ];
        for (what, secret) in secrets {
            let mut lie = header(key);
            lie["alg"] = json!("HS256");
            let signed = unsigned(&lie, &forge.claims(), "");
            let signed = signed.trim_end_matches('.');
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), signed.as_bytes());
            let token = format!("{signed}.{}", encoded(tag));
            cases.push(forge.case(format!("{}: HS256 with {what} as the secret", key.algorithm()), key, &token));
        }
    }
    cases
}

/// Signed with one key in the name of another.
fn swapped(forge: &Forge) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut case = |name: String, signs: &SigningKey, named: &SigningKey, alg: &SigningKey, twin: &SigningKey| {
        let lie = json!({"alg": alg.algorithm().name(), "typ": "at+jwt", "kid": named.kid()});
        cases.push(forge.case(name, twin, &sign(signs, &lie, &forge.claims())));
    };
    for named in &forge.access {
        for signs in forge.access.iter().filter(|key| key.kid() != named.kid()) {
            for alg in [signs, named] {
                let name = format!("signed {}, key {}, alg {}", signs.algorithm(), named.algorithm(), alg.algorithm());
                case(name, signs, named, alg, named);
            }
        }
        for signs in &forge.stranger {
            case(format!("a stranger's {} for {}", signs.algorithm(), named.algorithm()), signs, named, named, named);
        }
    }
    for signs in &forge.stranger {
        case(format!("a stranger's {}", signs.algorithm()), signs, signs, signs, &forge.access[0]);
    }
    case("the gateway's own key".to_owned(), &forge.gateway, &forge.gateway, &forge.gateway, &forge.access[0]);
    case("a service's key".to_owned(), &forge.org_service, &forge.org_service, &forge.org_service, &forge.access[0]);
    cases
}

/// What a header may say elsewhere and must not here; once signed by us, once by somebody who brings their key along.
fn additions(forge: &Forge) -> Vec<Case> {
    let stranger = &forge.stranger[0];
    let ours = &forge.access[0];
    let additions = [
        ("jku", json!("https://evil.test/jwks.json")),
        ("x5u", json!("https://evil.test/cert.pem")),
        ("jwk", stranger.public_jwk()),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("dGh1bWI")),
        ("x5t#S256", json!("dGh1bWI")),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("cty", json!("JWT")),
        ("enc", json!("A256GCM")),
        ("epk", stranger.public_jwk()),
        ("p2c", json!(2_000_000_000)),
        ("iss", json!("https://evil.test")),
        ("ALG", json!("none")),
        ("unknown", json!(1)),
    ];
    let mut cases = Vec::new();
    for (name, value) in additions {
        cases.push(forge.header(format!("{name} {value}"), ours, |h| h[name] = value.clone()));
        for kid in [ours.kid(), stranger.kid()] {
            let lie = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": kid, name: value});
            cases.push(forge.case(
                format!("a stranger's, {name}, kid {kid}"),
                ours,
                &sign(stranger, &lie, &forge.claims()),
            ));
        }
    }
    cases
}

fn ids(forge: &Forge) -> Vec<Case> {
    let ours = &forge.access[0];
    let kid = ours.kid().to_owned();
    let bad = [
        json!("../../../../etc/passwd"),
        json!("/dev/null"),
        json!("file:///dev/null"),
        json!("https://evil.test/key"),
        json!("' OR '1'='1"),
        json!("x' UNION SELECT 'secret"),
        json!("$(id)"),
        json!("| id"),
        json!(format!("{kid}\u{0}")),
        json!(format!("{kid}\u{0}.pem")),
        json!(format!(" {kid}")),
        json!(format!("{kid} ")),
        json!(format!("{kid}\n")),
        json!(kid.to_lowercase()),
        json!(kid[1..]),
        json!(format!("{kid}=")),
        json!(""),
        json!("0"),
        json!("ключ"),
        json!("k".repeat(300)),
        json!("k".repeat(5000)),
        json!([kid]),
        json!({"kid": kid}),
        json!(null),
        json!(0),
        json!(true),
        json!(forge.gateway.kid()),
    ];
    let mut cases: Vec<_> =
        bad.into_iter().map(|id| forge.header(format!("kid {id:.60}"), ours, |h| h["kid"] = id)).collect();
    cases.push(forge.header("no kid", ours, |h| drop(h.as_object_mut().unwrap().remove("kid"))));
    cases
}

fn types(forge: &Forge) -> Vec<Case> {
    let ours = &forge.access[0];
    let bad = [
        json!("JWT"),
        json!("jwt"),
        json!("at+JWT"),
        json!("AT+JWT"),
        json!("application/at+jwt"),
        json!("at+jwt "),
        json!("at+jwt\u{0}"),
        json!("wl+jwt"),
        json!("id+jwt"),
        json!("dpop+jwt"),
        json!("secevent+jwt"),
        json!(""),
        json!(null),
        json!(1),
        json!(["at+jwt"]),
    ];
    let mut cases: Vec<_> =
        bad.into_iter().map(|typ| forge.header(format!("typ {typ}"), ours, |h| h["typ"] = typ)).collect();
    cases.push(forge.header("no typ", ours, |h| drop(h.as_object_mut().unwrap().remove("typ"))));
    cases
}
