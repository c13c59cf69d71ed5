//! Trading a refresh token for the next.
//!
//! No tenant write: the session's row is locked, not the organization's head. What another service must be asked for is asked before
//! the token is used up, so that a call that fails can be made again with the same token.

use access::{Granted, Tenant};
use tenancy::{
    Actor, ClusterScope, Head, MemberId, OrganizationId, OrganizationScope, OrganizationState, SessionId, StoreError,
    event::now,
    secret::{self, Presented, SecretKind},
};
use time::Duration;

use crate::{
    model::{EndReason, Identity, IdentityState, Member, MemberState, MemberWithRoles, Session, SessionGrant},
    ops::{
        Context, append_session_end,
        member::{ReviewError, still_those_of_domain},
    },
    remote::RemoteError,
    store::{
        identity,
        member::{self, Key},
        session::{self, Standing},
    },
};

/// How long a token that was traded in is answered once more, for the first answer may have been lost.
const RETRY: Duration = Duration::seconds(10);

#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    #[error("the refresh token is not good, or not any more")]
    Refused,
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ReviewError> for RefreshError {
    fn from(error: ReviewError) -> Self {
        match error {
            ReviewError::Remote(error) => Self::Remote(error),
            ReviewError::Store(error) => Self::Store(error),
        }
    }
}

/// `head` is what is known of the organization that the token names.
pub async fn refresh(
    context: &Context,
    granted: &Granted<ClusterScope>,
    head: Head,
    presented: &Presented,
) -> Result<SessionGrant, RefreshError> {
    let organization = head.organization_id;
    let granted = granted.in_organization(head.project_id, organization);
    let id = SessionId::from_uuid(presented.id);
    let (standing, member) = look(context, granted.scope, id, presented).await?;
    if standing == Standing::Used {
        return alarm(context, &granted, id).await;
    }
    let (member, from) = member.ok_or(RefreshError::Refused)?;
    let subjects = [Actor::Member(member)];
    let (roles, limits) = tokio::try_join!(
        context.remote.roles(Into::into(&granted), organization, &subjects),
        context.remote.session_limits(Into::into(&granted), organization)
    )?;
    // What the organization says now, of a session that began under another rule.
    let limits = limits.filter(|limits| !limits.end(&from, now())).ok_or(RefreshError::Refused)?;
    let roles = roles.into_iter().next().unwrap_or_default();
    let read = still_those_of_domain(context, &granted, member, roles).await?;
    let person = person_of(context, context.pool(&granted).await?, &from).await?.ok_or(RefreshError::Refused)?;

    let issued = secret::issue(SecretKind::RefreshToken, organization.uuid(), id.uuid());
    let mut tx = context.database.upkeep(granted.scope).await?;
    let standing = session::standing(tx.connection(), organization, id, &presented.hash, RETRY, true).await?;
    let session = match standing {
        Standing::Current => {
            session::rotate(tx.connection(), granted.scope, id, &presented.hash, &issued.hash, limits).await?
        }
        Standing::Retried => session::add_sibling(tx.connection(), organization, id, &issued.hash).await?,
        Standing::Used => {
            drop(tx);
            return alarm(context, &granted, id).await;
        }
        Standing::Foreign => return Err(RefreshError::Refused),
    };
    // As it stands now: a suspension or removal since the first look has the last word.
    let member = open_member(&mut tx, organization, member).await?.ok_or(RefreshError::Refused)?;
    tx.commit().await?;
    Ok(SessionGrant {
        project_id: granted.scope.project_id(),
        session,
        member: MemberWithRoles { email_verified: person.email_verified, member, roles: read.roles },
        epoch: read.epoch,
        refresh_token: issued.text,
    })
}

/// The session that a token would go on with now. None where it would be refused. It is used up by nothing here.
pub async fn read(
    context: &Context,
    granted: &Granted<ClusterScope>,
    head: Head,
    presented: &Presented,
) -> Result<Option<Session>, RefreshError> {
    let granted = granted.in_organization(head.project_id, head.organization_id);
    let id = SessionId::from_uuid(presented.id);
    let (_, Some((_, from))) = look(context, granted.scope, id, presented).await? else { return Ok(None) };
    if person_of(context, context.pool(&granted).await?, &from).await?.is_none() {
        return Ok(None);
    }
    let mut read = context.database.read(granted.scope).await?;
    let session = session::live(read.connection(), head.organization_id, id).await?;
    read.finish().await?;
    Ok(session)
}

/// Whose session it is, if they were not suspended and have no other password since. What is known of them stands with their pool, outside
/// the organization's rows; either ends their sessions soon afterwards, and until then none is refreshed.
async fn person_of(context: &Context, pool: Tenant, session: &Session) -> Result<Option<Identity>, StoreError> {
    let mut read = context.database.read(pool).await?;
    let person = identity::get(read.connection(), pool, session.identity_id).await?;
    read.finish().await?;
    let goes_on = |person: &Identity| person.state == IdentityState::Active && !person.outdates(&session.auth_factors);
    Ok(person.filter(goes_on))
}

/// What the token is to its session, and whose the session is, if they may be refreshed.
async fn look(
    context: &Context,
    scope: OrganizationScope,
    id: SessionId,
    presented: &Presented,
) -> Result<(Standing, Option<(MemberId, Session)>), RefreshError> {
    let organization = scope.organization_id();
    let mut read = context.database.read(scope).await?;
    let standing = session::standing(read.connection(), organization, id, &presented.hash, RETRY, false).await?;
    let live = match standing {
        Standing::Current | Standing::Retried => session::live(read.connection(), organization, id).await?,
        Standing::Used | Standing::Foreign => None,
    };
    let head = Head::find(read.connection(), organization).await?;
    let open = head.is_some_and(|head| head.state == OrganizationState::Active);
    let session = live.filter(|_| open);
    let member = match &session {
        Some(session) => member::find(read.connection(), organization, &Key::Id(session.member_id)).await?,
        None => None,
    };
    read.finish().await?;
    let member = member.filter(|member| member.state == MemberState::Active);
    Ok((standing, member.map(|member| member.member_id).zip(session)))
}

async fn open_member(
    tx: &mut tenancy::database::Upkeep,
    organization: OrganizationId,
    member: MemberId,
) -> Result<Option<Member>, StoreError> {
    let head = Head::find(tx.connection(), organization).await?;
    let open = head.is_some_and(|head| head.state == OrganizationState::Active);
    let member = member::find(tx.connection(), organization, &Key::Id(member)).await?;
    Ok(member.filter(|member| open && member.state == MemberState::Active))
}

/// A token that was used up is shown again: one of the two who have it stole it, so the session ends for both.
async fn alarm(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    id: SessionId,
) -> Result<SessionGrant, RefreshError> {
    let mut tx = context.database.write(granted.scope, &granted.origin(), None).await?;
    if let Some(ended) = session::delete(tx.connection(), granted.scope.organization_id(), id).await? {
        tracing::warn!(session = %id, "a refresh token was used twice; its session is ended");
        append_session_end(&mut tx, ended, EndReason::TokenReused);
        tx.commit(()).await?;
    }
    Err(RefreshError::Refused)
}
