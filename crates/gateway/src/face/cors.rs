//! Which pages of other origins may read our answers (CORS). Credentials travel in the `authorization` header, which a page has to set
//! itself; cookies are not looked at, so no answer allows them.

use std::{convert::Infallible, str::FromStr, time::Duration};

use http::{HeaderName, HeaderValue, Method, Request, Response, header};
use tonic::body::Body;
use tower::{Layer, Service};
use tower_http::cors::{AllowOrigin, Cors, CorsLayer};

use crate::ops::sign_in::PROJECT_HEADER;

/// For so long may a browser keep what a preflight said. Browsers keep it for two hours at the most.
const PREFLIGHT: Duration = Duration::from_secs(2 * 60 * 60);

/// An origin as browsers send it: `https://app.example.com`, with a port only where it is not the scheme's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(HeaderValue);

impl FromStr for Origin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FAULT: &str =
            "must be an origin such as https://app.example.com, as browsers send it: no path, no wildcard";
        let url = url::Url::parse(text).map_err(|_| FAULT)?;
        let plain = matches!(url.scheme(), "http" | "https")
            && !text.contains('*')
            && url.origin().ascii_serialization() == text;
        let value = HeaderValue::from_str(text).map_err(|_| FAULT)?;
        if plain { Ok(Self(value)) } else { Err(FAULT) }
    }
}

/// None where no origin is allowed.
pub fn layer(origins: &[Origin]) -> Option<CorsLayer> {
    let list = origins.iter().map(|origin| origin.0.clone());
    let cors = CorsLayer::new()
        .allow_origin(AllowOrigin::list(list))
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static(PROJECT_HEADER),
            HeaderName::from_static("grpc-timeout"),
            // Those that gRPC-Web clients send of themselves.
            HeaderName::from_static("x-grpc-web"),
            HeaderName::from_static("x-user-agent"),
            runtime::RequestId::HEADER,
            runtime::TraceContext::HEADER,
            runtime::TraceContext::STATE_HEADER,
        ])
        .expose_headers([
            HeaderName::from_static("grpc-status"),
            HeaderName::from_static("grpc-message"),
            HeaderName::from_static("grpc-status-details-bin"),
            header::RETRY_AFTER,
            header::ETAG,
            runtime::RequestId::HEADER,
        ])
        .max_age(PREFLIGHT);
    (!origins.is_empty()).then_some(cors)
}

/// A preflight is answered by the layer; a plain OPTIONS, which asks for no leave, is not.
pub fn layered<S>(cors: &CorsLayer, inner: S) -> Cors<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    cors.layer(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_browsers_send() {
        for good in
            ["https://app.example.com", "http://localhost:3000", "https://xn--bcher-kva.example", "http://[::1]:8080"]
        {
            assert!(good.parse::<Origin>().is_ok(), "{good}");
        }
        for bad in [
            "*",
            "null",
            "",
            "app.example.com",
            "https://*.example.com",
            "https://app.example.com/",
            "https://app.example.com:443",
            "https://APP.example.com",
            "https://user@app.example.com",
            "ftp://app.example.com",
            "file:///",
        ] {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
    }
}
