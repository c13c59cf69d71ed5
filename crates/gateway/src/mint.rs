//! Access tokens: JWTs of type `at+jwt` (RFC 9068), signed with the gateway's key.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use access::{AccessClaims, AccessOptions, SigningKey};
use api::member::v1::{AuthFactor, AuthFactorMethod, SessionGrant};
use tenancy::{ApiKeyId, OrganizationId, ProjectId, ServiceAccountId};
use tonic::Status;

/// How long an access token is good for.
pub const LIFETIME: Duration = Duration::from_secs(300);
/// `client_id` of a person's sign-in, which no OAuth client asked for.
pub const OWN_CLIENT: &str = "guildhall";

#[derive(Debug)]
pub struct Mint {
    key: Arc<SigningKey>,
    issuer: String,
    audience: String,
}

/// A token, and for how many seconds it is good.
#[derive(Debug)]
pub struct Minted {
    pub token: String,
    pub expires_in: i32,
}

impl Mint {
    pub fn new(key: Arc<SigningKey>, options: &AccessOptions) -> Self {
        Self { key, issuer: options.issuer.clone(), audience: options.audience.clone() }
    }

    /// For a member, by a session.
    pub fn member(&self, grant: &SessionGrant) -> Result<Minted, Status> {
        let session = grant.session.clone().unwrap_or_default();
        let mut claims = self.claims(session.member_id, OWN_CLIENT.to_owned());
        claims.sid = Some(session.session_id);
        claims.project_id = Some(grant.project_id.clone());
        claims.org_id = Some(session.organization_id);
        claims.org_slug = Some(grant.organization_slug.clone());
        claims.roles = grant.role_keys.clone();
        claims.amr = amr(&session.auth_factors);
        claims.epoch = grant.epoch;
        self.sign(&claims)
    }

    pub fn service_account(
        &self,
        project: ProjectId,
        organization: Option<OrganizationId>,
        id: ServiceAccountId,
        key: ApiKeyId,
    ) -> Result<Minted, Status> {
        let mut claims = self.claims(id.to_string(), id.to_string());
        claims.sid = Some(key.to_string());
        claims.project_id = Some(project.to_string());
        claims.org_id = organization.map(|id| id.to_string());
        self.sign(&claims)
    }

    pub fn operator(&self, client_id: &str) -> Result<Minted, Status> {
        self.sign(&self.claims("operator".to_owned(), client_id.to_owned()))
    }

    fn claims(&self, sub: String, client_id: String) -> AccessClaims {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        AccessClaims {
            iss: self.issuer.clone(),
            sub,
            aud: self.audience.clone(),
            exp: now + LIFETIME.as_secs(),
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
        }
    }

    fn sign(&self, claims: &AccessClaims) -> Result<Minted, Status> {
        let token = self.key.sign("at+jwt", claims).map_err(|error| runtime::internal(&error))?;
        Ok(Minted { token, expires_in: LIFETIME.as_secs().try_into().unwrap_or(i32::MAX) })
    }
}

/// The values of RFC 8176, each once, in the order of the proofs; `mfa` when they are of more than one kind.
fn amr(factors: &[AuthFactor]) -> Vec<String> {
    let mut values: Vec<&str> = Vec::new();
    for factor in factors {
        let value = match factor.method() {
            AuthFactorMethod::Password => "pwd",
            AuthFactorMethod::EmailCode
            | AuthFactorMethod::EmailLink
            | AuthFactorMethod::Totp
            | AuthFactorMethod::RecoveryCode => "otp",
            // Not in the RFC's registry, and what others write for a sign-in that somebody else vouched for.
            AuthFactorMethod::Oidc | AuthFactorMethod::Saml | AuthFactorMethod::Social => "fed",
            AuthFactorMethod::Passkey => "hwk",
            AuthFactorMethod::Unspecified => continue,
        };
        if !values.contains(&value) {
            values.push(value);
        }
    }
    if values.len() > 1 {
        values.push("mfa");
    }
    values.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs_become_registered_values() {
        let of = |methods: &[AuthFactorMethod]| {
            let factors: Vec<_> =
                methods.iter().map(|&m| AuthFactor { method: m.into(), ..AuthFactor::default() }).collect();
            amr(&factors)
        };
        assert_eq!(of(&[AuthFactorMethod::Password]), ["pwd"]);
        assert_eq!(of(&[AuthFactorMethod::EmailCode]), ["otp"]);
        assert_eq!(of(&[AuthFactorMethod::Password, AuthFactorMethod::Totp]), ["pwd", "otp", "mfa"]);
        assert_eq!(of(&[]), Vec::<String>::new());
    }
}
