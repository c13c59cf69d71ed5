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
use serde_json::{Value, json};
use tokens::KeySet;

/// For as long may others keep the metadata.
const CACHE: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "public, max-age=300")];
/// How a service account proves itself.
const CLIENT_METHODS: [&str; 3] = ["client_secret_basic", "client_secret_post", "private_key_jwt"];
/// As member-service takes them of registered keys.
const ASSERTION_ALGORITHMS: [&str; 3] = ["EdDSA", "ES256", "RS256"];

#[derive(Debug)]
pub struct Documents {
    issuer: String,
    trust: PathBuf,
    poll: Duration,
    /// For as long may others keep the key set. A new key is published for longer than this before it signs.
    keys_cache: String,
    keys: Mutex<(Instant, Arc<str>)>,
}

impl Documents {
    pub fn new(options: &AccessOptions) -> Self {
        let (issuer, trust) = (options.issuer.clone(), options.trust.clone());
        let keys = Mutex::new((Instant::now(), key_set(&trust).unwrap_or_else(|| r#"{"keys":[]}"#.into())));
        let keys_cache = format!("public, max-age={}", options.key_cache_time.as_secs());
        Self { issuer, trust, poll: options.key_poll, keys_cache, keys }
    }

    /// A small local file, so it is read in place. One that cannot be read leaves the keys as they were.
    fn keys(&self) -> Arc<str> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.0.elapsed() >= self.poll {
            let read = key_set(&self.trust).unwrap_or_else(|| keys.1.clone());
            *keys = (Instant::now(), read);
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

/// The public keys of access tokens, as the trust directory has them for the services too: those that sign, those before them and those
/// to come. What is not among them signs nothing. None where they cannot be read.
fn key_set(trust: &Path) -> Option<Arc<str>> {
    let text = std::fs::read(trust.join("access.jwks.json")).ok()?;
    let set = KeySet::parse(&text).ok()?;
    let mut keys: Vec<_> = set.iter().collect();
    keys.sort_by_key(|key| (key.algorithm(), key.kid()));
    let keys: Vec<_> = keys.into_iter().map(|key| key.jwk()).collect();
    Some(json!({ "keys": keys }).to_string().into())
}

pub async fn jwks(State(documents): State<Arc<Documents>>) -> Response {
    let json = [(header::CONTENT_TYPE, "application/jwk-set+json")];
    let cache = [(header::CACHE_CONTROL, documents.keys_cache.clone())];
    (json, cache, documents.keys().to_string()).into_response()
}

pub async fn authorization_server(State(documents): State<Arc<Documents>>) -> Response {
    (super::JSON, CACHE, documents.metadata().to_string()).into_response()
}

/// The same under the name that verifiers of OpenID Connect look under. No ID tokens are given.
pub async fn openid_configuration(State(documents): State<Arc<Documents>>) -> Response {
    let mut metadata = documents.metadata();
    metadata["subject_types_supported"] = json!(["public"]);
    metadata["id_token_signing_alg_values_supported"] = json!(["EdDSA", "ES256", "RS256"]);
    (super::JSON, CACHE, metadata.to_string()).into_response()
}
