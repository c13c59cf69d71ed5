//! The decision on every request, before anything is served.
//!
//! Default-deny: a gRPC path that is not in the contract to the letter, or is a workload's, is no method here. Whatever credential is
//! presented is verified, also where none is needed; a workload's is refused although it is good, for services do not come in by the
//! front door. What a service does for anyone at all is limited by where they come from, like signing in. Then comes the list of what was revoked, then the method's audience. The permission is the service's to decide, which
//! verifies the token once more.

mod address;
pub mod headers;
mod layer;

use std::{net::IpAddr, sync::Arc};

use access::{Caller, Invalidations, Verified, Verifier};
use api::{Audience, Method};
use http::{HeaderMap, Request};
use tonic::{Status, body::Body};

pub use layer::EdgeLayer;

/// The name that a call came to, as its caller wrote it: what it stands for is public, and so is who asks for it.
#[derive(Debug, Clone)]
pub struct AskedHost(pub String);

use crate::{
    forward::{Backend, Forward},
    limits::Limits,
    refusal,
};

/// What the edge decides by.
#[derive(Debug)]
pub struct Edge {
    pub verifier: Arc<Verifier>,
    pub invalidations: Arc<Invalidations>,
    pub forward: Forward,
    pub limits: Arc<Limits>,
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// What is served to callers who speak no gRPC.
    pub http: axum::Router,
}

/// Who serves a method that outsiders may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// The gateway itself.
    Own,
    Backend(Backend),
    /// Nobody: it is for workloads.
    Nobody,
}

/// Who serves a method, by its package.
pub fn route(method: &Method) -> Route {
    if method.audience == Audience::Workload {
        return Route::Nobody;
    }
    match method.service.rsplit_once('.').map(|(package, _)| package) {
        Some("guildhall.gateway.v1" | "guildhall.event.v1") => Route::Own,
        Some("guildhall.org.v1") => Route::Backend(Backend::Org),
        Some("guildhall.member.v1") => Route::Backend(Backend::Member),
        Some("guildhall.authz.v1") => Route::Backend(Backend::Authz),
        _ => Route::Nobody,
    }
}

/// The caller's verified credential, as the edge leaves it for the gateway's own services. None: they presented none.
#[derive(Debug, Clone)]
pub struct Presented(pub Option<Arc<Verified>>);

impl Presented {
    /// The credential of a call that needs one.
    pub fn required<T>(request: &tonic::Request<T>) -> Result<Arc<Verified>, Status> {
        request.extensions().get::<Self>().and_then(|presented| presented.0.clone()).ok_or_else(access::unauthenticated)
    }
}

/// Where the call came from, as far as we can believe it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl Edge {
    /// The method of a gRPC request and the credential it came with, once it may be served.
    fn admit(
        &self,
        request: &Request<Body>,
        client: ClientAddress,
    ) -> Result<(&'static Method, Route, Presented), Status> {
        let method = api::method(request.uri().path()).ok_or_else(refusal::unknown_method)?;
        let route = route(method);
        if route == Route::Nobody {
            return Err(refusal::unknown_method());
        }
        // A service cannot know whom it works for when it need not be told. The gateway's own methods count by more than the address.
        if method.audience == Audience::Anyone && matches!(route, Route::Backend(_)) {
            self.limits.sign_in_from(client.0)?;
        }
        let presented = self.credential(request.headers())?;
        let caller = presented.0.as_ref().map_or(&Caller::Anonymous, |verified| &verified.caller);
        access::admit(caller, method)?;
        if let Some(verified) = &presented.0 {
            access::within(verified, method)?;
        }
        Ok((method, route, presented))
    }

    fn credential(&self, headers: &HeaderMap) -> Result<Presented, Status> {
        let Some(token) = access::bearer(headers)? else { return Ok(Presented(None)) };
        let verified = self.verifier.verify(token).map_err(|_| access::unauthenticated())?;
        if matches!(verified.caller, Caller::Workload { .. }) {
            return Err(access::unauthenticated());
        }
        self.invalidations.check(&verified)?;
        Ok(Presented(Some(verified)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_public_method_has_somebody_who_serves_it_and_no_workload_s_has() {
        for method in api::METHODS {
            assert_eq!(route(method) == Route::Nobody, method.audience == Audience::Workload, "{}", method.path);
        }
    }
}
