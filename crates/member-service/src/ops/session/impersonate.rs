//! Acting as a member.
//!
//! Whoever may act as somebody may do all that somebody may, so they must hold it already: the rule that a key of a service account is
//! made under. What they gain is to see what the member sees, and every event says that it was they.

use access::{Granted, IMPERSONATE};
use tenancy::{
    Actor, MemberId, NewEvent, OrganizationScope, OrganizationState, Origin, SessionId, StoreError,
    event::now,
    secret::{self, SecretKind},
};
use time::{Duration, OffsetDateTime};

use crate::{
    model::{MemberState, MemberWithRoles, Session, SessionChange, SessionGrant},
    ops::{Context, entry::Arrival, verified},
    remote::{Grantor, RemoteError},
    store::{
        member::{self, Key},
        session,
    },
};

pub const LONGEST: Duration = Duration::minutes(15);
const OWNER: &str = "owner";

#[derive(Debug, thiserror::Error)]
pub enum ImpersonateError {
    #[error("no such member")]
    MemberUnknown,
    #[error("nobody acts as themselves")]
    Oneself,
    #[error("an owner is impersonated by owners only")]
    Owner,
    #[error("the permission to impersonate is missing")]
    NotPermitted,
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Debug)]
pub struct Impersonation {
    pub member: MemberId,
    /// Whether a service account of the project acts, which needs no permission.
    pub by_project: bool,
    pub end_time: OffsetDateTime,
    pub arrival: Arrival,
}

/// Begins the session in which the one whom the gateway serves acts as a member. Nobody gets a refresh token for it.
pub async fn impersonate(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    asked: Impersonation,
) -> Result<SessionGrant, ImpersonateError> {
    let (scope, organization) = (granted.scope, granted.scope.organization_id());
    let (impersonator, subject) = (granted.caller.principal(), Actor::Member(asked.member));
    if impersonator == subject {
        return Err(ImpersonateError::Oneself);
    }
    let roles = context.remote.roles(granted.into(), organization, std::slice::from_ref(&subject)).await?;
    let read = roles.into_iter().next().unwrap_or_default();
    if asked.by_project {
        if read.roles.iter().any(|role| role.key == OWNER) {
            return Err(ImpersonateError::Owner);
        }
    } else {
        let permitted = context.access.holds(&granted.call, scope, &impersonator, IMPERSONATE).await;
        if !permitted.map_err(RemoteError::from)? {
            return Err(ImpersonateError::NotPermitted);
        }
        let grantor = Grantor { actor: impersonator.clone(), is_project: false };
        context.remote.check_acting_as(granted.into(), scope, &grantor, &subject).await?;
    }
    let named = context.remote.organization(granted.into(), organization).await?;
    let named = named.ok_or(ImpersonateError::MemberUnknown)?;
    let pool = context.pool(granted).await?;
    let session_id = SessionId::new();
    // The row wants the hash of a refresh token. This one is given to nobody.
    let nobodys = secret::issue(SecretKind::RefreshToken, organization.uuid(), session_id.uuid());

    // As of everything that is done in the session: by the one, on behalf of the other.
    let origin = Origin { actor: impersonator.clone(), on_behalf_of: Some(subject.clone()), ..granted.origin() };
    let mut tx = context.database.write(scope, &origin, None).await?;
    let member = member::find(tx.connection(), organization, &Key::Id(asked.member)).await?;
    let open = tx.head().state == OrganizationState::Active;
    let member = member.filter(|member| open && member.state == MemberState::Active);
    let member = member.ok_or(ImpersonateError::MemberUnknown)?;
    let now = now();
    let session = Session {
        session_id,
        identity_id: member.identity_id,
        member_id: member.member_id,
        organization_id: organization,
        organization_slug: named.slug,
        // The member has proven nothing.
        auth_factors: Vec::new(),
        user_agent: asked.arrival.user_agent,
        ip_address: asked.arrival.ip_address,
        last_active_time: now,
        expire_time: asked.end_time.min(now + LONGEST),
        impersonator: Some(impersonator.to_string()),
        revision: tx.revision(),
        create_time: now,
    };
    session::insert(tx.connection(), scope, &session, session.expire_time, &nobodys.hash).await?;
    let ids = vec![session_id.to_string(), member.member_id.to_string(), impersonator.to_string()];
    let change = SessionChange { before: None, after: Some(session.clone()), end_reason: None };
    tx.append(NewEvent::new("session.impersonated", ids, &change));
    tx.commit(()).await?;
    let verified = verified(context, pool, &[member.identity_id]).await?;
    Ok(SessionGrant {
        project_id: scope.project_id(),
        session,
        member: MemberWithRoles { email_verified: verified.contains(&member.identity_id), member, roles: read.roles },
        epoch: read.epoch,
        refresh_token: String::new().into(),
    })
}
