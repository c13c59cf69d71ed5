//! Signing in at identity providers.

use api::{
    gateway::v1::{
        CompleteSsoSignInRequest, StartSsoSignInRequest, complete_sso_sign_in_request::Answer,
        start_sso_sign_in_request::Provider,
    },
    member::v1::CompleteSsoRequest,
};
use runtime::Violations;
use tenancy::ProjectId;
use tonic::{Status, metadata::MetadataMap};

use super::{Named, project, required_entrance};
use crate::{ops::sso::At, refusal};

const URI: usize = 2048;
const STATE: usize = 512;
const CODE: usize = 4096;

/// A sign-in that begins.
pub struct SsoStart {
    pub project: Option<ProjectId>,
    pub at: At,
    pub redirect_uri: String,
    pub code_challenge: String,
}

/// Of the letters that PKCE's texts are made of.
fn is_unreserved(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'))
}

pub fn sso_start(metadata: &MetadataMap, message: StartSsoSignInRequest) -> Result<SsoStart, Status> {
    let mut violations = Violations::default();
    let project = project(metadata, &mut violations);
    let at = match message.provider {
        None => {
            violations.add("provider", "must name an organization, by id or slug, or a connection");
            None
        }
        Some(Provider::OrganizationId(id)) => {
            required_entrance(Some(Named::Id(id)), &mut violations).map(At::Organization)
        }
        Some(Provider::OrganizationSlug(slug)) => {
            required_entrance(Some(Named::Slug(slug)), &mut violations).map(At::Organization)
        }
        Some(Provider::ConnectionId(id)) => violations.check("connection_id", id.parse()).map(At::Connection),
    };
    let fits = (1..=URI).contains(&message.redirect_uri.len());
    violations.require(fits, "redirect_uri", "must be 1 to 2,048 bytes");
    let challenge = message.code_challenge.len() == 43 && is_unreserved(&message.code_challenge);
    violations.require(challenge, "code_challenge", "must be a SHA-256 in base64url, without padding");
    let (at,) = violations.all((at,))?;
    Ok(SsoStart { project, at, redirect_uri: message.redirect_uri, code_challenge: message.code_challenge })
}

pub fn sso_completion(
    metadata: &MetadataMap,
    message: CompleteSsoSignInRequest,
) -> Result<(Option<ProjectId>, CompleteSsoRequest), Status> {
    let mut violations = Violations::default();
    let project = project(metadata, &mut violations);
    violations.require((1..=STATE).contains(&message.state.len()), "state", "must be 1 to 512 bytes");
    let verifier = (43..=128).contains(&message.code_verifier.len()) && is_unreserved(&message.code_verifier);
    violations.require(verifier, "code_verifier", "must be 43 to 128 letters, digits and -._~");
    violations.require(message.issuer.len() <= URI, "issuer", "must be at most 2,048 bytes");
    violations.require(message.redirect_uri.len() <= URI, "redirect_uri", "must be at most 2,048 bytes");
    let code = match message.answer {
        Some(Answer::Code(code)) => {
            violations.require((1..=CODE).contains(&code.len()), "code", "must be 1 to 4,096 bytes");
            Some(Some(code))
        }
        Some(Answer::SamlResponse(_)) => Some(None),
        None => {
            violations.add("answer", "must be the code");
            None
        }
    };
    let (code,) = violations.all((code,))?;
    let code = code.ok_or_else(refusal::saml_not_served)?;
    let CompleteSsoSignInRequest { state, code_verifier, issuer, redirect_uri, .. } = message;
    Ok((project, CompleteSsoRequest { project_id: String::new(), state, code, code_verifier, issuer, redirect_uri }))
}
