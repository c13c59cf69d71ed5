//! Sessions.

use std::net::IpAddr;

use api::member::v1::{self as proto, AuthFactorMethod, CreateSessionRequest, SessionEndReason};
use runtime::Violations;
use secrecy::ExposeSecret;
use tenancy::mask;
use tonic::Status;

use super::{member, time::read_time, timestamp};
use crate::{
    model::{AuthFactor, AuthMethod, EndReason, Fault, Session, SessionGrant, cut},
    ops::session::Beginning,
};

const MAX_FACTORS: usize = 8;
const USER_AGENT_BYTES: usize = 512;

pub fn session(session: &Session) -> proto::Session {
    proto::Session {
        session_id: session.session_id.to_string(),
        identity_id: session.identity_id.to_string(),
        member_id: session.member_id.to_string(),
        organization_id: session.organization_id.to_string(),
        auth_factors: session.auth_factors.iter().map(auth_factor).collect(),
        user_agent: session.user_agent.clone(),
        ip_address: session.ip_address.clone(),
        create_time: Some(timestamp(session.create_time)),
        last_active_time: Some(timestamp(session.last_active_time)),
        expire_time: Some(timestamp(session.ends())),
        // A session changes by nothing but its marks of use.
        update_time: Some(timestamp(session.create_time)),
        etag: mask::etag(session.revision),
    }
}

pub fn grant(grant: &SessionGrant) -> proto::SessionGrant {
    proto::SessionGrant {
        session: Some(session(&grant.session)),
        member: Some(member(&grant.member)),
        refresh_token: grant.refresh_token.expose_secret().to_owned(),
        organization_slug: grant.session.organization_slug.clone(),
        role_keys: grant.member.role_keys(),
        epoch: grant.member.member.epoch,
        project_id: grant.project_id.to_string(),
    }
}

pub fn auth_factor(factor: &AuthFactor) -> proto::AuthFactor {
    let method = match factor.method {
        AuthMethod::Password => AuthFactorMethod::Password,
        AuthMethod::EmailCode => AuthFactorMethod::EmailCode,
        AuthMethod::EmailLink => AuthFactorMethod::EmailLink,
        AuthMethod::Totp => AuthFactorMethod::Totp,
        AuthMethod::RecoveryCode => AuthFactorMethod::RecoveryCode,
        AuthMethod::Oidc => AuthFactorMethod::Oidc,
        AuthMethod::Saml => AuthFactorMethod::Saml,
        AuthMethod::Passkey => AuthFactorMethod::Passkey,
    };
    proto::AuthFactor { method: method.into(), time: Some(timestamp(factor.time)) }
}

fn read_factor(factor: &proto::AuthFactor) -> Result<AuthFactor, Fault> {
    let method = match factor.method() {
        AuthFactorMethod::Unspecified => return Err(Fault("must name a method")),
        AuthFactorMethod::Password => AuthMethod::Password,
        AuthFactorMethod::EmailCode => AuthMethod::EmailCode,
        AuthFactorMethod::EmailLink => AuthMethod::EmailLink,
        AuthFactorMethod::Totp => AuthMethod::Totp,
        AuthFactorMethod::RecoveryCode => AuthMethod::RecoveryCode,
        AuthFactorMethod::Oidc => AuthMethod::Oidc,
        AuthFactorMethod::Saml => AuthMethod::Saml,
        AuthFactorMethod::Passkey => AuthMethod::Passkey,
    };
    Ok(AuthFactor { method, time: read_time(factor.time.ok_or(Fault("must have a time"))?)? })
}

pub fn end_reason(reason: EndReason) -> SessionEndReason {
    match reason {
        EndReason::SignedOut => SessionEndReason::SignedOut,
        EndReason::Revoked => SessionEndReason::Revoked,
        EndReason::TokenReused => SessionEndReason::RefreshTokenReused,
        EndReason::MemberSuspended => SessionEndReason::MemberSuspended,
        EndReason::MemberRemoved => SessionEndReason::MemberRemoved,
        EndReason::IdentitySuspended => SessionEndReason::IdentitySuspended,
    }
}

pub fn read_beginning(request: &CreateSessionRequest) -> Result<Beginning, Status> {
    let mut violations = Violations::default();
    let member = violations.check("member_id", request.member_id.parse());
    let count = request.auth_factors.len();
    violations.require((1..=MAX_FACTORS).contains(&count), "auth_factors", "must be 1 to 8");
    let factors = request.auth_factors.iter().take(MAX_FACTORS).enumerate();
    let mut auth_factors: Vec<AuthFactor> =
        factors.filter_map(|(at, f)| violations.check(format!("auth_factors[{at}]"), read_factor(f))).collect();
    auth_factors.sort_by_key(|factor| factor.time);
    let ip_address = match request.ip_address.as_str() {
        "" => Some(String::new()),
        text => violations.check("ip_address", text.parse::<IpAddr>()).map(|ip| ip.to_string()),
    };
    let (member, ip_address) = violations.all((member, ip_address))?;
    Ok(Beginning { member, auth_factors, user_agent: cut(&request.user_agent, USER_AGENT_BYTES), ip_address })
}
