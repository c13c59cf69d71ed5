//! Access tokens: JWTs of type `at+jwt` (RFC 9068), signed with the key of their project's algorithm that signs now.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use access::{AccessOptions, Ring};
use api::member::v1::SessionGrant;
use serde::Serialize;
use serde_json::Value;
use tenancy::{ApiKeyId, MemberId, OrganizationId, ProjectId, ServiceAccountId};
use tokens::{ACCESS_TYPE, AccessClaims, ActClaims, Algorithm};
use tonic::Status;

use crate::{proofs, refusal};

/// How long an access token is good for where its project says nothing else, and one in which somebody acts as another at most.
pub const LIFETIME: Duration = Duration::from_secs(300);
const _: () = assert!(LIFETIME.as_secs() <= outdated::LONGEST_LIFE.as_secs());
/// `client_id` of a person's sign-in, which no OAuth client asked for.
pub const OWN_CLIENT: &str = "guildhall";

/// No token is longer: what carries it often takes no more for all headers together.
pub const MAX_TOKEN: usize = 4096;

#[derive(Debug)]
pub struct Mint {
    keys: Arc<Ring>,
    issuer: String,
    audience: String,
}

/// A token, and for how many seconds it is good.
#[derive(Debug)]
pub struct Minted {
    pub token: String,
    pub expires_in: i32,
}

/// What a token says besides whom it is about.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The project's.
    pub algorithm: Algorithm,
    /// The project's.
    pub lifetime: Duration,
    /// None: the installation's.
    pub audience: Option<String>,
    pub permissions: Vec<String>,
    /// Where they are an organization's: what they were read at.
    pub held_at: Option<HeldAt>,
    /// It expires then at the latest. Seconds since 1970.
    pub not_after: Option<u64>,
    pub act: Option<ActClaims>,
    /// The project's own claims, in the order of their declaration.
    pub custom: Vec<(String, Value)>,
}

impl Terms {
    /// Those of a token about which nothing was asked.
    pub fn of(algorithm: Algorithm, lifetime: Duration) -> Self {
        let (permissions, custom) = (Vec::new(), Vec::new());
        Self { algorithm, lifetime, audience: None, permissions, held_at: None, not_after: None, act: None, custom }
    }
}

/// An organization's revision in authz-service, and its project's.
#[derive(Debug, Clone, Copy, Default)]
pub struct HeldAt {
    pub epoch: i64,
    pub project_epoch: i64,
}

/// Those of a caller who belongs to no project.
impl Default for Terms {
    fn default() -> Self {
        Self::of(Algorithm::EdDsa, LIFETIME)
    }
}

/// The claims with those of the project.
#[derive(Serialize)]
struct WithCustom<'a> {
    #[serde(flatten)]
    claims: &'a AccessClaims,
    #[serde(flatten)]
    custom: BTreeMap<&'a str, &'a Value>,
}

impl Mint {
    pub fn new(keys: Arc<Ring>, options: &AccessOptions) -> Self {
        Self { keys, issuer: options.issuer.clone(), audience: options.audience.clone() }
    }

    /// What tokens are for that are good at Guildhall itself.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// For a member, by a session.
    pub fn member(&self, grant: &SessionGrant, terms: Terms) -> Result<Minted, Status> {
        let session = grant.session.clone().unwrap_or_default();
        let mut claims = self.claims(session.member_id, OWN_CLIENT.to_owned());
        claims.sid = Some(session.session_id);
        claims.project_id = Some(grant.project_id.clone());
        claims.org_id = Some(session.organization_id);
        claims.org_slug = Some(grant.organization_slug.clone());
        claims.roles = grant.role_keys.clone();
        claims.amr = proofs::amr(&session.auth_factors);
        claims.acr = proofs::acr(&session.auth_factors);
        claims.epoch = grant.epoch;
        self.sign("member", claims, terms)
    }

    pub fn service_account(
        &self,
        project: ProjectId,
        organization: Option<OrganizationId>,
        id: ServiceAccountId,
        key: ApiKeyId,
        terms: Terms,
    ) -> Result<Minted, Status> {
        let mut claims = self.claims(id.to_string(), id.to_string());
        claims.sid = Some(key.to_string());
        claims.project_id = Some(project.to_string());
        claims.org_id = organization.map(|id| id.to_string());
        self.sign("service_account", claims, terms)
    }

    /// A token for less, of one that is good.
    pub fn narrowed(&self, from: &AccessClaims, client_id: String, terms: Terms) -> Result<Minted, Status> {
        let AccessClaims { iss, iat, nbf, jti, .. } = self.claims(String::new(), String::new());
        let terms = Terms { not_after: Some(terms.not_after.map_or(from.exp, |time| time.min(from.exp))), ..terms };
        let claims = AccessClaims { iss, iat, nbf, jti, client_id, permissions: Vec::new(), ..from.clone() };
        self.sign("exchanged", claims, terms)
    }

    pub fn operator(&self, client_id: &str) -> Result<Minted, Status> {
        self.sign("operator", self.claims("operator".to_owned(), client_id.to_owned()), Terms::default())
    }

    /// Those that every token has. Its end comes with the terms.
    fn claims(&self, sub: String, client_id: String) -> AccessClaims {
        let now = now();
        AccessClaims {
            iss: self.issuer.clone(),
            sub,
            aud: self.audience.clone(),
            exp: now,
            iat: now,
            nbf: now,
            jti: uuid::Uuid::now_v7().to_string(),
            client_id,
            sid: None,
            project_id: None,
            org_id: None,
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

    /// What makes the token too large is left out, what a verifier can do without first: the project's own claims from the last on, then the
    /// roles, which are for display. What was asked for is never left out.
    fn sign(&self, kind: &'static str, mut claims: AccessClaims, terms: Terms) -> Result<Minted, Status> {
        let Terms { algorithm, lifetime, audience, permissions, held_at, not_after, act, mut custom } = terms;
        claims.aud = audience.unwrap_or(claims.aud);
        let exp = claims.iat + lifetime.min(outdated::LONGEST_LIFE).as_secs();
        claims.exp = not_after.map_or(exp, |time| time.min(exp));
        (claims.permissions, claims.act) = (permissions, act);
        if let Some(HeldAt { epoch, project_epoch }) = held_at {
            // Roles and permissions may have been read one after the other: the token is as old as the older. A service account's says
            // nothing of roles.
            let says_roles = claims.sub.parse::<MemberId>().is_ok();
            claims.epoch = if says_roles { claims.epoch.min(epoch) } else { epoch };
            claims.project_epoch = project_epoch;
        }
        let expires_in = claims.exp.saturating_sub(claims.iat).try_into().unwrap_or(i32::MAX);
        let key = self.keys.signer(algorithm).ok_or_else(|| runtime::internal(&NoKey { algorithm }))?;
        loop {
            let token = match custom.as_slice() {
                [] => key.sign(ACCESS_TYPE, &claims),
                custom => {
                    let custom = custom.iter().map(|(name, value)| (name.as_str(), value)).collect();
                    key.sign(ACCESS_TYPE, &WithCustom { claims: &claims, custom })
                }
            };
            let token = token.map_err(|error| runtime::internal(&error))?;
            if token.len() <= MAX_TOKEN {
                meters::MINTED.count_of("kind", kind);
                return Ok(Minted { token, expires_in });
            }
            if custom.pop().is_none() {
                if claims.roles.is_empty() {
                    return Err(refusal::token_too_large());
                }
                claims.roles.clear();
            }
        }
    }
}

/// INTERNAL: the key ring lacks what a project asks for.
#[derive(Debug, thiserror::Error)]
#[error("no {algorithm} key may sign access tokens now")]
struct NoKey {
    algorithm: Algorithm,
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
