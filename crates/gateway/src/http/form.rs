//! The body of a request to one of the OAuth endpoints, and the client that sends it.

use std::collections::HashMap;

use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::oauth_error::OauthError;
use crate::{mint::OWN_CLIENT, ops::clients::Presented};

const MAX_FORM_BYTES: usize = 64 * 1024;
/// As long as the longest token that anybody looks at.
const MAX_PARAMETER_BYTES: usize = 8 * 1024;
/// Longer than any id or secret of ours, each character encoded.
const MAX_BASIC_BYTES: usize = 4 * 1024;
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Parameters by name, each at most once. An empty one counts as left out (RFC 6749, section 3.2).
pub struct Form(HashMap<String, String>);

impl Form {
    pub async fn read(headers: &HeaderMap, body: Body) -> Result<Self, OauthError> {
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(OauthError::invalid_request("the content type must be application/x-www-form-urlencoded"));
        }
        let bytes = axum::body::to_bytes(body, MAX_FORM_BYTES).await.map_err(|_| OauthError::too_large())?;
        let mut form = HashMap::new();
        for (name, value) in url::form_urlencoded::parse(&bytes) {
            if value.len() > MAX_PARAMETER_BYTES || name.len() > MAX_PARAMETER_BYTES {
                return Err(OauthError::invalid_request("a parameter is longer than 8192 bytes"));
            }
            if form.insert(name.into_owned(), value.into_owned()).is_some() {
                return Err(OauthError::invalid_request("a parameter stands there twice"));
            }
        }
        form.retain(|_, value| !value.is_empty());
        Ok(Self(form))
    }

    pub fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    pub fn required(&mut self, name: &str) -> Result<String, OauthError> {
        self.take(name).ok_or_else(|| OauthError::invalid_request(format!("{name} is missing")))
    }

    /// The client that proves itself, in one way (RFC 6749, section 2.3; RFC 7523, section 2.2). None: nobody does, as people's sign-ins,
    /// which belong to no client that could.
    pub fn client(&mut self, headers: &HeaderMap) -> Result<Option<Presented>, OauthError> {
        let (id, secret) = (self.take("client_id"), self.take("client_secret"));
        let (assertion, kind) = (self.take("client_assertion"), self.take("client_assertion_type"));
        if assertion.is_some() != kind.is_some() || kind.is_some_and(|kind| kind != JWT_BEARER) {
            return Err(OauthError::invalid_request("client_assertion and client_assertion_type do not fit together"));
        }
        let mut authorization = headers.get_all(header::AUTHORIZATION).iter();
        let basic = match authorization.next() {
            None => None,
            Some(value) => {
                let basic = value.to_str().ok().and_then(basic).filter(|_| authorization.next().is_none());
                Some(basic.ok_or_else(OauthError::invalid_client)?)
            }
        };
        let same = |basic: &str| id.as_deref().is_none_or(|id| id == basic);
        match (basic, secret, assertion) {
            (Some((client_id, secret)), None, None) if same(&client_id) => {
                Ok(Some(Presented::Secret { client_id, secret }))
            }
            (None, Some(secret), None) => match id {
                Some(client_id) => Ok(Some(Presented::Secret { client_id, secret })),
                None => Err(OauthError::invalid_request("client_id is missing")),
            },
            (None, None, Some(assertion)) => {
                Ok(Some(Presented::Assertion { client_id: id.unwrap_or_default(), assertion }))
            }
            (None, None, None) if id.as_deref().is_none_or(|id| id == OWN_CLIENT) => Ok(None),
            (None, None, None) => Err(OauthError::invalid_client()),
            _ => Err(OauthError::invalid_request("the client must authenticate in one way only")),
        }
    }
}

/// `Basic` with both parts form-encoded, as section 2.3.1 has it.
fn basic(value: &str) -> Option<(String, String)> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > MAX_BASIC_BYTES {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (client_id, secret) = text.split_once(':')?;
    let (client_id, secret) = (form_decoded(client_id)?, form_decoded(secret)?);
    (!client_id.is_empty() && !secret.is_empty()).then_some((client_id, secret))
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
        basic(&format!("Basic {}", STANDARD.encode(text)))
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

    #[test]
    fn a_client_proves_itself_in_one_way() {
        let client = |parameters: &[(&str, &str)], authorization: Option<&str>| {
            let form = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let mut headers = HeaderMap::new();
            if let Some(value) = authorization {
                headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            }
            Form(form).client(&headers).map(|presented| presented.is_some()).map_err(|error| error.word())
        };
        let basic = format!("Basic {}", STANDARD.encode("sa:secret"));
        let assertion = [("client_assertion", "a.b.c"), ("client_assertion_type", JWT_BEARER)];
        let (id, secret) = (("client_id", "sa"), ("client_secret", "secret"));
        for (parameters, authorization, outcome) in [
            (vec![], None, Ok(false)),
            (vec![("client_id", OWN_CLIENT)], None, Ok(false)),
            (vec![id], None, Err("invalid_client")),
            (vec![id, secret], None, Ok(true)),
            (vec![secret], None, Err("invalid_request")),
            (vec![], Some(basic.as_str()), Ok(true)),
            (vec![id], Some(basic.as_str()), Ok(true)),
            (vec![("client_id", "other")], Some(basic.as_str()), Err("invalid_request")),
            (vec![secret], Some(basic.as_str()), Err("invalid_request")),
            (vec![], Some("Bearer x"), Err("invalid_client")),
            (assertion.to_vec(), None, Ok(true)),
            (assertion[..1].to_vec(), None, Err("invalid_request")),
            (assertion[1..].to_vec(), None, Err("invalid_request")),
            ([assertion.to_vec(), vec![id, secret]].concat(), None, Err("invalid_request")),
            (assertion.to_vec(), Some(basic.as_str()), Err("invalid_request")),
            (vec![assertion[0], ("client_assertion_type", "saml")], None, Err("invalid_request")),
        ] {
            assert_eq!(client(&parameters, authorization), outcome, "{parameters:?} {authorization:?}");
        }
    }
}
