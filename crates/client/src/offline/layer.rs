//! The verified caller in a server: a tower layer for HTTP and gRPC alike, and extractors for axum (with the feature `axum`).
//!
//! ```ignore
//! let app = Router::new()
//!     .route("/invoices", get(list))
//!     .layer(verifier.layer());
//!
//! async fn list(Member(member): Member) -> Json<Vec<Invoice>> { .. }
//! ```
//!
//! A request without a good token does not come as far as the handler. It is answered in its own language: over HTTP 401 with
//! `www-authenticate` (RFC 6750) and an error body as Guildhall's own, 503 while it is not known what was revoked; over gRPC
//! UNAUTHENTICATED and UNAVAILABLE. Whatever is presented is no caller's until it is verified, so a header that claims to be the result is
//! nothing to a handler.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use http_body_util::Full;
use serde_json::json;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::{Caller, OfflineVerifier, Unverified};

/// The domain of Guildhall's error reasons.
const DOMAIN: &str = "guildhall.dev";

/// A body that an answer in place of the handler's can be made of.
pub trait Answer: Default {
    fn of(bytes: Bytes) -> Self;
}

impl Answer for tonic::body::Body {
    fn of(bytes: Bytes) -> Self {
        Self::new(Full::new(bytes))
    }
}

#[cfg(feature = "axum")]
impl Answer for axum::body::Body {
    fn of(bytes: Bytes) -> Self {
        Self::from(bytes)
    }
}

/// Why a request is answered in place of its handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no token, or more than one.
    NoToken,
    Unverified(Unverified),
    /// The caller is not of the kind that the handler is for.
    WrongAudience(&'static str),
    PermissionMissing,
}

impl From<Unverified> for Refusal {
    fn from(why: Unverified) -> Self {
        Self::Unverified(why)
    }
}

impl Refusal {
    fn parts(self) -> (StatusCode, Code, &'static str, String) {
        let refused = |status, code, reason, message: &str| (status, code, reason, message.to_owned());
        match self {
            Self::NoToken | Self::Unverified(Unverified::Invalid) => {
                let message = "a valid access token is needed";
                refused(StatusCode::UNAUTHORIZED, Code::Unauthenticated, "UNAUTHENTICATED", message)
            }
            Self::Unverified(Unverified::Outdated) => {
                let message = "the access token is no longer good; fetch a new one";
                refused(StatusCode::UNAUTHORIZED, Code::Unauthenticated, "CREDENTIAL_REVOKED", message)
            }
            Self::Unverified(Unverified::Unknown) => {
                let message = "it is not known at present which tokens were revoked";
                refused(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "UNAVAILABLE", message)
            }
            Self::WrongAudience(whom) => {
                let message = format!("this is for {whom}");
                (StatusCode::FORBIDDEN, Code::PermissionDenied, "WRONG_AUDIENCE", message)
            }
            Self::PermissionMissing => {
                let message = "a permission is missing";
                refused(StatusCode::FORBIDDEN, Code::PermissionDenied, "PERMISSION_MISSING", message)
            }
        }
    }

    /// Over HTTP: `google.rpc.Status` as JSON, as Guildhall's gateway answers.
    pub fn http<B: Answer>(self) -> Response<B> {
        let (status, code, reason, message) = self.parts();
        let info = json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": DOMAIN});
        let body = json!({"code": code as i32, "message": message, "details": [info]}).to_string();
        let mut response = Response::new(B::of(Bytes::from(body)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let challenge = match self {
            Self::NoToken => Some("Bearer"),
            Self::Unverified(Unverified::Invalid | Unverified::Outdated) => Some("Bearer error=\"invalid_token\""),
            Self::PermissionMissing => Some("Bearer error=\"insufficient_scope\""),
            Self::Unverified(Unverified::Unknown) | Self::WrongAudience(_) => None,
        };
        if let Some(challenge) = challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }

    /// Over gRPC.
    pub fn status(self) -> Status {
        let (_, code, _, message) = self.parts();
        Status::new(code, message)
    }
}

/// The one bearer token of a request.
pub fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(Refusal::NoToken) };
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(Refusal::NoToken)?;
    if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() { Ok(token) } else { Err(Refusal::NoToken) }
}

impl OfflineVerifier {
    /// Lets nobody through whose token is not good, and hands the handler who it is: as an [`Arc`] of [`Caller`] among the request's
    /// extensions.
    pub fn layer(&self) -> VerifyLayer {
        VerifyLayer { verifier: self.clone() }
    }

    /// Who made the request.
    pub async fn verify_headers(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        Ok(self.verify(bearer(headers)?).await?)
    }
}

#[derive(Debug, Clone)]
pub struct VerifyLayer {
    verifier: OfflineVerifier,
}

impl<S> Layer<S> for VerifyLayer {
    type Service = Verify<S>;

    fn layer(&self, inner: S) -> Verify<S> {
        Verify { inner, verifier: self.verifier.clone() }
    }
}

#[derive(Debug, Clone)]
pub struct Verify<S> {
    inner: S,
    verifier: OfflineVerifier,
}

impl<S, B, R> Service<Request<B>> for Verify<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: Answer,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The one that was asked whether it is ready makes the call; its clone takes the next.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let verifier = self.verifier.clone();
        Box::pin(async move {
            let content_type = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
            let grpc = content_type.starts_with(b"application/grpc");
            let verified = match bearer(request.headers()) {
                Ok(token) => verifier.verify(token).await.map_err(Refusal::from),
                Err(refusal) => Err(refusal),
            };
            match verified {
                Ok(caller) => {
                    request.extensions_mut().insert(Arc::new(caller));
                    inner.call(request).await
                }
                Err(refusal) if grpc => Ok(refusal.status().into_http()),
                Err(refusal) => Ok(refusal.http()),
            }
        })
    }
}

#[cfg(feature = "axum")]
mod extract {
    use std::sync::Arc;

    use axum::{
        extract::FromRequestParts,
        response::{IntoResponse, Response},
    };
    use http::request::Parts;

    use super::Refusal;
    use crate::offline::{self, Caller};

    impl IntoResponse for Refusal {
        fn into_response(self) -> Response {
            self.http()
        }
    }

    /// The verified member, in a handler that is for members. Without the layer there is none, and nobody comes in.
    #[derive(Debug, Clone)]
    pub struct Member(pub offline::Member);

    /// Whoever was verified.
    #[derive(Debug, Clone)]
    pub struct Verified(pub Arc<Caller>);

    impl<S: Sync> FromRequestParts<S> for Verified {
        type Rejection = Refusal;

        async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
            parts.extensions.get::<Arc<Caller>>().cloned().map(Self).ok_or(Refusal::NoToken)
        }
    }

    impl<S: Sync> FromRequestParts<S> for Member {
        type Rejection = Refusal;

        async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
            let Verified(caller) = Verified::from_request_parts(parts, state).await?;
            match &*caller {
                Caller::Member(member) => Ok(Self(member.clone())),
                Caller::ServiceAccount(_) => Err(Refusal::WrongAudience("members")),
            }
        }
    }
}

#[cfg(feature = "axum")]
pub use extract::{Member, Verified};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_one_token_or_none() {
        let headers = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_static(value));
            }
            headers
        };
        assert_eq!(bearer(&headers(&["Bearer abc"])), Ok("abc"));
        assert_eq!(bearer(&headers(&["bearer abc"])), Ok("abc"));
        for bad in [&[][..], &["Bearer abc", "Bearer abc"], &["Bearer "], &["Bearer"], &["Basic abc"], &["abc"]] {
            assert_eq!(bearer(&headers(bad)), Err(Refusal::NoToken), "{bad:?}");
        }
    }

    #[test]
    fn a_refusal_says_why_in_either_language() {
        for (refusal, http, grpc, challenge) in [
            (Refusal::NoToken, 401, Code::Unauthenticated, Some("Bearer")),
            (Unverified::Invalid.into(), 401, Code::Unauthenticated, Some("Bearer error=\"invalid_token\"")),
            (Unverified::Outdated.into(), 401, Code::Unauthenticated, Some("Bearer error=\"invalid_token\"")),
            (Unverified::Unknown.into(), 503, Code::Unavailable, None),
            (Refusal::WrongAudience("members"), 403, Code::PermissionDenied, None),
            (Refusal::PermissionMissing, 403, Code::PermissionDenied, Some("Bearer error=\"insufficient_scope\"")),
        ] {
            let response = refusal.http::<tonic::body::Body>();
            let told = response.headers().get(WWW_AUTHENTICATE).map(|value| value.to_str().unwrap());
            assert_eq!((response.status().as_u16(), told), (http, challenge), "{refusal:?}");
            assert_eq!(refusal.status().code(), grpc);
        }
    }
}
