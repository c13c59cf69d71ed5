//! Beginning a sign-in at an identity provider.

use access::Granted;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};
use tenancy::{
    ClusterScope, ProjectId, SsoSignInId,
    event::{now, sha256},
    sealing::random,
    secret::{self, SecretKind},
};
use time::{Duration, OffsetDateTime};

use super::SsoError;
use crate::{model::SsoSignIn, ops::Context, remote::Provider, store::sso};

const LIFETIME: Duration = Duration::minutes(10);
/// What the secrets of a sign-in are sealed for, together with its id.
pub(super) const SECRETS: &str = "sso sign-in";

#[derive(Debug)]
pub struct Started {
    pub authorization_uri: String,
    pub state: SecretString,
    pub expire_time: OffsetDateTime,
}

/// The challenge (S256) of a PKCE verifier.
pub(super) fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()))
}

fn secret_text() -> String {
    URL_SAFE_NO_PAD.encode(random::<32>())
}

pub async fn start(
    context: &Context,
    granted: &Granted<ClusterScope>,
    project: ProjectId,
    provider: Provider,
    redirect_uri: String,
    code_challenge: String,
) -> Result<Started, SsoError> {
    let scope = granted.in_project(project).scope;
    let id = SsoSignInId::new();
    let state = secret::issue(SecretKind::SsoState, project.uuid(), id.uuid());
    let (nonce, verifier) = (secret_text(), secret_text());
    let ours = challenge(&verifier);
    let asked = context.remote.authorize_sign_in(
        granted.into(),
        project,
        provider,
        &redirect_uri,
        state.text.expose_secret(),
        (&nonce, &ours),
    );
    let authorized = asked.await?;
    let new = SsoSignIn {
        id,
        code_challenge,
        organization: authorized.organization,
        connection: authorized.connection,
        issuer: authorized.issuer,
        redirect_uri: authorized.redirect_uri,
        expire_time: now() + LIFETIME,
    };
    let secrets =
        context.database.sealer().seal(SECRETS, id.uuid().as_bytes(), format!("{nonce} {verifier}").as_bytes());
    let mut tx = context.database.upkeep(scope).await?;
    sso::begin(tx.connection(), scope, &new, &state.hash, &secrets).await?;
    tx.commit().await?;
    Ok(Started { authorization_uri: authorized.authorization_uri, state: state.text, expire_time: new.expire_time })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_that_of_the_standard() {
        // RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        assert_eq!(secret_text().len(), 43);
    }
}
