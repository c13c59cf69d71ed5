//! What names the replicas of a service.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::uri::{Authority, Scheme};
use url::{Host, Url};

/// More are a mistake.
const MAX_TARGETS: usize = 64;

/// The address of a service cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    #[error("must be http://host:port or https://host:port, or several of them with commas in between")]
    Url,
    #[error("must be http:// or https:// throughout")]
    Mixed,
    #[error("must be https:// with mutual TLS")]
    Plaintext,
    #[error("the machine's resolver cannot be used")]
    Resolver,
    #[error("the TLS settings cannot be used")]
    Tls(#[source] tls::Error),
}

/// One entry of the list.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub place: Place,
    pub origin: Arc<Origin>,
}

#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// An address needs no look-up.
    Address(SocketAddr),
    Name(String, u16),
}

/// What a replica is called as, wherever it is: `:scheme`, `:authority`, and the name that its certificate must hold.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub scheme: Scheme,
    pub authority: Authority,
    pub host: String,
}

pub(crate) fn parse(text: &str) -> Result<Vec<Target>, AddressError> {
    let targets = text.split(',').map(|one| target(one.trim())).collect::<Result<Vec<_>, _>>()?;
    let (Some(first), true) = (targets.first(), targets.len() <= MAX_TARGETS) else { return Err(AddressError::Url) };
    if targets.iter().any(|target| target.origin.scheme != first.origin.scheme) {
        return Err(AddressError::Mixed);
    }
    Ok(targets)
}

fn target(text: &str) -> Result<Target, AddressError> {
    let url = Url::parse(text).map_err(|_| AddressError::Url)?;
    let scheme = match url.scheme() {
        "http" => Scheme::HTTP,
        "https" => Scheme::HTTPS,
        _ => return Err(AddressError::Url),
    };
    let port = url.port_or_known_default().ok_or(AddressError::Url)?;
    let place = match url.host().ok_or(AddressError::Url)? {
        Host::Domain(name) => Place::Name(name.to_owned(), port),
        Host::Ipv4(address) => Place::Address((IpAddr::V4(address), port).into()),
        Host::Ipv6(address) => Place::Address((IpAddr::V6(address), port).into()),
    };
    let host = match &place {
        Place::Name(name, _) => name.clone(),
        Place::Address(address) => address.ip().to_string(),
    };
    let origin = url.origin().ascii_serialization();
    let authority = origin.split_once("://").map_or("", |(_, authority)| authority);
    let authority = Authority::try_from(authority).map_err(|_| AddressError::Url)?;
    Ok(Target { place, origin: Arc::new(Origin { scheme, authority, host }) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_may_hold_names_and_addresses() {
        let targets = parse("http://org:7101, http://10.0.0.7:7101,http://[::1]:7101").expect("a list");
        let authorities: Vec<_> = targets.iter().map(|target| target.origin.authority.as_str()).collect();
        assert_eq!(authorities, ["org:7101", "10.0.0.7:7101", "[::1]:7101"]);
        assert!(matches!(&targets[0].place, Place::Name(name, 7101) if name == "org"));
        assert!(matches!(targets[2].place, Place::Address(address) if address.is_ipv6()));
    }

    #[test]
    fn what_is_no_list_of_urls_is_refused() {
        for text in
            ["", "org:7101", "ftp://org:7101", "http://", "http://a:1,", ",http://a:1", "http://a:1,https://a:2"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&vec!["http://a:1"; MAX_TARGETS + 1].join(",")).is_err());
    }

    #[test]
    fn with_mutual_tls_nothing_goes_in_plaintext() {
        assert!(crate::check("https://org:7101,https://10.0.0.7:7101", true).is_ok());
        assert!(crate::check("http://org:7101", false).is_ok());
        assert!(matches!(crate::check("http://org:7101", true), Err(AddressError::Plaintext)));
    }
}
