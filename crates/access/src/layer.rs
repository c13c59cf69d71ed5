//! The authentication layer: method, credential, audience. Default-deny: a path that is not in the contract is no method.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use api::{Audience, Method};
use futures::future::{Either, Ready, ready};
use http::{HeaderMap, Request, Response, header::AUTHORIZATION};
use tonic::{Status, body::Body};
use tower::{Layer, Service as TowerService};

use crate::{
    caller::Caller,
    refusal::{not_yet_served, unauthenticated, unknown_method, wrong_audience},
    verify::Verifier,
};

/// What the layer leaves in the request for [`crate::Access`] to go on from.
#[derive(Debug, Clone)]
pub(crate) struct Authenticated {
    pub caller: Caller,
    pub method: &'static Method,
    /// When the credential ends, in seconds since 1970.
    pub expires_at: u64,
}

/// Whether a method takes this kind of caller, and is served.
pub fn admit(caller: &Caller, method: &'static Method) -> Result<(), Status> {
    if !caller.fits(method) {
        return Err(if *caller == Caller::Anonymous { unauthenticated() } else { wrong_audience(method) });
    }
    if method.served { Ok(()) } else { Err(not_yet_served(method)) }
}

/// The bearer token of a request: None where there is no `authorization` header, an error where there is one that is no single
/// well-formed bearer token.
pub fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Status> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let token = value.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
    });
    match (token, values.next()) {
        (Some(token), None) => Ok(Some(token)),
        _ => Err(unauthenticated()),
    }
}

fn authenticate(verifier: &Verifier, headers: &HeaderMap, path: &str) -> Result<Authenticated, Status> {
    let method = api::method(path).ok_or_else(unknown_method)?;
    let (caller, expires_at) = match bearer(headers)? {
        None => (Caller::Anonymous, u64::MAX),
        Some(token) => {
            let verified = verifier.verify(token).map_err(|_| unauthenticated())?;
            (verified.caller.clone(), verified.expires_at)
        }
    };
    // Whoever may call without a credential may also call with one; a workload still only where it is named.
    if method.audience != Audience::Anyone || matches!(caller, Caller::Workload { .. }) || !method.served {
        admit(&caller, method)?;
    }
    Ok(Authenticated { caller, method, expires_at })
}

#[derive(Debug, Clone)]
pub struct AccessLayer {
    verifier: Arc<Verifier>,
}

impl AccessLayer {
    pub(crate) fn new(verifier: Arc<Verifier>) -> Self {
        Self { verifier }
    }
}

impl<S> Layer<S> for AccessLayer {
    type Service = Authentication<S>;

    fn layer(&self, inner: S) -> Authentication<S> {
        Authentication { inner, verifier: self.verifier.clone() }
    }
}

#[derive(Debug, Clone)]
pub struct Authentication<S> {
    inner: S,
    verifier: Arc<Verifier>,
}

impl<S, B> TowerService<Request<B>> for Authentication<S>
where
    S: TowerService<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Self::Response, Self::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // Health and reflection are about the process, not about anybody's data.
        if request.uri().path().starts_with("/grpc.") {
            return Either::Left(self.inner.call(request));
        }
        match authenticate(&self.verifier, request.headers(), request.uri().path()) {
            Ok(authenticated) => {
                request.extensions_mut().insert(authenticated);
                Either::Left(self.inner.call(request))
            }
            Err(status) => Either::Right(ready(Ok(status.into_http()))),
        }
    }
}
