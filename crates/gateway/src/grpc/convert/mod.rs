//! Between the contract's messages and what the operations take and give.

use std::net::{IpAddr, Ipv4Addr};

use access::{Caller, Verified};
use api::gateway::v1::{
    CompleteEmailSignInRequest, IntermediateSession, MemberSession, SignInResult, SignInWithPasswordRequest,
    StartEmailSignInRequest, WhoAmIResponse, sign_in_result::Outcome, sign_in_with_password_request,
    start_email_sign_in_request, who_am_i_response,
};
use prost_types::Timestamp;
use runtime::{CallContext, Violations};
use tenancy::ProjectId;
use tonic::{Request, Status, metadata::MetadataMap};

use crate::{
    edge::{AskedHost, ClientAddress},
    email,
    ops::{
        sessions::{Signed, Visitor},
        sign_in::{EmailAnswer, Entrance, PROJECT_HEADER, Progress},
    },
};

const USER_AGENT_BYTES: usize = 512;
/// Longer than any secret of ours.
const MAX_TOKEN: usize = 512;

mod choice;
mod mfa;
mod sso;

pub use choice::{choices, page_of_choices, selection, sign_up, switch};
pub use mfa::{completed, second_factor};
pub use sso::{SsoStart, sso_completion, sso_start};

pub fn visitor<T>(request: &Request<T>) -> Visitor {
    let address =
        request.extensions().get::<ClientAddress>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |client| client.0);
    let user_agent = request.metadata().get("user-agent").and_then(|value| value.to_str().ok()).unwrap_or_default();
    // Visible ASCII alone gets through `to_str`, so that every byte is a character.
    let user_agent = user_agent.chars().take(USER_AGENT_BYTES).collect();
    let host = request.extensions().get::<AskedHost>().map(|asked| asked.0.clone());
    Visitor { call: CallContext::of(request), address, user_agent, host }
}

/// The project that the header names, if it names one.
pub fn project(metadata: &MetadataMap, violations: &mut Violations) -> Option<ProjectId> {
    let mut values = metadata.get_all(PROJECT_HEADER).iter();
    let value = values.next()?;
    let parsed = value
        .to_str()
        .map_err(|_| "must be a project's id".to_owned())
        .and_then(|text| text.parse::<ProjectId>().map_err(|error| error.to_string()));
    let parsed = if values.next().is_some() { Err("must stand there once".to_owned()) } else { parsed };
    violations.check(PROJECT_HEADER, parsed)
}

/// What an `organization` choice names: its id or its slug.
pub enum Named {
    Id(String),
    Slug(String),
}

impl From<sign_in_with_password_request::Organization> for Named {
    fn from(named: sign_in_with_password_request::Organization) -> Self {
        match named {
            sign_in_with_password_request::Organization::OrganizationId(id) => Self::Id(id),
            sign_in_with_password_request::Organization::OrganizationSlug(slug) => Self::Slug(slug),
        }
    }
}

impl From<start_email_sign_in_request::Organization> for Named {
    fn from(named: start_email_sign_in_request::Organization) -> Self {
        match named {
            start_email_sign_in_request::Organization::OrganizationId(id) => Self::Id(id),
            start_email_sign_in_request::Organization::OrganizationSlug(slug) => Self::Slug(slug),
        }
    }
}

/// The organization that is named. The outer None: it is not well named.
fn entrance(named: Option<Named>, violations: &mut Violations) -> Option<Option<Entrance>> {
    match named {
        None => Some(None),
        Some(Named::Id(id)) => violations.check("organization_id", id.parse()).map(|id| Some(Entrance::Id(id))),
        Some(Named::Slug(slug)) => {
            let fits = (2..=128).contains(&slug.chars().count());
            violations.require(fits, "organization_slug", "must be 2 to 128 characters");
            fits.then_some(Some(Entrance::Slug(slug)))
        }
    }
}

/// The organization that must be named.
fn required_entrance(named: Option<Named>, violations: &mut Violations) -> Option<Entrance> {
    violations.require(named.is_some(), "organization", "must name the organization to enter, by id or slug");
    entrance(named, violations).flatten()
}

fn intermediate_token(token: String, violations: &mut Violations) -> String {
    let fits = (1..=MAX_TOKEN).contains(&token.len());
    violations.require(fits, "intermediate_session_token", "must be 1 to 512 bytes");
    token
}

/// The checked parts of a sign-in with a password.
pub struct PasswordSignIn {
    pub project: Option<ProjectId>,
    pub entrance: Option<Entrance>,
    pub email_address: String,
    pub password: String,
}

pub fn password_sign_in(metadata: &MetadataMap, message: SignInWithPasswordRequest) -> Result<PasswordSignIn, Status> {
    let mut violations = Violations::default();
    let project = project(metadata, &mut violations);
    let entrance = entrance(message.organization.map(Named::from), &mut violations);
    violations.check("email_address", email::check(&message.email_address));
    violations.require(!message.password.is_empty(), "password", "must not be empty");
    let (entrance, ()) = violations.all((entrance, Some(())))?;
    Ok(PasswordSignIn { project, entrance, email_address: message.email_address, password: message.password })
}

/// The checked parts of a sign-in by email.
pub struct EmailSignIn {
    pub project: Option<ProjectId>,
    pub entrance: Option<Entrance>,
    pub email_address: String,
    pub sign_up: bool,
}

pub fn email_sign_in(metadata: &MetadataMap, message: StartEmailSignInRequest) -> Result<EmailSignIn, Status> {
    let mut violations = Violations::default();
    let project = project(metadata, &mut violations);
    let entrance = entrance(message.organization.map(Named::from), &mut violations);
    violations.check("email_address", email::check(&message.email_address));
    let named = matches!(entrance, Some(Some(_)));
    violations.require(!(message.sign_up && named), "sign_up", "is for no organization");
    let (entrance, ()) = violations.all((entrance, Some(())))?;
    Ok(EmailSignIn { project, entrance, email_address: message.email_address, sign_up: message.sign_up })
}

/// The project, and what the mail said.
pub fn email_answer(
    metadata: &MetadataMap,
    message: CompleteEmailSignInRequest,
) -> Result<(Option<ProjectId>, EmailAnswer), Status> {
    let mut violations = Violations::default();
    let project = project(metadata, &mut violations);
    let CompleteEmailSignInRequest { challenge_id, code, token } = message;
    let answer = if token.is_empty() {
        let challenge = violations.check("challenge_id", challenge_id.parse());
        let code: String = code.split_whitespace().collect();
        violations.require((1..=64).contains(&code.len()), "code", "must be 1 to 64 characters");
        challenge.map(|challenge| EmailAnswer::Code(challenge, code))
    } else {
        let alone = challenge_id.is_empty() && code.is_empty() && token.len() <= MAX_TOKEN;
        violations.require(alone, "token", "must be at most 512 bytes, and given without challenge_id and code");
        Some(EmailAnswer::Link(token))
    };
    let (answer,) = violations.all((answer,))?;
    Ok((project, answer))
}

pub fn progress(progress: Progress) -> SignInResult {
    match progress {
        Progress::Signed(signed) => self::signed(*signed),
        Progress::Known(known) => SignInResult {
            outcome: Some(Outcome::IntermediateSession(IntermediateSession {
                intermediate_session_token: known.token,
                expire_time: known.expire_time,
                email_address: known.email_address,
            })),
            ..SignInResult::default()
        },
        Progress::Halfway(missing) => mfa::required(*missing),
    }
}

pub fn signed(signed: Signed) -> SignInResult {
    let session = signed.grant.session.unwrap_or_default();
    SignInResult {
        outcome: Some(Outcome::MemberSession(MemberSession {
            session_id: session.session_id,
            member_id: session.member_id,
            organization_id: session.organization_id,
            organization_slug: signed.grant.organization_slug,
            roles: signed.grant.role_keys,
            expire_time: session.expire_time,
        })),
        access_token: signed.access.token,
        refresh_token: signed.grant.refresh_token,
        expires_in: signed.access.expires_in,
        recovery_codes: Vec::new(),
    }
}

pub fn who_am_i(verified: &Verified) -> WhoAmIResponse {
    let claims = verified.claims.clone();
    let (organization_slug, roles) =
        claims.map(|claims| (claims.org_slug.unwrap_or_default(), claims.roles)).unwrap_or_default();
    let expires_at = i64::try_from(verified.expires_at).unwrap_or(i64::MAX);
    let mut answer = WhoAmIResponse {
        organization_slug,
        roles,
        expire_time: Some(Timestamp { seconds: expires_at, nanos: 0 }),
        ..WhoAmIResponse::default()
    };
    match &verified.caller {
        Caller::Member { project, organization, member, session, .. } => {
            answer.project_id = project.to_string();
            answer.organization_id = organization.to_string();
            answer.session_id = session.to_string();
            answer.caller = Some(who_am_i_response::Caller::MemberId(member.to_string()));
        }
        Caller::ServiceAccount { project, organization, id, .. } => {
            answer.project_id = project.to_string();
            answer.organization_id = organization.map(|id| id.to_string()).unwrap_or_default();
            answer.caller = Some(who_am_i_response::Caller::ServiceAccountId(id.to_string()));
        }
        Caller::Operator => answer.caller = Some(who_am_i_response::Caller::Operator(true)),
        // The edge lets neither of them come here.
        Caller::Anonymous | Caller::Workload { .. } => {}
    }
    answer
}
