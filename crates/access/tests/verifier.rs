//! Which key may say what: an access token by the keys of access tokens, a service's call by that service's, and nothing by a key that is
//! published no more.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use access::{AccessClaims, Caller, Service, SigningKey, Trust, Verifier, WorkloadClaims};
use serde_json::{Value, json};
use tempfile::TempDir;
use tenancy::{MemberId, OrganizationId, ProjectId, SessionId};
use tokens::{ACCESS_TYPE, Algorithm, WORKLOAD_TYPE};

const ISSUER: &str = "https://id.test";

struct Installation {
    directory: TempDir,
    access: SigningKey,
    gateway: SigningKey,
    org: SigningKey,
}

fn publish(directory: &Path, name: &str, keys: &[&SigningKey]) {
    let keys: Vec<Value> = keys.iter().map(|key| key.public_jwk()).collect();
    std::fs::write(directory.join(format!("{name}.jwks.json")), json!({ "keys": keys }).to_string()).unwrap();
}

fn key() -> SigningKey {
    SigningKey::generate(Algorithm::EdDsa).unwrap()
}

impl Installation {
    fn new() -> Self {
        let (directory, access, gateway, org) = (TempDir::new().unwrap(), key(), key(), key());
        publish(directory.path(), "access", &[&access]);
        publish(directory.path(), "gateway", &[&gateway]);
        publish(directory.path(), "org-service", &[&org]);
        Self { directory, access, gateway, org }
    }

    /// Of member-service. It looks at the keys each time.
    fn verifier(&self) -> Verifier {
        let trust = Trust::polled(self.directory.path(), Duration::ZERO).unwrap();
        Verifier::new(Service::Member, trust, ISSUER, "guildhall")
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn claims() -> AccessClaims {
    AccessClaims {
        iss: ISSUER.to_owned(),
        sub: MemberId::new().to_string(),
        aud: "guildhall".to_owned(),
        exp: now() + 300,
        iat: now(),
        nbf: now(),
        jti: "1".to_owned(),
        client_id: "guildhall".to_owned(),
        sid: Some(SessionId::new().to_string()),
        project_id: Some(ProjectId::new().to_string()),
        org_id: Some(OrganizationId::new().to_string()),
        org_slug: None,
        roles: Vec::new(),
        amr: Vec::new(),
        acr: None,
        epoch: 0,
        project_epoch: 0,
        act: None,
        permissions: Vec::new(),
    }
}

fn call(from: &str, to: &str) -> WorkloadClaims {
    let (iss, sub, aud) = (from.to_owned(), from.to_owned(), to.to_owned());
    WorkloadClaims { iss, sub, aud, exp: now() + 60, iat: now(), nbf: now(), obo: None, act: None }
}

#[test]
fn each_key_signs_what_it_is_for_and_nothing_else() {
    let us = Installation::new();
    let verifier = us.verifier();
    let good = us.access.sign(ACCESS_TYPE, &claims()).unwrap();
    assert!(matches!(verifier.verify(&good).unwrap().caller, Caller::Member { .. }));
    let called = us.gateway.sign(WORKLOAD_TYPE, &call("gateway", "member-service")).unwrap();
    let by_gateway = Caller::Workload { service: Service::Gateway, on_behalf_of: None };
    assert_eq!(verifier.verify(&called).unwrap().caller, by_gateway);

    let ours = call("gateway", "member-service");
    for (what, token) in [
        ("an access token by a service", us.org.sign(ACCESS_TYPE, &claims())),
        ("an access token by the gateway's own key", us.gateway.sign(ACCESS_TYPE, &claims())),
        ("an access token by a key that nobody published", key().sign(ACCESS_TYPE, &claims())),
        ("a call by a key of access tokens", us.access.sign(WORKLOAD_TYPE, &ours)),
        ("a call in another's name", us.org.sign(WORKLOAD_TYPE, &ours)),
        ("a call with another as subject", {
            us.org.sign(
                WORKLOAD_TYPE,
                &WorkloadClaims { sub: "gateway".to_owned(), ..call("org-service", "member-service") },
            )
        }),
        ("a call of another service", us.gateway.sign(WORKLOAD_TYPE, &call("gateway", "org-service"))),
        ("a call of anybody who takes access tokens", us.gateway.sign(WORKLOAD_TYPE, &call("gateway", "guildhall"))),
        ("a call for an hour", us.gateway.sign(WORKLOAD_TYPE, &WorkloadClaims { exp: now() + 3600, ..ours.clone() })),
        ("a call by nobody as somebody", {
            let act = Some(MemberId::new().to_string());
            us.gateway.sign(WORKLOAD_TYPE, &WorkloadClaims { act, ..ours.clone() })
        }),
        ("a call as an access token", us.gateway.sign(ACCESS_TYPE, &ours)),
        ("for another audience", us.access.sign(ACCESS_TYPE, &AccessClaims { aud: "billing".to_owned(), ..claims() })),
        ("for a service", us.access.sign(ACCESS_TYPE, &AccessClaims { aud: "member-service".to_owned(), ..claims() })),
        (
            "of another issuer",
            us.access.sign(ACCESS_TYPE, &AccessClaims { iss: "https://x.test".to_owned(), ..claims() }),
        ),
        ("of a member nowhere", us.access.sign(ACCESS_TYPE, &AccessClaims { org_id: None, ..claims() })),
        ("of no project", us.access.sign(ACCESS_TYPE, &AccessClaims { project_id: None, ..claims() })),
        ("of the operator in a project", {
            us.access.sign(ACCESS_TYPE, &AccessClaims { sub: "operator".to_owned(), org_id: None, ..claims() })
        }),
    ] {
        assert!(verifier.verify(&token.unwrap()).is_err(), "{what}");
    }
    // Whomever it is for: an access token still, by a key of access tokens.
    let billing = AccessClaims { aud: "billing".to_owned(), ..claims() };
    assert!(verifier.verify_for_any_audience(&us.access.sign(ACCESS_TYPE, &billing).unwrap()).is_ok());
    assert!(verifier.verify_for_any_audience(&us.gateway.sign(ACCESS_TYPE, &billing).unwrap()).is_err());
    assert!(verifier.verify_for_any_audience(&called).is_err());
}

#[test]
fn with_a_key_fall_the_tokens_that_it_signed_and_one_that_comes_is_found() {
    let us = Installation::new();
    let verifier = us.verifier();
    let (old, new) = (us.access.sign(ACCESS_TYPE, &claims()).unwrap(), key());
    let young = new.sign(ACCESS_TYPE, &claims()).unwrap();
    assert!(verifier.verify(&old).is_ok() && verifier.verify(&young).is_err());
    publish(us.directory.path(), "access", &[&us.access, &new]);
    assert!(verifier.verify(&old).is_ok() && verifier.verify(&young).is_ok());
    // Verified before, and remembered: it counts for nothing any more.
    publish(us.directory.path(), "access", &[&new]);
    assert!(verifier.verify(&old).is_err() && verifier.verify(&young).is_ok());
}

#[test]
fn what_was_verified_once_still_expires() {
    let us = Installation::new();
    let verifier = us.verifier();
    // As long as the clocks of two machines may differ is left to it.
    let ends = AccessClaims { exp: now() - 3, iat: now() - 10, nbf: now() - 10, ..claims() };
    let token = us.access.sign(ACCESS_TYPE, &ends).unwrap();
    assert!(verifier.verify(&token).is_ok());
    std::thread::sleep(Duration::from_millis(2200));
    assert!(verifier.verify(&token).is_err());
}

#[test]
fn one_key_is_one_signers() {
    let us = Installation::new();
    let second = key();
    publish(us.directory.path(), "access", &[&us.access, &second]);
    assert!(Trust::read(us.directory.path()).is_ok());
    publish(us.directory.path(), "org-service", &[&us.org, &second]);
    assert!(Trust::read(us.directory.path()).is_err());
}
