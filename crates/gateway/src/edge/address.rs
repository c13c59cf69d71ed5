//! Where a call came from. `x-forwarded-for` is believed as far as proxies of ours wrote it, and no further: an entry is true if the
//! connection, or the entry right of it, is one of their addresses. What stands left of that is the caller's own claim.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::{Extensions, HeaderMap};
use ipnet::IpNet;
use tonic::transport::server::TcpConnectInfo;

use super::ClientAddress;

pub fn client_address(headers: &HeaderMap, extensions: &Extensions, proxies: &[IpNet]) -> ClientAddress {
    let peer = extensions.get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr).map(|address| address.ip());
    let mut known = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)).to_canonical();
    let values = headers.get_all("x-forwarded-for").iter().rev();
    let mut entries = values.flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
    while proxies.iter().any(|network| network.contains(&known)) {
        match entries.next().and_then(address) {
            Some(address) => known = address.to_canonical(),
            // The proxy said nothing that could be read: its own address is all that is known.
            None => break,
        }
    }
    ClientAddress(known)
}

fn address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    let bracketed = || entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    entry.parse().ok().or_else(|| entry.parse::<SocketAddr>().ok().map(|address| address.ip())).or_else(bracketed)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn found(values: &[&'static str], proxies: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("x-forwarded-for", HeaderValue::from_static(value));
        }
        let mut extensions = Extensions::new();
        let remote_addr = Some("10.0.0.9:4711".parse().unwrap());
        extensions.insert(TcpConnectInfo { local_addr: None, remote_addr });
        let proxies: Vec<IpNet> = proxies.iter().map(|network| network.parse().unwrap()).collect();
        client_address(&headers, &extensions, &proxies).0.to_string()
    }

    const OURS: &[&str] = &["10.0.0.0/8", "2001:db8:1::/48"];

    #[test]
    fn a_claim_is_not_believed() {
        assert_eq!(found(&["192.0.2.1"], &[]), "10.0.0.9");
        assert_eq!(found(&["192.0.2.1"], &["10.0.1.0/24"]), "10.0.0.9", "it came from no proxy");
        assert_eq!(found(&["192.0.2.1, 198.51.100.7"], OURS), "198.51.100.7");
        assert_eq!(found(&["192.0.2.1", "198.51.100.7, 10.7.7.7"], OURS), "198.51.100.7");
        assert_eq!(found(&["192.0.2.1, 10.1.1.1, 198.51.100.7, 10.7.7.7"], OURS), "198.51.100.7");
        assert_eq!(found(&["198.51.100.7, 2001:db8:1::5, ::ffff:10.0.0.1"], OURS), "198.51.100.7");
    }

    #[test]
    fn what_is_no_address_is_where_knowledge_ends() {
        assert_eq!(found(&[], OURS), "10.0.0.9");
        assert_eq!(found(&[""], OURS), "10.0.0.9");
        assert_eq!(found(&["192.0.2.1, unknown"], OURS), "10.0.0.9");
        assert_eq!(found(&["192.0.2.1, unknown, 10.7.7.7"], OURS), "10.7.7.7");
        assert_eq!(found(&["10.1.1.1"], OURS), "10.1.1.1");
        assert_eq!(found(&["[2001:db8::1]:443"], OURS), "2001:db8::1");
        assert_eq!(found(&["[2001:db8::1]"], OURS), "2001:db8::1");
        assert_eq!(found(&["::ffff:192.0.2.1"], OURS), "192.0.2.1");
        assert_eq!(found(&["192.0.2.1:80"], OURS), "192.0.2.1");
    }
}
