//! Passing a call on: by its method, without decoding it. Body and trailers stream through in both directions.

use std::{convert::Infallible, future::Future};

use api::Method;
use http::{Request, Response, Uri};
use runtime::{CallContext, Channel};
use tonic::body::Body;
use tower::Service;

use crate::{
    edge::{ClientAddress, headers},
    remote::Backends,
};

/// The services behind the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Org,
    Member,
    Authz,
}

#[derive(Debug, Clone)]
pub struct Forward {
    org: Channel,
    member: Channel,
    authz: Channel,
}

impl Forward {
    pub fn new(backends: &Backends) -> Self {
        Self { org: backends.org.clone(), member: backends.member.clone(), authz: backends.authz.clone() }
    }

    pub fn call(
        &self,
        backend: Backend,
        method: &'static Method,
        request: Request<Body>,
        client: ClientAddress,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> + Send + use<> {
        let mut channel = match backend {
            Backend::Org => self.org.clone(),
            Backend::Member => self.member.clone(),
            Backend::Authz => self.authz.clone(),
        };
        let (parts, body) = request.into_parts();
        let mut onward = Request::new(body);
        *onward.method_mut() = http::Method::POST;
        // The contract's own spelling: no query, no authority of the caller's.
        *onward.uri_mut() = Uri::from_static(method.path);
        *onward.version_mut() = http::Version::HTTP_2;
        *onward.headers_mut() = headers::for_services(parts.headers, client);
        onward.extensions_mut().insert(CallContext::from_extensions(&parts.extensions));
        let answer = channel.call(onward);
        async move { Ok(answer.await.unwrap_or_else(|status| status.into_http())) }
    }
}
