//! A service account's credential: its access tokens are fetched when a call needs one, kept in memory, and renewed in time.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use channel::{Asked, Channel};
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use outdated::Moment;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;
use tonic::{Status, body::Body};
use url::form_urlencoded::byte_serialize;

use crate::connection;

/// A token this close to its end is not begun with: the call, and a clock that differs, get their time.
const MARGIN: Duration = Duration::from_secs(30);
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// A client id and its secret, and the token that they were last exchanged for.
pub(crate) struct ServiceAccount {
    client_id: String,
    secret: SecretString,
    held: Mutex<Option<Held>>,
}

struct Held {
    bearer: HeaderValue,
    begun: Moment,
    good_for: Duration,
}

#[derive(Deserialize)]
struct Minted {
    access_token: SecretString,
    expires_in: u64,
}

/// RFC 6749, section 5.2.
#[derive(Deserialize)]
struct Refused {
    error: String,
    #[serde(default)]
    error_description: String,
}

impl std::fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceAccount").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

impl ServiceAccount {
    pub fn new(client_id: String, secret: SecretString) -> Self {
        Self { client_id, secret, held: Mutex::new(None) }
    }

    /// `Bearer ..`. Calls that need a new token at the same time wait for the one that fetches it.
    pub async fn bearer(&self, channel: &Channel, deadline: tokio::time::Instant) -> Result<HeaderValue, Status> {
        let mut held = self.held.lock().await;
        if let Some(held) = held.as_ref().filter(|held| held.begun.until(Moment::now()) < held.good_for) {
            return Ok(held.bearer.clone());
        }
        let begun = Moment::now();
        let minted = self.exchange(channel, deadline).await?;
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", minted.access_token.expose_secret()))
            .map_err(|_| Status::internal("the gateway's token cannot stand in a header"))?;
        bearer.set_sensitive(true);
        let good_for = Duration::from_secs(minted.expires_in).saturating_sub(MARGIN);
        *held = Some(Held { bearer: bearer.clone(), begun, good_for });
        Ok(bearer)
    }

    /// It is refused, though its time is not up. Whoever was refused with one that has been renewed since changes nothing.
    pub async fn forget(&self, bearer: &HeaderValue) {
        let mut held = self.held.lock().await;
        if held.as_ref().is_some_and(|held| held.bearer == bearer) {
            *held = None;
        }
    }

    /// Over the connection that the calls take: one address, one TLS.
    async fn exchange(&self, channel: &Channel, deadline: tokio::time::Instant) -> Result<Minted, Status> {
        let escaped = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let basic = STANDARD.encode(format!("{}:{}", escaped(&self.client_id), escaped(self.secret.expose_secret())));
        let request = Request::post("/oauth2/token")
            .header(header::AUTHORIZATION, format!("Basic {basic}"))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::new(Full::new(Bytes::from_static(b"grant_type=client_credentials"))))
            .map_err(|_| Status::invalid_argument("the client id cannot stand in a header"))?;
        let asked = Asked { deadline, told: None, unary: true, repeatable: true };
        let answer = channel.call(request, asked).await.map_err(connection::status)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await.map_err(Status::from_error)?;
        read(status, &body.to_bytes())
    }
}

fn read(status: StatusCode, body: &[u8]) -> Result<Minted, Status> {
    if status.is_success() {
        return serde_json::from_slice(body).map_err(|_| Status::internal("the gateway's answer holds no token"));
    }
    let said = match serde_json::from_slice::<Refused>(body) {
        Ok(refused) if refused.error_description.is_empty() => refused.error,
        Ok(refused) => refused.error_description,
        Err(_) => format!("it answered {status}"),
    };
    let said = format!("no token for this client id and secret: {said}");
    Err(match status.as_u16() {
        400 | 401 | 403 => Status::unauthenticated(said),
        429 => Status::resource_exhausted(said),
        500 => Status::internal(said),
        _ => Status::unavailable(said),
    })
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn a_refusal_keeps_its_kind_and_its_words() {
        let refused = |status: u16, body: &str| {
            let status = read(StatusCode::from_u16(status).unwrap(), body.as_bytes()).map(drop).unwrap_err();
            (status.code(), status.message().to_owned())
        };
        let (code, said) = refused(401, r#"{"error":"invalid_client","error_description":"not known"}"#);
        assert_eq!(code, Code::Unauthenticated);
        assert!(said.ends_with("not known"), "{said}");
        assert_eq!(refused(429, "{}").0, Code::ResourceExhausted);
        assert_eq!(refused(503, "down").0, Code::Unavailable);
        assert_eq!(refused(200, "no json").0, Code::Internal);
    }

    #[test]
    fn what_is_shown_of_an_account_is_not_its_secret() {
        let account = ServiceAccount::new("sa_1".to_owned(), "hush".to_owned().into());
        assert!(!format!("{account:?}").contains("hush"));
    }
}
