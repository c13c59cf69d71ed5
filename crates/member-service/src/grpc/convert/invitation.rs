//! Invitations.

use std::collections::HashSet;

use api::member::v1::{self as proto, BatchCreateInvitationsRequest, CreateInvitationRequest};
use runtime::Violations;
use tenancy::{event::now, mask};
use time::{Duration, OffsetDateTime};
use tonic::Status;

use super::{read_roles_at, time::read_time, timestamp};
use crate::{
    grpc::refusal::for_projects_only,
    model::{EmailAddress, Fault, Invitation, InvitationDraft, InvitationMessage, InvitationState, IssuedInvitation},
};

const MAX_BATCH: usize = 100;
const DEFAULT_LIFETIME: Duration = Duration::days(7);
const SHORTEST: Duration = Duration::hours(1);
const LONGEST: Duration = Duration::days(30);
/// What a request's way here may take, and clocks may differ.
const LEEWAY: Duration = Duration::minutes(1);

/// As it stands now: expiry is told from the clock.
pub fn invitation(invitation: &Invitation) -> proto::Invitation {
    written(invitation, invitation.state_at(now()))
}

/// As events show it: with the state that was stored.
pub fn stored_invitation(invitation: &Invitation) -> proto::Invitation {
    written(invitation, invitation.state)
}

pub fn issued_invitation(issued: IssuedInvitation) -> proto::Invitation {
    // As it was made, also when the answer is repeated later.
    let made = stored_invitation(&issued.invitation);
    proto::Invitation { token: issued.token.unwrap_or_default(), ..made }
}

fn written(invitation: &Invitation, state: InvitationState) -> proto::Invitation {
    let state = match state {
        InvitationState::Pending => proto::InvitationState::Pending,
        InvitationState::Accepted => proto::InvitationState::Accepted,
        InvitationState::Revoked => proto::InvitationState::Revoked,
        InvitationState::Expired => proto::InvitationState::Expired,
    };
    proto::Invitation {
        invitation_id: invitation.invitation_id.to_string(),
        organization_id: invitation.organization_id.to_string(),
        email_address: invitation.email_address.as_str().to_owned(),
        role_ids: invitation.role_ids.iter().map(ToString::to_string).collect(),
        inviter: invitation.inviter.parse().ok().map(|actor| feed::actor_to_proto(&actor)),
        state: state.into(),
        expire_time: Some(timestamp(invitation.expire_time)),
        message: invitation.message.as_str().to_owned(),
        token: String::new(),
        member_id: invitation.member_id.map(|id| id.to_string()).unwrap_or_default(),
        create_time: Some(timestamp(invitation.create_time)),
        update_time: Some(timestamp(invitation.update_time)),
        etag: mask::etag(invitation.revision),
    }
}

pub fn read_invitation(request: CreateInvitationRequest, by_project: bool) -> Result<InvitationDraft, Status> {
    let CreateInvitationRequest { invitation, roles, return_token, .. } = request;
    let mut violations = Violations::default();
    check_return_token(return_token, by_project)?;
    let draft = read_draft("", invitation, roles, return_token, &mut violations);
    let (draft,) = violations.all((draft,))?;
    Ok(draft)
}

/// The entries of a batch: all good, no address twice.
pub fn read_invitations(
    request: BatchCreateInvitationsRequest,
    by_project: bool,
) -> Result<Vec<InvitationDraft>, Status> {
    check_return_token(request.return_token, by_project)?;
    let mut violations = Violations::default();
    let count = request.invitations.len();
    violations.require((1..=MAX_BATCH).contains(&count), "invitations", "must be 1 to 100");
    let (mut drafts, mut addresses) = (Vec::with_capacity(count.min(MAX_BATCH)), HashSet::new());
    for (at, entry) in request.invitations.into_iter().take(MAX_BATCH).enumerate() {
        let path = format!("invitations[{at}].");
        let draft = read_draft(&path, entry.invitation, entry.roles, request.return_token, &mut violations);
        if let Some(draft) = draft {
            let first = addresses.insert(draft.email_address.clone());
            violations.require(first, format!("{path}invitation.email_address"), "is there twice");
            drafts.push(draft);
        }
    }
    violations.finish()?;
    Ok(drafts)
}

fn check_return_token(return_token: bool, by_project: bool) -> Result<(), Status> {
    if return_token && !by_project { Err(for_projects_only("return_token")) } else { Ok(()) }
}

/// `path` stands before the names of the fields. None with a violation.
fn read_draft(
    path: &str,
    invitation: Option<proto::Invitation>,
    roles: Vec<String>,
    return_token: bool,
    violations: &mut Violations,
) -> Option<InvitationDraft> {
    let Some(invitation) = invitation else {
        violations.add(format!("{path}invitation"), "is required");
        return None;
    };
    let field = |name: &str| format!("{path}invitation.{name}");
    let email_address = violations.check(field("email_address"), EmailAddress::parse(&invitation.email_address));
    let message = violations.check(field("message"), InvitationMessage::parse(&invitation.message));
    let expire_time = invitation.expire_time.map_or(Ok(now() + DEFAULT_LIFETIME), |time| bounded(read_time(time)?));
    let expire_time = violations.check(field("expire_time"), expire_time);
    let roles = read_roles_at(&format!("{path}roles"), roles, violations);
    Some(InvitationDraft {
        email_address: email_address?,
        roles,
        message: message?,
        expire_time: expire_time?,
        return_token,
    })
}

fn bounded(time: OffsetDateTime) -> Result<OffsetDateTime, Fault> {
    let ahead = time - now();
    if (SHORTEST - LEEWAY..=LONGEST + LEEWAY).contains(&ahead) {
        Ok(time)
    } else {
        Err(Fault("must be an hour to 30 days ahead"))
    }
}

/// None for all states.
pub fn read_state(state: i32) -> Result<Option<InvitationState>, Fault> {
    match proto::InvitationState::try_from(state) {
        Ok(proto::InvitationState::Unspecified) => Ok(None),
        Ok(proto::InvitationState::Pending) => Ok(Some(InvitationState::Pending)),
        Ok(proto::InvitationState::Accepted) => Ok(Some(InvitationState::Accepted)),
        Ok(proto::InvitationState::Revoked) => Ok(Some(InvitationState::Revoked)),
        Ok(proto::InvitationState::Expired) => Ok(Some(InvitationState::Expired)),
        Err(_) => Err(Fault("is no state of an invitation")),
    }
}
