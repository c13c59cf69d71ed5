//! How often one may come. Each limit counts in a fixed amount of memory, whoever comes.

mod bucket;

use std::{
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
};

use tenancy::ProjectId;
use tonic::Status;

use crate::{config::LimitOptions, email, refusal};
use bucket::Buckets;

/// The limits at the edge. Where an address and an identity are limited, the address comes first: one who guesses at many identities
/// must not use up theirs.
#[derive(Debug)]
pub struct Limits {
    sign_in_identity: Option<Buckets>,
    sign_in_address: Option<Buckets>,
    sign_in_project: Option<Buckets>,
    token_client: Option<Buckets>,
    token_address: Option<Buckets>,
}

impl Limits {
    pub fn new(options: &LimitOptions) -> Self {
        Self {
            sign_in_identity: Buckets::per_minute(options.sign_in_rate_per_identity),
            sign_in_address: Buckets::per_minute(options.sign_in_rate_per_address),
            sign_in_project: Buckets::per_minute(options.sign_in_rate_per_project),
            token_client: Buckets::per_minute(options.token_rate_per_client),
            token_address: Buckets::per_minute(options.token_rate_per_address),
        }
    }

    pub fn sign_in_from(&self, address: IpAddr) -> Result<(), Status> {
        take(&self.sign_in_address, &network(address))
    }

    pub fn sign_in_as(&self, project: ProjectId, email_address: &str) -> Result<(), Status> {
        take(&self.sign_in_identity, &(project, email::canonical(email_address)))?;
        // What is refused before does not count for all.
        take(&self.sign_in_project, &project)
    }

    pub fn token_from(&self, address: IpAddr) -> Result<(), Status> {
        take(&self.token_address, &network(address))
    }

    pub fn token_for(&self, client_id: &str) -> Result<(), Status> {
        take(&self.token_client, &client_id)
    }
}

fn take(limit: &Option<Buckets>, key: &impl Hash) -> Result<(), Status> {
    match limit {
        Some(limit) => limit.take(key).map_err(refusal::rate_limited),
        None => Ok(()),
    }
}

/// Whoever has one IPv6 address has the other 2^64 of its network too.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_counts_as_one() {
        let same = |a: &str, b: &str| network(a.parse().unwrap()) == network(b.parse().unwrap());
        assert!(same("2001:db8::1", "2001:db8::ffff:1"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(same("::ffff:192.0.2.1", "192.0.2.1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
    }

    #[test]
    fn another_spelling_of_an_address_is_no_second_try() {
        let options = LimitOptions {
            sign_in_rate_per_identity: 2,
            sign_in_rate_per_address: 0,
            sign_in_rate_per_project: 3,
            token_rate_per_client: 0,
            token_rate_per_address: 0,
        };
        let (limits, project) = (Limits::new(&options), ProjectId::new());
        assert!(limits.sign_in_as(project, "ada@acme.test").is_ok());
        assert!(limits.sign_in_as(project, "ADA@acme.test").is_ok());
        let refused = limits.sign_in_as(project, " Ada@ACME.test.").unwrap_err();
        assert_eq!(refusal::reason(&refused), Some(api::access::v1::ErrorReason::RateLimited));
        assert!(limits.sign_in_as(ProjectId::new(), "ada@acme.test").is_ok(), "another project counts apart");
        assert!(limits.sign_in_as(project, "grace@acme.test").is_ok(), "what was refused did not count for all");
        assert!(limits.sign_in_as(project, "linus@acme.test").is_err(), "all together come too often");
        assert!((0..1000).all(|_| limits.sign_in_from("192.0.2.1".parse().unwrap()).is_ok()), "0 is no limit");
    }
}
