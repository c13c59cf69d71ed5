//! Trying what can be tried of a connection without a person.

use access::Tenant;
use serde_json::Value;
use tenancy::ConnectionId;
use time::{Duration, OffsetDateTime};
use url::Url;

use super::{ConnectionError, Connections};
use crate::{
    model::{Connection, ConnectionKind, SamlSettings},
    outside::{FetchError, Fetcher},
    store::connection,
};

/// Between two tests of one connection.
const PAUSE: Duration = Duration::seconds(10);

/// One thing that was tried. No detail where all went well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub name: &'static str,
    pub fault: Option<String>,
}

pub async fn test(connections: &Connections, scope: Tenant, id: ConnectionId) -> Result<Vec<Check>, ConnectionError> {
    let _place = connections.outside.enter(scope.key()).await?;
    let mut tx = connections.database.upkeep(scope).await?;
    let found = connection::find(tx.connection(), scope.key(), id).await?;
    let connection = found.ok_or(ConnectionError::Unknown)?;
    if !connection::note_test(tx.connection(), scope.key(), id, PAUSE).await? {
        return Err(ConnectionError::TooSoon);
    }
    tx.commit().await?;
    Ok(match (connection.kind, &connection.saml) {
        (ConnectionKind::Saml, Some(saml)) => vec![certificates(saml, OffsetDateTime::now_utc())],
        _ => discovery(&connections.fetcher, &connection).await,
    })
}

fn check(name: &'static str, outcome: Result<(), String>) -> Check {
    Check { name, fault: outcome.err() }
}

fn certificates(saml: &SamlSettings, now: OffsetDateTime) -> Check {
    let mut faults = Vec::new();
    for (at, certificate) in saml.certificates.iter().enumerate() {
        match certificate.validity() {
            None => faults.push(format!("certificate {at} cannot be read")),
            Some((from, _)) if now < from => faults.push(format!("certificate {at} is not valid yet")),
            Some((_, until)) if now > until => faults.push(format!("certificate {at} has expired")),
            Some(_) => {}
        }
    }
    Check { name: "certificates", fault: (!faults.is_empty()).then(|| faults.join("; ")) }
}

/// What depends on the discovery document is left out where there is none.
async fn discovery(fetcher: &Fetcher, connection: &Connection) -> Vec<Check> {
    let document = match connection.issuer.discovery() {
        Some(url) => fetcher.json(&url).await.map_err(|error| format!("the discovery document's host {error}")),
        None => Err("the issuer is no address".to_owned()),
    };
    let document = match document {
        Ok(document) => document,
        Err(fault) => return vec![check("discovery", Err(fault))],
    };
    let faults = faults_of(&document, connection.issuer.as_str());
    let discovery = check("discovery", if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) });
    let (keys, authorization, token) = tokio::join!(
        keys(fetcher, &document),
        endpoint(fetcher, &document, "authorization_endpoint"),
        endpoint(fetcher, &document, "token_endpoint"),
    );
    vec![discovery, check("keys", keys), check("authorization_endpoint", authorization), check("token_endpoint", token)]
}

/// What a document says must fit how we sign in: its own issuer, the code flow, PKCE with S256, signatures that can be checked.
fn faults_of(document: &Value, issuer: &str) -> Vec<&'static str> {
    let lists = |field: &str| document[field].as_array();
    let holds = |field: &str, word: &str| lists(field).is_some_and(|list| list.iter().any(|value| value == word));
    let mut faults = Vec::new();
    if document["issuer"] != issuer {
        faults.push("its issuer is not the connection's issuer, to the letter");
    }
    if !holds("response_types_supported", "code") {
        faults.push("its response_types_supported do not hold `code`");
    }
    if lists("code_challenge_methods_supported").is_some() && !holds("code_challenge_methods_supported", "S256") {
        faults.push("its code_challenge_methods_supported do not hold `S256`");
    }
    let signed = |word: &Value| word.as_str().is_some_and(|word| SIGNATURES.contains(&word));
    if !lists("id_token_signing_alg_values_supported").is_some_and(|list| list.iter().any(signed)) {
        faults.push("its id_token_signing_alg_values_supported hold none that is asymmetric");
    }
    faults
}

const SIGNATURES: [&str; 10] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];

fn url_in(document: &Value, field: &str) -> Result<Url, String> {
    let text = document[field].as_str().ok_or_else(|| format!("the discovery document has no {field}"))?;
    Url::parse(text).map_err(|_| format!("{field} is no address"))
}

async fn endpoint(fetcher: &Fetcher, document: &Value, field: &'static str) -> Result<(), String> {
    let url = url_in(document, field)?;
    fetcher.may_call(&url).await.map_err(|error: FetchError| format!("{field} {error}"))
}

async fn keys(fetcher: &Fetcher, document: &Value) -> Result<(), String> {
    let url = url_in(document, "jwks_uri")?;
    let set = fetcher.json(&url).await.map_err(|error| format!("jwks_uri {error}"))?;
    let signs = |key: &Value| {
        ["RSA", "EC", "OKP"].iter().any(|kind| key["kty"] == **kind) && (key["use"].is_null() || key["use"] == "sig")
    };
    match set["keys"].as_array() {
        Some(keys) if keys.iter().any(signs) => Ok(()),
        Some(_) => Err("jwks_uri has no key that signatures are checked with".to_owned()),
        None => Err("jwks_uri has no keys".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_fault_of_a_document_is_told() {
        let good = json!({"issuer": "https://idp.acme.test", "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["HS256", "RS256"]});
        assert_eq!(faults_of(&good, "https://idp.acme.test"), Vec::<&str>::new());
        assert_eq!(faults_of(&good, "https://idp.acme.test/").len(), 1);
        let bad = json!({"issuer": ["https://idp.acme.test"], "response_types_supported": "code",
            "code_challenge_methods_supported": ["plain"], "id_token_signing_alg_values_supported": ["none", "HS256"]});
        assert_eq!(faults_of(&bad, "https://idp.acme.test").len(), 4);
    }
}
