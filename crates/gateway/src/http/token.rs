//! `POST /oauth2/token` (RFC 6749): client_credentials for programs, refresh_token for sessions.

use std::{collections::HashMap, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use runtime::CallContext;
use serde_json::json;

use super::oauth_error::OauthError;
use crate::{
    edge::ClientAddress,
    limits::Limits,
    mint::OWN_CLIENT,
    ops::{
        clients::{Clients, Presented},
        sessions::Sessions,
    },
};

pub const NO_STORE: [(HeaderName, &str); 2] = [(header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")];
const MAX_FORM_BYTES: usize = 64 * 1024;
/// Longer than any id or secret of ours.
const MAX_PARAMETER_BYTES: usize = 1024;

#[derive(Debug)]
pub struct Tokens {
    pub clients: Clients,
    pub sessions: Arc<Sessions>,
    pub limits: Arc<Limits>,
}

pub async fn wrong_verb() -> OauthError {
    OauthError::wrong_verb()
}

pub async fn token(State(tokens): State<Arc<Tokens>>, request: Request) -> Result<Response, OauthError> {
    let (parts, body) = request.into_parts();
    let call = CallContext::from_extensions(&parts.extensions);
    if let Some(client) = parts.extensions.get::<ClientAddress>() {
        tokens.limits.token_from(client.0)?;
    }
    let mut form = form(&parts.headers, body).await?;
    if form.remove("scope").is_some() {
        return Err(OauthError::invalid_scope());
    }
    let answer = match form.remove("grant_type").as_deref() {
        Some("client_credentials") => {
            let client = credentials(&parts.headers, &mut form)?.ok_or_else(OauthError::invalid_client)?;
            tokens.limits.token_for(&client.client_id)?;
            let minted = tokens.clients.token(&call, client).await?;
            json!({"access_token": minted.token, "token_type": "Bearer", "expires_in": minted.expires_in})
        }
        Some("refresh_token") => {
            public_client(&parts.headers, &mut form)?;
            let refresh_token =
                form.remove("refresh_token").ok_or_else(|| OauthError::invalid_request("refresh_token is missing"))?;
            let signed = tokens.sessions.refresh(&call, refresh_token).await?;
            json!({
                "access_token": signed.access.token,
                "token_type": "Bearer",
                "expires_in": signed.access.expires_in,
                "refresh_token": signed.grant.refresh_token,
            })
        }
        Some(_) => return Err(OauthError::unsupported_grant_type()),
        None => return Err(OauthError::invalid_request("grant_type is missing")),
    };
    Ok((NO_STORE, super::JSON, answer.to_string()).into_response())
}

/// The parameters, each at most once; an empty one counts as left out (section 3.2).
async fn form(headers: &HeaderMap, body: Body) -> Result<HashMap<String, String>, OauthError> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(OauthError::invalid_request("the content type must be application/x-www-form-urlencoded"));
    }
    let bytes = axum::body::to_bytes(body, MAX_FORM_BYTES).await.map_err(|_| OauthError::too_large())?;
    let mut form = HashMap::new();
    for (name, value) in url::form_urlencoded::parse(&bytes) {
        if value.len() > MAX_PARAMETER_BYTES || name.len() > MAX_PARAMETER_BYTES {
            return Err(OauthError::invalid_request("a parameter is longer than 1024 bytes"));
        }
        if form.insert(name.into_owned(), value.into_owned()).is_some() {
            return Err(OauthError::invalid_request("a parameter stands there twice"));
        }
    }
    form.retain(|_, value| !value.is_empty());
    Ok(form)
}

/// The client's id and secret, from the `authorization` header or the form but not from both (section 2.3). None: there are none.
fn credentials(headers: &HeaderMap, form: &mut HashMap<String, String>) -> Result<Option<Presented>, OauthError> {
    let (client_id, secret) = (form.remove("client_id"), form.remove("client_secret"));
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(client_id.zip(secret).map(|(client_id, secret)| Presented { client_id, secret }));
    };
    let basic = value.to_str().ok().and_then(basic).filter(|_| values.next().is_none());
    let basic = basic.ok_or_else(OauthError::invalid_client)?;
    if secret.is_some() || client_id.is_some_and(|id| id != basic.client_id) {
        return Err(OauthError::invalid_request("the client must authenticate in one way only"));
    }
    Ok(Some(basic))
}

/// Sessions belong to no client that could authenticate: who names one names the one of all people's sign-ins.
fn public_client(headers: &HeaderMap, form: &mut HashMap<String, String>) -> Result<(), OauthError> {
    let named = form.remove("client_id").is_none_or(|id| id == OWN_CLIENT);
    let authenticates = form.remove("client_secret").is_some() || headers.contains_key(header::AUTHORIZATION);
    if named && !authenticates { Ok(()) } else { Err(OauthError::invalid_client()) }
}

/// `Basic` with both parts form-encoded, as section 2.3.1 has it.
fn basic(value: &str) -> Option<Presented> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > 4 * MAX_PARAMETER_BYTES {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (client_id, secret) = text.split_once(':')?;
    let (client_id, secret) = (form_decoded(client_id)?, form_decoded(secret)?);
    (!client_id.is_empty() && !secret.is_empty()).then_some(Presented { client_id, secret })
}

fn form_decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                digit()? << 4 | digit()?
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(String, String)> {
        basic(&format!("Basic {}", STANDARD.encode(text))).map(|found| (found.client_id, found.secret))
    }

    #[test]
    fn basic_credentials_are_form_encoded() {
        assert_eq!(read("sa_1:secret"), Some(("sa_1".to_owned(), "secret".to_owned())));
        assert_eq!(read("a%3Ab:c+d%2F"), Some(("a:b".to_owned(), "c d/".to_owned())));
        assert_eq!(read("id:with:colon"), Some(("id".to_owned(), "with:colon".to_owned())));
        for bad in ["", "id", "id:", ":secret", "id:%zz", "id:%4"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert!(basic("Bearer abc").is_none() && basic("Basic !").is_none() && basic("Basic").is_none());
    }
}
