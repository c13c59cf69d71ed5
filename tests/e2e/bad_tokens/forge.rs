//! What somebody needs who makes tokens: the installation's own keys, so that each bad token is bad in one thing alone, and keys of
//! their own.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use testkit::{Cluster, caller::unique};
use tokens::{Algorithm, SigningKey, read_keys};

pub struct Forge {
    /// One of each algorithm: those that sign access tokens.
    pub access: Vec<SigningKey>,
    /// The gateway's own, for its calls.
    pub gateway: SigningKey,
    pub org_service: SigningKey,
    /// One of each algorithm, of nobody whom we know.
    pub stranger: Vec<SigningKey>,
    /// Of a member who may do much.
    claims: Value,
}

/// A token that must be refused, and one that is as it but for what is bad in it.
pub struct Case {
    pub name: String,
    /// The values of the `authorization` headers.
    pub headers: Vec<Vec<u8>>,
    pub twin: String,
}

impl Forge {
    pub fn new(cluster: &Cluster, member: &str) -> Self {
        let key = |name: &str| -> Vec<SigningKey> {
            let text = std::fs::read_to_string(cluster.directory().join("keys").join(format!("{name}.pem"))).unwrap();
            let keys = read_keys(&text).unwrap();
            keys.iter().map(|key| SigningKey::from_pem(&key.key.to_pem().unwrap()).unwrap()).collect()
        };
        let claims = member.split('.').nth(1).unwrap();
        Self {
            access: key("access"),
            gateway: key("gateway").remove(0),
            org_service: key("org-service").remove(0),
            stranger: Algorithm::ALL.map(|algorithm| SigningKey::generate(algorithm).unwrap()).into(),
            claims: serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap(),
        }
    }

    /// Good ones, of no other token.
    pub fn claims(&self) -> Value {
        let mut claims = self.claims.clone();
        claims["jti"] = json!(unique("jti"));
        claims
    }

    pub fn good(&self, key: &SigningKey) -> String {
        sign(key, &header(key), &self.claims())
    }

    /// Bad in its header, which is signed like a good one's.
    pub fn header(&self, name: impl Into<String>, key: &SigningKey, change: impl FnOnce(&mut Value)) -> Case {
        let mut bad = header(key);
        change(&mut bad);
        self.case(name, key, &sign(key, &bad, &self.claims()))
    }

    /// Bad in what it says, which is signed like a good one's.
    pub fn said(&self, name: impl Into<String>, change: impl FnOnce(&mut Value)) -> Case {
        let key = &self.access[0];
        let mut bad = self.claims();
        change(&mut bad);
        self.case(name, key, &sign(key, &header(key), &bad))
    }

    pub fn case(&self, name: impl Into<String>, key: &SigningKey, bad: &str) -> Case {
        self.presented(name, key, vec![format!("Bearer {bad}").into_bytes()])
    }

    pub fn presented(&self, name: impl Into<String>, key: &SigningKey, headers: Vec<Vec<u8>>) -> Case {
        Case { name: name.into(), headers, twin: self.good(key) }
    }
}

pub fn header(key: &SigningKey) -> Value {
    json!({"alg": key.algorithm().name(), "typ": "at+jwt", "kid": key.kid()})
}

pub fn sign(key: &SigningKey, header: &Value, claims: &Value) -> String {
    key.sign_parts(header.to_string().as_bytes(), claims.to_string().as_bytes()).unwrap()
}

pub fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn decoded(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// The three parts as they stand there.
pub fn parts(token: &str) -> [String; 3] {
    let parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    parts.try_into().unwrap()
}
