//! Where a call came from. `x-forwarded-for` is believed as far as the proxies in front of us wrote it, and no further: what stands left of
//! their entries is the caller's own claim.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::{Extensions, HeaderMap};
use tonic::transport::server::TcpConnectInfo;

use super::ClientAddress;

pub fn client_address(headers: &HeaderMap, extensions: &Extensions, trusted_hops: usize) -> ClientAddress {
    let peer = extensions.get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr).map(|address| address.ip());
    let address = forwarded_for(headers, trusted_hops).or(peer).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    ClientAddress(address.to_canonical())
}

/// The entry that the outermost of our proxies wrote: the address that connected to it.
fn forwarded_for(headers: &HeaderMap, trusted_hops: usize) -> Option<IpAddr> {
    let before_last = trusted_hops.checked_sub(1)?;
    let entries = headers.get_all("x-forwarded-for").iter().rev();
    let mut entries = entries.flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
    let entry = entries.nth(before_last)?.trim();
    let bracketed = || entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    entry.parse().ok().or_else(|| entry.parse::<SocketAddr>().ok().map(|address| address.ip())).or_else(bracketed)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn found(values: &[&'static str], hops: usize) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("x-forwarded-for", HeaderValue::from_static(value));
        }
        let mut extensions = Extensions::new();
        let remote_addr = Some("10.0.0.9:4711".parse().unwrap());
        extensions.insert(TcpConnectInfo { local_addr: None, remote_addr });
        client_address(&headers, &extensions, hops).0.to_string()
    }

    #[test]
    fn a_claim_is_not_believed() {
        assert_eq!(found(&["192.0.2.1"], 0), "10.0.0.9");
        assert_eq!(found(&["192.0.2.1, 198.51.100.7"], 1), "198.51.100.7");
        assert_eq!(found(&["192.0.2.1", "198.51.100.7, 203.0.113.1"], 2), "198.51.100.7");
    }

    #[test]
    fn what_is_no_address_is_passed_over() {
        assert_eq!(found(&[], 1), "10.0.0.9");
        assert_eq!(found(&["unknown"], 1), "10.0.0.9");
        assert_eq!(found(&["192.0.2.1"], 2), "10.0.0.9");
        assert_eq!(found(&["[2001:db8::1]:443"], 1), "2001:db8::1");
        assert_eq!(found(&["[2001:db8::1]"], 1), "2001:db8::1");
        assert_eq!(found(&["::ffff:192.0.2.1"], 1), "192.0.2.1");
        assert_eq!(found(&["192.0.2.1:80"], 1), "192.0.2.1");
    }
}
