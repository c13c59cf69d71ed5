//! Verification of tokens (RFC 8725): the algorithm comes from our record of the key, never from the token; type, issuer, audience
//! and times are all required; nothing in the header but `alg`, `typ` and `kid` is accepted.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Validation, decode};
use serde::{Deserialize, de::DeserializeOwned};
use tenancy::event::sha256;

use crate::{
    caller::{Caller, Impersonator, Served, Service},
    claims::{ACCESS_TYPE, AccessClaims, ActClaims, WORKLOAD_TYPE, WorkloadClaims},
    trust::{Known, Trust},
};

/// The clocks of two machines may differ by this much.
const LEEWAY: Duration = Duration::from_secs(5);
/// Longer texts are no tokens of ours.
const MAX_TOKEN: usize = 8 * 1024;
const CACHED_TOKENS: u64 = 50_000;

/// The token is not good. Which of the many ways it is bad is nobody's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token is not valid here")]
pub struct Refused;

/// A token that is good, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub caller: Caller,
    /// None for a workload token.
    pub claims: Option<AccessClaims>,
    /// Seconds since 1970.
    pub expires_at: u64,
}

/// Verifies what callers of one service present.
#[derive(Debug)]
pub struct Verifier {
    service: Service,
    trust: Trust,
    access: Validation,
    issuer: String,
    /// Verified tokens by the SHA-256 of their whole text. A hit is still checked for its expiry.
    cache: moka::sync::Cache<[u8; 32], Arc<Verified>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StrictHeader {
    #[serde(rename = "alg")]
    _alg: String,
    typ: String,
    kid: String,
}

impl Verifier {
    pub fn new(service: Service, trust: Trust, issuer: &str, audience: &str) -> Self {
        Self {
            service,
            trust,
            access: validation(issuer, audience),
            issuer: issuer.to_owned(),
            cache: moka::sync::Cache::builder()
                .max_capacity(CACHED_TOKENS)
                .time_to_live(Duration::from_secs(600))
                .build(),
        }
    }

    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    pub fn verify(&self, token: &str) -> Result<Arc<Verified>, Refused> {
        if token.len() > MAX_TOKEN {
            return Err(Refused);
        }
        let key = sha256(token.as_bytes());
        let verified = match self.cache.get(&key) {
            Some(verified) => verified,
            None => {
                let verified = Arc::new(self.verify_now(token)?);
                self.cache.insert(key, verified.clone());
                verified
            }
        };
        if now() >= verified.expires_at + LEEWAY.as_secs() { Err(Refused) } else { Ok(verified) }
    }

    /// An access token, whomever it is meant for: to say what it is worth, or to end it. It is no credential here.
    pub fn verify_for_any_audience(&self, token: &str) -> Result<Verified, Refused> {
        if token.len() > MAX_TOKEN {
            return Err(Refused);
        }
        let header = strict_header(token)?;
        let known = self.trust.find(&header.kid).ok_or(Refused)?;
        if (known.owner, header.typ.as_str()) != (Service::Gateway, ACCESS_TYPE) {
            return Err(Refused);
        }
        let mut validation = self.access.clone();
        validation.validate_aud = false;
        let claims: AccessClaims = claims(token, &known, &validation)?;
        let caller = access_caller(&claims).ok_or(Refused)?;
        Ok(Verified { caller, expires_at: claims.exp, claims: Some(claims) })
    }

    fn verify_now(&self, token: &str) -> Result<Verified, Refused> {
        let header = strict_header(token)?;
        let known = self.trust.find(&header.kid).ok_or(Refused)?;
        match (known.owner, header.typ.as_str()) {
            (Service::Gateway, ACCESS_TYPE) => {
                let claims: AccessClaims = claims(token, &known, &self.access)?;
                let caller = access_caller(&claims).ok_or(Refused)?;
                Ok(Verified { caller, expires_at: claims.exp, claims: Some(claims) })
            }
            (service, WORKLOAD_TYPE) => {
                let claims: WorkloadClaims = claims(token, &known, &validation(service.name(), self.service.name()))?;
                let named = |text: Option<&str>| text.map(str::parse).transpose().map_err(|_| Refused);
                let (actor, impersonator) = (named(claims.obo.as_deref())?, named(claims.act.as_deref())?);
                // Nobody acts as nobody.
                if claims.sub != service.name() || (impersonator.is_some() && actor.is_none()) {
                    return Err(Refused);
                }
                let on_behalf_of = actor.map(|actor| Served { actor, impersonator });
                Ok(Verified {
                    caller: Caller::Workload { service, on_behalf_of },
                    expires_at: claims.exp,
                    claims: None,
                })
            }
            _ => Err(Refused),
        }
    }
}

fn strict_header(token: &str) -> Result<StrictHeader, Refused> {
    let header = token.split('.').next().ok_or(Refused)?;
    let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| Refused)?;
    serde_json::from_slice(&header).map_err(|_| Refused)
}

fn validation(issuer: &str, audience: &str) -> Validation {
    let mut validation = Validation {
        required_spec_claims: ["exp", "nbf", "aud", "iss", "sub"]
            .into_iter()
            .map(str::to_owned)
            .collect::<HashSet<_>>(),
        leeway: LEEWAY.as_secs(),
        validate_nbf: true,
        ..Validation::default()
    };
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    validation
}

fn claims<C: DeserializeOwned>(token: &str, known: &Known, validation: &Validation) -> Result<C, Refused> {
    let mut validation = validation.clone();
    validation.algorithms = vec![known.algorithm];
    decode::<C>(token, &known.key, &validation).map(|data| data.claims).map_err(|_| Refused)
}

/// A caller's kind is told by the kind of id in `sub`; every claim that the kind needs must be there and well-formed.
fn access_caller(claims: &AccessClaims) -> Option<Caller> {
    let organization = claims.org_id.as_deref().map(str::parse).transpose().ok()?;
    let project = claims.project_id.as_deref().map(str::parse).transpose().ok()?;
    let acts = claims.act.is_some();
    if claims.sub == "operator" {
        return (project.is_none() && organization.is_none() && !acts).then_some(Caller::Operator);
    }
    let (project, sid) = (project?, claims.sid.as_deref()?);
    if let Ok(member) = claims.sub.parse() {
        // An `act` that does not read must not be passed over: the token would be the member's own.
        let impersonator = match &claims.act {
            None => None,
            Some(act) => Some(impersonator(act)?),
        };
        let session = sid.parse().ok()?;
        return Some(Caller::Member { project, organization: organization?, member, session, impersonator });
    }
    if acts {
        return None;
    }
    let id = claims.sub.parse().ok()?;
    Some(Caller::ServiceAccount { project, organization, id, key: sid.parse().ok()? })
}

fn impersonator(act: &ActClaims) -> Option<Impersonator> {
    if let Ok(member) = act.sub.parse() {
        return Some(Impersonator::Member(member, act.sid.parse().ok()?));
    }
    Some(Impersonator::ServiceAccount(act.sub.parse().ok()?, act.sid.parse().ok()?))
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
