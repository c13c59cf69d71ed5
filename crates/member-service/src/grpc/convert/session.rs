//! Sessions.

use std::net::IpAddr;

use api::member::v1::{
    self as proto, AuthFactorMethod, CreateSessionRequest, EntranceRight, ExchangeSessionRequest,
    ImpersonateMemberRequest, SessionEndReason,
};
use runtime::Violations;
use secrecy::ExposeSecret;
use tenancy::{
    OrganizationId, ProjectId, SessionId,
    event::now,
    mask,
    secret::{self, Presented, SecretKind},
};
use time::OffsetDateTime;
use tonic::Status;

use super::{member, time::read_time, timestamp};
use crate::{
    grpc::refusal,
    model::{
        AuthFactor, AuthMethod, EndReason, Entered, Entrance, Fault, IssuedIntermediate, SecondFactorRequired, Session,
        SessionGrant, cut,
    },
    ops::{
        entry::{Arrival, LIFETIME},
        session::{Beginning, Impersonation},
    },
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
        expire_time: Some(timestamp(session.expire_time)),
        // A session changes by nothing but its marks of use.
        update_time: Some(timestamp(session.create_time)),
        etag: mask::etag(session.revision),
        impersonator: session
            .impersonator
            .as_deref()
            .and_then(|text| text.parse().ok())
            .map(|actor| feed::actor_to_proto(&actor)),
    }
}

pub fn grant(grant: &SessionGrant) -> proto::SessionGrant {
    proto::SessionGrant {
        session: Some(session(&grant.session)),
        member: Some(member(&grant.member)),
        refresh_token: grant.refresh_token.expose_secret().to_owned(),
        organization_slug: grant.session.organization_slug.clone(),
        role_keys: grant.member.role_keys(),
        epoch: grant.epoch,
        project_id: grant.project_id.to_string(),
        second_factor_required: None,
    }
}

pub fn entered(entered: &Entered) -> proto::SessionGrant {
    match entered {
        Entered::Session(grant) => self::grant(grant),
        Entered::Halfway(missing) => proto::SessionGrant {
            second_factor_required: Some(second_factor_required(missing)),
            ..proto::SessionGrant::default()
        },
    }
}

fn second_factor_required(missing: &SecondFactorRequired) -> proto::SecondFactorRequired {
    let enrolled = if missing.enrollment.is_none() { vec![AuthFactorMethod::Totp.into()] } else { Vec::new() };
    proto::SecondFactorRequired {
        intermediate_session: Some(intermediate(&missing.intermediate)),
        organization_id: missing.organization_id.to_string(),
        organization_slug: missing.organization_slug.clone(),
        enrolled_methods: enrolled,
        totp_enrollment: missing.enrollment.as_ref().map(|shown| proto::TotpEnrollment {
            provisioning_uri: shown.provisioning_uri.expose_secret().to_owned(),
            secret: shown.secret.expose_secret().to_owned(),
        }),
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
        AuthMethod::Social => AuthFactorMethod::Social,
    };
    let connection_id = factor.connection_id.map(|id| id.to_string()).unwrap_or_default();
    proto::AuthFactor { method: method.into(), time: Some(timestamp(factor.time)), connection_id }
}

fn read_factor(factor: &proto::AuthFactor) -> Result<AuthFactor, Fault> {
    let method = match factor.method() {
        AuthFactorMethod::Unspecified => return Err(Fault("must name a method")),
        AuthFactorMethod::Password => AuthMethod::Password,
        AuthFactorMethod::EmailCode => AuthMethod::EmailCode,
        AuthFactorMethod::EmailLink => AuthMethod::EmailLink,
        AuthFactorMethod::Totp => AuthMethod::Totp,
        AuthFactorMethod::RecoveryCode => AuthMethod::RecoveryCode,
        // They come by an intermediate session, which knows the connection.
        AuthFactorMethod::Oidc | AuthFactorMethod::Saml | AuthFactorMethod::Social => {
            return Err(Fault("must be one that the gateway is told of"));
        }
        AuthFactorMethod::Passkey => AuthMethod::Passkey,
    };
    let time = read_time(factor.time.ok_or(Fault("must have a time"))?)?;
    Ok(AuthFactor::given(method, time))
}

pub fn end_reason(reason: EndReason) -> SessionEndReason {
    match reason {
        EndReason::SignedOut => SessionEndReason::SignedOut,
        EndReason::Revoked => SessionEndReason::Revoked,
        EndReason::TokenReused => SessionEndReason::RefreshTokenReused,
        EndReason::MemberSuspended => SessionEndReason::MemberSuspended,
        EndReason::MemberRemoved => SessionEndReason::MemberRemoved,
        EndReason::IdentitySuspended => SessionEndReason::IdentitySuspended,
        EndReason::PasswordChanged => SessionEndReason::PasswordChanged,
        EndReason::ConnectionEnded => SessionEndReason::ConnectionEnded,
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
    let arrival = read_arrival(&request.user_agent, &request.ip_address, &mut violations);
    let (member, Arrival { user_agent, ip_address }) = violations.all((member, arrival))?;
    let given = auth_factors.first().map_or_else(now, |first| first.time.min(now()));
    Ok(Beginning { member, auth_factors, user_agent, ip_address, no_later_than: None, wait_until: given + LIFETIME })
}

pub fn read_arrival(user_agent: &str, ip_address: &str, violations: &mut Violations) -> Option<Arrival> {
    let ip_address = match ip_address {
        "" => Some(String::new()),
        text => violations.check("ip_address", text.parse::<IpAddr>()).map(|ip| ip.to_string()),
    };
    Some(Arrival { user_agent: cut(user_agent, USER_AGENT_BYTES), ip_address: ip_address? })
}

pub fn intermediate(issued: &IssuedIntermediate) -> proto::IntermediateSessionGrant {
    proto::IntermediateSessionGrant {
        token: issued.token.expose_secret().to_owned(),
        expire_time: Some(timestamp(issued.expire_time)),
        email_address: issued.email_address.as_str().to_owned(),
    }
}

pub fn entrance(entrance: &Entrance) -> proto::Entrance {
    let (organization, right, member, invitation) = match entrance {
        Entrance::Member(organization, member) => {
            (organization, EntranceRight::Member, member.to_string(), String::new())
        }
        Entrance::Invited(organization, invitation) => {
            (organization, EntranceRight::Invited, String::new(), invitation.to_string())
        }
        Entrance::Joinable(organization) => (organization, EntranceRight::Joinable, String::new(), String::new()),
    };
    proto::Entrance {
        organization_id: organization.to_string(),
        right: right.into(),
        member_id: member,
        invitation_id: invitation,
    }
}

/// What is exchanged.
pub enum Exchanged {
    Intermediate(Presented),
    /// A session, at its organization.
    Session(OrganizationId, SessionId),
}

pub struct Exchange {
    pub organization: OrganizationId,
    pub from: Exchanged,
    pub arrival: Arrival,
    /// The session ends then at the latest, and nobody gets its refresh token.
    pub end_time: Option<OffsetDateTime>,
}

/// The project to look in, the organization, and what is asked for there.
pub fn read_impersonation(
    request: &ImpersonateMemberRequest,
) -> Result<(ProjectId, OrganizationId, Impersonation), Status> {
    let mut violations = Violations::default();
    let project = violations.check("project_id", request.project_id.parse());
    let organization = violations.check("organization_id", request.organization_id.parse());
    let member = violations.check("member_id", request.member_id.parse());
    let arrival = read_arrival(&request.user_agent, &request.ip_address, &mut violations);
    let end_time = request.end_time.ok_or(Fault("is required")).and_then(read_time);
    let end_time = violations.check("end_time", end_time);
    let (project, organization, member, arrival, end_time) =
        violations.all((project, organization, member, arrival, end_time))?;
    let by_project = request.impersonator_is_project;
    Ok((project, organization, Impersonation { member, by_project, end_time, arrival }))
}

pub fn read_exchange(request: &ExchangeSessionRequest) -> Result<(ProjectId, Exchange), Status> {
    let mut violations = Violations::default();
    let project = violations.check("project_id", request.project_id.parse());
    let organization = violations.check("organization_id", request.organization_id.parse());
    let arrival = read_arrival(&request.user_agent, &request.ip_address, &mut violations);
    let (token, session) = (&request.intermediate_session_token, &request.source_session_id);
    if token.is_empty() == session.is_empty() {
        violations.add("intermediate_session_token", "must be given, or source_session_id, and not both");
    }
    let source = match session.as_str() {
        "" => Some(None),
        text => {
            let organization = violations.check("source_organization_id", request.source_organization_id.parse());
            let session = violations.check("source_session_id", text.parse());
            organization.zip(session).map(|(organization, session)| Some(Exchanged::Session(organization, session)))
        }
    };
    let end_time = match request.end_time {
        None => Some(None),
        Some(_) if session.is_empty() => {
            violations.add("end_time", "is for a member session");
            None
        }
        Some(time) => violations.check("end_time", read_time(time)).map(Some),
    };
    let (project, organization, arrival, source, end_time) =
        violations.all((project, organization, arrival, source, end_time))?;
    let from = match source {
        Some(session) => session,
        None => secret::parse(SecretKind::IntermediateSession, token)
            .map(Exchanged::Intermediate)
            .map_err(|_| refusal::sign_in_failed())?,
    };
    Ok((project, Exchange { organization, from, arrival, end_time }))
}
