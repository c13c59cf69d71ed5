//! What of a caller's headers gets in. Everything that is not named here stays outside, whatever its name: what services believe of each
//! other can never be said by an outsider, in no spelling, and a header that is invented later is kept out already.
//!
//! Request id, trace context and deadline are read by the layers, which pass on values of their own. `x-forwarded-for` is read for the
//! caller's address, as far as proxies of ours wrote it, and goes on as that one address.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::ClientAddress;
use crate::ops::sign_in::PROJECT_HEADER;

/// What gRPC itself needs, and the credential.
const OF_A_CALL: [HeaderName; 6] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::USER_AGENT,
    HeaderName::from_static("grpc-encoding"),
    HeaderName::from_static("grpc-accept-encoding"),
    HeaderName::from_static("grpc-timeout"),
];

/// For the services behind the gateway.
pub fn for_services(from: HeaderMap, client: ClientAddress) -> HeaderMap {
    let mut headers = of_a_call(from);
    if let Ok(address) = HeaderValue::try_from(client.0.to_string()) {
        headers.insert(HeaderName::from_static("x-forwarded-for"), address);
    }
    headers
}

/// For what the gateway serves itself: also who signs in where. Each value of it, since two are refused.
pub fn for_ourselves(mut from: HeaderMap) -> HeaderMap {
    let project = HeaderName::from_static(PROJECT_HEADER);
    let named = match from.entry(&project) {
        header::Entry::Occupied(entry) => entry.remove_entry_mult().1.collect(),
        header::Entry::Vacant(_) => Vec::new(),
    };
    let mut headers = of_a_call(from);
    for value in named {
        headers.append(&project, value);
    }
    headers
}

/// The first value of each: where a second one matters, the edge has refused the call.
fn of_a_call(mut from: HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(16);
    for name in OF_A_CALL {
        if let Some(value) = from.remove(&name) {
            headers.insert(name, value);
        }
    }
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn nothing_goes_on_that_is_not_named() {
        let mut from = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer token"),
            ("content-type", "application/grpc"),
            ("grpc-timeout", "1S"),
            ("guildhall-project-id", "proj_x"),
            ("guildhall_project_id", "proj_x"),
            ("guildhall-project-id-bin", "cHJval94"),
            ("x-internal-scope", "cluster"),
            ("x_internal_scope", "cluster"),
            ("x-internal-scope-bin", "eA=="),
            ("x-guildhall-actor", "operator"),
            ("x_guildhall_actor", "operator"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x_forwarded_for", "192.0.2.1"),
            ("x-forwarded-host", "evil.test"),
            ("x-original-url", "/v1/catalog"),
            ("x-http-method-override", "DELETE"),
            ("x-real-ip", "192.0.2.1"),
            ("forwarded", "for=192.0.2.1"),
            ("proxy-authorization", "Bearer token"),
            ("authorization-bin", "eA=="),
            ("grpc-previous-rpc-attempts", "1"),
            ("connection", "close"),
            ("transfer-encoding", "chunked"),
            ("content-length", "7"),
            ("cookie", "a=b"),
            ("host", "evil.test"),
        ] {
            from.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let onward = for_services(from.clone(), ClientAddress("198.51.100.7".parse().unwrap()));
        assert_eq!(names(&onward), ["authorization", "content-type", "grpc-timeout", "te", "x-forwarded-for"]);
        assert_eq!(onward["x-forwarded-for"], "198.51.100.7");
        from.append("guildhall-project-id", HeaderValue::from_static("proj_y"));
        let own = for_ourselves(from);
        assert_eq!(names(&own), ["authorization", "content-type", "grpc-timeout", "guildhall-project-id", "te"]);
        assert_eq!(own.get_all("guildhall-project-id").iter().count(), 2);
    }
}
