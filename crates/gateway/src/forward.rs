//! Passing a call on: by its method, without decoding it. Body and trailers stream through in both directions.

use std::{convert::Infallible, future::Future};

use api::Method;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, header};
use runtime::{CallContext, Channel};
use tonic::body::Body;
use tower::Service;

use crate::{edge::ClientAddress, remote::Backends};

/// The services behind the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Org,
    Member,
    Authz,
}

/// All that goes on of what the caller sent. Everything else stays outside, whatever its name: what the services believe of each other can
/// never be said by an outsider, in no spelling, and a header that is invented later is kept out already. Request id, trace context and
/// the remaining deadline are set anew by the channel.
const PASSED_ON: [HeaderName; 6] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::USER_AGENT,
    HeaderName::from_static("grpc-encoding"),
    HeaderName::from_static("grpc-accept-encoding"),
    HeaderName::from_static("grpc-timeout"),
];

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
        *onward.headers_mut() = onward_headers(parts.headers, client);
        onward.extensions_mut().insert(CallContext::from_extensions(&parts.extensions));
        let answer = channel.call(onward);
        async move { Ok(answer.await.unwrap_or_else(|status| status.into_http())) }
    }
}

fn onward_headers(mut from: HeaderMap, client: ClientAddress) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(16);
    for name in PASSED_ON {
        if let Some(value) = from.remove(&name) {
            headers.insert(name, value);
        }
    }
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    if let Ok(address) = HeaderValue::try_from(client.0.to_string()) {
        headers.insert(HeaderName::from_static("x-forwarded-for"), address);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_goes_on_that_is_not_named() {
        let mut from = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer token"),
            ("content-type", "application/grpc"),
            ("grpc-timeout", "1S"),
            ("guildhall-project-id", "proj_x"),
            ("guildhall_project_id", "proj_x"),
            ("x-guildhall-actor", "operator"),
            ("x_guildhall_actor", "operator"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-host", "evil.test"),
            ("forwarded", "for=192.0.2.1"),
            ("connection", "close"),
            ("transfer-encoding", "chunked"),
            ("content-length", "7"),
            ("cookie", "a=b"),
            ("host", "evil.test"),
        ] {
            from.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let onward = onward_headers(from, ClientAddress("198.51.100.7".parse().unwrap()));
        let mut names: Vec<_> = onward.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["authorization", "content-type", "grpc-timeout", "te", "x-forwarded-for"]);
        assert_eq!(onward["x-forwarded-for"], "198.51.100.7");
    }
}
