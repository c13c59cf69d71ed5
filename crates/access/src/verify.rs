//! Whose token it is. How one is verified is `tokens`'; here is which key may sign what, and what the claims make of a caller.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use outdated::LONGEST_LIFE;
use tenancy::event::sha256;
use tokens::{
    ACCESS_TYPE, AccessClaims, ActClaims, Expected, LEEWAY, MAX_TOKEN, PublicKey, Refused, Token, WORKLOAD_LIFE,
    WORKLOAD_TYPE, WorkloadClaims,
};

use crate::{
    caller::{Caller, Impersonator, Served, Service},
    trust::{Keys, Known, Signer, Trust},
};

/// Of tokens that were verified, by `Entry::bytes`: some 30,000 of the usual size.
const CACHED_BYTES: u64 = 48 * 1024 * 1024;

/// A token that is good, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub caller: Caller,
    /// None for a workload token.
    pub claims: Option<AccessClaims>,
    /// Seconds since 1970: before it, by a clock that was set back, it is no token yet.
    pub begins_at: u64,
    /// Seconds since 1970.
    pub expires_at: u64,
}

/// Verifies what callers of one service present.
#[derive(Debug)]
pub struct Verifier {
    service: Service,
    trust: Trust,
    issuer: String,
    audience: String,
    /// Verified tokens by the SHA-256 of their whole text, each with the keys that it was verified by. A hit is still checked for its
    /// times, and counts for nothing once the keys are others: with a key fall the tokens that it signed.
    cache: moka::sync::Cache<[u8; 32], Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    verified: Arc<Verified>,
    /// The digest of the keys.
    by: [u8; 32],
    /// About what it takes: its claims are as long as its text was, and lists of permissions are lists of short texts.
    bytes: u32,
}

impl Verifier {
    pub fn new(service: Service, trust: Trust, issuer: &str, audience: &str) -> Self {
        Self {
            service,
            trust,
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            cache: moka::sync::Cache::builder()
                .max_capacity(CACHED_BYTES)
                .weigher(|_, entry: &Entry| entry.bytes)
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
        let keys = self.trust.keys();
        let name = sha256(token.as_bytes());
        let verified = match self.cache.get(&name).filter(|entry| entry.by == keys.digest) {
            Some(entry) => entry.verified,
            None => {
                let (verified, by) = self.verify_now(token, keys)?;
                let verified = Arc::new(verified);
                let bytes = u32::try_from(512 + 2 * token.len()).unwrap_or(u32::MAX);
                self.cache.insert(name, Entry { verified: verified.clone(), by: by.digest, bytes });
                verified
            }
        };
        let (now, leeway) = (now(), LEEWAY.as_secs());
        let is_over = now >= verified.expires_at.saturating_add(leeway);
        if is_over || verified.begins_at > now + leeway { Err(Refused) } else { Ok(verified) }
    }

    /// An access token, whomever it is meant for: to say what it is worth, or to end it. It is no credential here.
    pub fn verify_for_any_audience(&self, token: &str) -> Result<Verified, Refused> {
        let token = Token::parse(token)?;
        let mut keys = self.trust.keys();
        if keys.get(token.kid()).is_none() {
            keys = self.trust.keys_again();
        }
        let Known { signer: Signer::Access, key } = keys.get(token.kid()).ok_or(Refused)? else { return Err(Refused) };
        let claims = self.access_claims(&token, key, None)?;
        let caller = access_caller(&claims).ok_or(Refused)?;
        Ok(Verified { caller, begins_at: claims.iat.max(claims.nbf), expires_at: claims.exp, claims: Some(claims) })
    }

    fn access_claims(
        &self,
        token: &Token<'_>,
        key: &PublicKey,
        audience: Option<&str>,
    ) -> Result<AccessClaims, Refused> {
        let expected = Expected { typ: ACCESS_TYPE, issuer: &self.issuer, audience, longest_life: LONGEST_LIFE };
        token.verify(key, &expected, SystemTime::now())
    }

    /// What the token says, and the keys by which it does.
    fn verify_now(&self, token: &str, keys: Arc<Keys>) -> Result<(Verified, Arc<Keys>), Refused> {
        let token = Token::parse(token)?;
        let keys = if keys.get(token.kid()).is_some() { keys } else { self.trust.keys_again() };
        let Known { signer, key } = keys.get(token.kid()).ok_or(Refused)?;
        let verified = match (*signer, token.typ()) {
            (Signer::Access, ACCESS_TYPE) => {
                let claims = self.access_claims(&token, key, Some(&self.audience))?;
                let caller = access_caller(&claims).ok_or(Refused)?;
                let begins_at = claims.iat.max(claims.nbf);
                Verified { caller, begins_at, expires_at: claims.exp, claims: Some(claims) }
            }
            (Signer::Workload(service), WORKLOAD_TYPE) => {
                let expected = Expected {
                    typ: WORKLOAD_TYPE,
                    issuer: service.name(),
                    audience: Some(self.service.name()),
                    longest_life: WORKLOAD_LIFE,
                };
                let claims: WorkloadClaims = token.verify(key, &expected, SystemTime::now())?;
                let named = |text: Option<&str>| text.map(str::parse).transpose().map_err(|_| Refused);
                let (actor, impersonator) = (named(claims.obo.as_deref())?, named(claims.act.as_deref())?);
                // Nobody acts as nobody.
                if claims.sub != service.name() || (impersonator.is_some() && actor.is_none()) {
                    return Err(Refused);
                }
                let on_behalf_of = actor.map(|actor| Served { actor, impersonator });
                let (begins_at, expires_at) = (claims.iat.max(claims.nbf), claims.exp);
                Verified { caller: Caller::Workload { service, on_behalf_of }, begins_at, expires_at, claims: None }
            }
            _ => return Err(Refused),
        };
        Ok((verified, keys))
    }
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
    let of = match &act.org_id {
        None => None,
        Some(organization) => Some(organization.parse().ok()?),
    };
    Some(Impersonator::ServiceAccount(act.sub.parse().ok()?, act.sid.parse().ok()?, of))
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
