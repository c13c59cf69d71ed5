//! The authentication layer: method, credential, audience. Default-deny: a path that is not in the contract is no method.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use api::{Audience, Method};
use futures::future::{Either, Ready, ready};
use http::{HeaderMap, Request, Response, header::AUTHORIZATION};
use outdated::Bearer;
use runtime::Peer;
use tonic::{Status, body::Body};
use tower::{Layer, Service as TowerService};

use crate::{
    caller::{Caller, Service},
    invalidations::{self, Invalidations},
    refusal::{not_yet_served, permission_missing, unauthenticated, unknown_method, wrong_audience},
    verify::{Verified, Verifier},
};

/// What the layer leaves in the request for [`crate::Access`] to go on from.
#[derive(Debug, Clone)]
pub(crate) struct Authenticated {
    pub caller: Caller,
    pub method: &'static Method,
    /// When the credential ends, in seconds since 1970.
    pub expires_at: u64,
    /// What may be taken back before then.
    pub bearer: Option<Bearer>,
    /// A credential that is good for the permissions that it names, and for no other of its holder's.
    pub narrowed: Option<Arc<Verified>>,
}

/// Whether a method takes this kind of caller, and is served.
pub fn admit(caller: &Caller, method: &'static Method) -> Result<(), Status> {
    if !caller.fits(method) {
        return Err(if *caller == Caller::Anonymous { unauthenticated() } else { wrong_audience(method) });
    }
    if method.served { Ok(()) } else { Err(not_yet_served(method)) }
}

/// Whether a credential that is good for less than its holder may do is good for a method.
///
/// One that names permissions is good for the methods that ask for one of them, and to read about oneself. Who acts as a member reads
/// about them too, and changes nothing that is a person's own to change: that member's sessions and credentials among it.
pub fn within(verified: &Verified, method: &'static Method) -> Result<(), Status> {
    let named = named(verified);
    let whole = named.is_empty() && verified.caller.impersonator().is_none();
    match method.audience {
        // What these need to know is in the request.
        Audience::Anyone => Ok(()),
        _ if whole || matches!(verified.caller, Caller::Workload { .. }) => Ok(()),
        Audience::Self_ if method.read_only => Ok(()),
        Audience::Organization if named.is_empty() || named.iter().any(|named| named == method.permission) => Ok(()),
        Audience::Organization => Err(permission_missing(method.permission)),
        Audience::Self_ | Audience::Project | Audience::Operator | Audience::Workload => Err(wrong_audience(method)),
    }
}

/// The permissions that a credential names. None: it is good for all of its holder's.
pub(crate) fn named(verified: &Verified) -> &[String] {
    verified.claims.as_ref().map(|claims| claims.permissions.as_slice()).unwrap_or_default()
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

/// Whether a caller comes by a connection of this process, where connections are by mutual TLS. A service calls by its own, and by the
/// gateway's come those from outside, whose calls it passes on as they are. So neither a service's certificate nor its key opens anything
/// alone, and what was stolen of a caller's is good only where it always was, at the gateway.
fn brings(peer: &Peer, caller: &Caller) -> bool {
    let Peer(name) = peer;
    match caller {
        Caller::Workload { service, .. } => service.name() == *name,
        Caller::Anonymous | Caller::Member { .. } | Caller::ServiceAccount { .. } | Caller::Operator => {
            Service::Gateway.name() == *name
        }
    }
}

fn authenticate(
    verifier: &Verifier,
    invalidations: &Invalidations,
    headers: &HeaderMap,
    path: &str,
    peer: Option<&Peer>,
) -> Result<Authenticated, Status> {
    let method = api::method(path).ok_or_else(unknown_method)?;
    let (caller, expires_at, bearer, narrowed) = match self::bearer(headers)? {
        None => (Caller::Anonymous, u64::MAX, None, None),
        Some(token) => {
            let verified = verifier.verify(token).map_err(|_| unauthenticated())?;
            within(&verified, method)?;
            let bearer = invalidations::bearer(&verified);
            if let Some(bearer) = &bearer {
                invalidations.check_bearer(bearer)?;
            }
            let (caller, expires_at) = (verified.caller.clone(), verified.expires_at);
            (caller, expires_at, bearer, Some(verified).filter(|verified| !named(verified).is_empty()))
        }
    };
    if peer.is_some_and(|peer| !brings(peer, &caller)) {
        return Err(unauthenticated());
    }
    // Whoever may call without a credential may also call with one; a workload still only where it is named.
    if method.audience != Audience::Anyone || matches!(caller, Caller::Workload { .. }) || !method.served {
        admit(&caller, method)?;
    }
    Ok(Authenticated { caller, method, expires_at, bearer, narrowed })
}

#[derive(Debug, Clone)]
pub struct AccessLayer {
    verifier: Arc<Verifier>,
    invalidations: Arc<Invalidations>,
}

impl AccessLayer {
    pub(crate) fn new(verifier: Arc<Verifier>, invalidations: Arc<Invalidations>) -> Self {
        Self { verifier, invalidations }
    }
}

impl<S> Layer<S> for AccessLayer {
    type Service = Authentication<S>;

    fn layer(&self, inner: S) -> Authentication<S> {
        Authentication { inner, verifier: self.verifier.clone(), invalidations: self.invalidations.clone() }
    }
}

#[derive(Debug, Clone)]
pub struct Authentication<S> {
    inner: S,
    verifier: Arc<Verifier>,
    invalidations: Arc<Invalidations>,
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
        let (headers, path, peer) = (request.headers(), request.uri().path(), request.extensions().get());
        match authenticate(&self.verifier, &self.invalidations, headers, path, peer) {
            Ok(authenticated) => {
                request.extensions_mut().insert(authenticated);
                Either::Left(self.inner.call(request))
            }
            Err(status) => Either::Right(ready(Ok(status.into_http()))),
        }
    }
}
