//! The documents by which verifiers find our keys: JWKS (RFC 7517) and authorization server metadata (RFC 8414). The issuer is the
//! configured one: a caller's `host` header is nobody's word for who we are.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use access::AccessOptions;
use axum::{
    extract::State,
    http::{HeaderName, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Value, json};

const REREAD: Duration = Duration::from_secs(30);
/// For as long may others keep a document. A new key is published for longer than this before it signs.
const CACHE: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "public, max-age=300")];
/// The members of a public key. Whatever else the file holds is not published.
const PUBLIC_MEMBERS: [&str; 9] = ["kty", "crv", "x", "y", "n", "e", "kid", "alg", "use"];

/// How a service account proves itself.
const CLIENT_METHODS: [&str; 3] = ["client_secret_basic", "client_secret_post", "private_key_jwt"];
/// As member-service takes them of registered keys.
const ASSERTION_ALGORITHMS: [&str; 3] = ["EdDSA", "ES256", "RS256"];

#[derive(Debug)]
pub struct Documents {
    issuer: String,
    trust: PathBuf,
    /// The key that we sign with, published whatever the file says.
    own: Value,
    keys: Mutex<(Instant, Arc<str>)>,
}

/// The gateway's public keys, as the trust directory has them: the signing one, those before it and those to come.
pub fn published_keys(trust: &Path) -> Vec<Value> {
    let read = || {
        let text = std::fs::read_to_string(trust.join("gateway.jwks.json")).ok()?;
        let mut document: Value = serde_json::from_str(&text).ok()?;
        match document["keys"].take() {
            Value::Array(keys) => Some(keys),
            _ => None,
        }
    };
    let mut keys = read().unwrap_or_default();
    for member in keys.iter_mut().filter_map(Value::as_object_mut) {
        member.retain(|name, _| PUBLIC_MEMBERS.contains(&name.as_str()));
    }
    keys
}

impl Documents {
    pub fn new(options: &AccessOptions, own: &impl Serialize) -> Self {
        let own = serde_json::to_value(own).unwrap_or_default();
        let (issuer, trust) = (options.issuer.clone(), options.trust.clone());
        let keys = Mutex::new((Instant::now(), key_set(&trust, &own)));
        Self { issuer, trust, own, keys }
    }

    /// Read again after half a minute: a small local file, so it is read in place.
    fn keys(&self) -> Arc<str> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.0.elapsed() >= REREAD {
            *keys = (Instant::now(), key_set(&self.trust, &self.own));
        }
        keys.1.clone()
    }

    fn metadata(&self) -> Value {
        let base = self.issuer.trim_end_matches('/');
        json!({
            "issuer": self.issuer,
            "token_endpoint": format!("{base}/oauth2/token"),
            "jwks_uri": format!("{base}/.well-known/jwks.json"),
            "introspection_endpoint": format!("{base}/oauth2/introspect"),
            "revocation_endpoint": format!("{base}/oauth2/revoke"),
            "grant_types_supported": ["client_credentials", "refresh_token", super::token::TOKEN_EXCHANGE],
            "token_endpoint_auth_methods_supported": ([CLIENT_METHODS.as_slice(), &["none"]].concat()),
            "token_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGORITHMS,
            "introspection_endpoint_auth_methods_supported": CLIENT_METHODS,
            "introspection_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGORITHMS,
            "revocation_endpoint_auth_methods_supported": ([CLIENT_METHODS.as_slice(), &["none"]].concat()),
            "revocation_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGORITHMS,
            "response_types_supported": [],
        })
    }
}

fn key_set(trust: &Path, own: &Value) -> Arc<str> {
    let mut keys = published_keys(trust);
    if !keys.iter().any(|jwk| jwk["kid"] == own["kid"]) {
        keys.push(own.clone());
    }
    json!({ "keys": keys }).to_string().into()
}

pub async fn jwks(State(documents): State<Arc<Documents>>) -> Response {
    let json = [(header::CONTENT_TYPE, "application/jwk-set+json")];
    (json, CACHE, documents.keys().to_string()).into_response()
}

pub async fn authorization_server(State(documents): State<Arc<Documents>>) -> Response {
    (super::JSON, CACHE, documents.metadata().to_string()).into_response()
}

/// The same under the name that verifiers of OpenID Connect look under. No ID tokens are given.
pub async fn openid_configuration(State(documents): State<Arc<Documents>>) -> Response {
    let mut metadata = documents.metadata();
    metadata["subject_types_supported"] = json!(["public"]);
    metadata["id_token_signing_alg_values_supported"] = json!(["EdDSA"]);
    (super::JSON, CACHE, metadata.to_string()).into_response()
}
