//! Beginning a session.

use access::Granted;
use tenancy::{
    Actor, MemberId, NewEvent, OrganizationScope, OrganizationState, SessionId, StoreError,
    event::now,
    secret::{self, SecretKind},
};

use crate::{
    model::{AuthFactor, LIFETIME, MemberState, MemberWithRoles, Session, SessionChange, SessionGrant},
    ops::{Context, verified},
    remote::RemoteError,
    store::{
        member::{self, Key},
        session,
    },
};

#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// Absent, suspended, or in an organization that is not active.
    #[error("the member may not sign in")]
    Refused,
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who signs in, by what, from where.
#[derive(Debug)]
pub struct Beginning {
    pub member: MemberId,
    pub auth_factors: Vec<AuthFactor>,
    pub user_agent: String,
    pub ip_address: String,
}

pub async fn begin(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    beginning: Beginning,
) -> Result<SessionGrant, BeginError> {
    let (scope, organization) = (granted.scope, granted.scope.organization_id());
    let subjects = [Actor::Member(beginning.member)];
    let (named, roles) = tokio::try_join!(
        context.remote.organization(granted.into(), organization),
        context.remote.roles(granted.into(), organization, &subjects)
    )?;
    let named = named.ok_or(BeginError::Refused)?;
    let pool = context.pool(granted).await?;
    let session_id = SessionId::new();
    let issued = secret::issue(SecretKind::RefreshToken, organization.uuid(), session_id.uuid());

    let mut tx = context.database.write(scope, &granted.origin(), None).await?;
    let member = member::find(tx.connection(), organization, &Key::Id(beginning.member)).await?;
    let open = tx.head().state == OrganizationState::Active;
    let member = member.filter(|member| open && member.state == MemberState::Active).ok_or(BeginError::Refused)?;
    let now = now();
    let session = Session {
        session_id,
        identity_id: member.identity_id,
        member_id: member.member_id,
        organization_id: organization,
        organization_slug: named.slug,
        auth_factors: beginning.auth_factors,
        user_agent: beginning.user_agent,
        ip_address: beginning.ip_address,
        last_active_time: now,
        expire_time: now + LIFETIME,
        revision: tx.revision(),
        create_time: now,
    };
    session::insert(tx.connection(), scope, &session, &issued.hash).await?;
    member::mark_sign_in(tx.connection(), organization, member.member_id, now).await?;
    let ids = vec![session_id.to_string(), member.member_id.to_string()];
    let change = SessionChange { before: None, after: Some(session.clone()), end_reason: None };
    tx.append(NewEvent::new("session.created", ids, &change));
    tx.commit(()).await?;
    let verified = verified(context, pool, &[member.identity_id]).await?;
    let mut member = member;
    member.last_sign_in_time = Some(now);
    Ok(SessionGrant {
        project_id: scope.project_id(),
        session,
        member: MemberWithRoles {
            email_verified: verified.contains(&member.identity_id),
            member,
            roles: roles.into_iter().next().unwrap_or_default(),
        },
        refresh_token: issued.text,
    })
}
