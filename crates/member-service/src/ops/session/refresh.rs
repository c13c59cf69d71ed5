//! Trading a refresh token for the next.
//!
//! No tenant write: the session's row is changed where the token is still its current one, and the organization's head is not locked.
//! What another service must be asked for is asked before the token is used up, so that a call that fails can be made again with it.

use std::iter;

use access::{Granted, Tenant};
use tenancy::{
    Actor, ClusterScope, Head, OrganizationScope, SessionId, StoreError,
    event::now,
    secret::{self, Presented, SecretKind},
};
use time::Duration;

use super::append_end;
use crate::{
    model::{EndReason, Identity, IdentityState, MemberWithRoles, Session, SessionGrant},
    ops::{
        Context,
        member::{ReviewError, still_those_of_domain},
    },
    remote::RemoteError,
    store::{
        identity, member,
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

/// `head` is what is known of the organization that the token names; `presented` is what `token` says.
pub async fn refresh(
    context: &Context,
    granted: &Granted<ClusterScope>,
    head: Head,
    presented: &Presented,
    token: &str,
) -> Result<SessionGrant, RefreshError> {
    let organization = head.organization_id;
    let granted = granted.in_organization(head.project_id, organization);
    let id = SessionId::from_uuid(presented.id);
    let mut read = context.database.read(granted.scope).await?;
    let seen = session::look(read.connection(), organization, id, &presented.hash, RETRY).await?;
    read.finish();
    if seen.standing == Standing::Used {
        return alarm(context, &granted, id).await;
    }
    let from = seen.session.ok_or(RefreshError::Refused)?;
    let (member, subjects) = (from.member_id, [Actor::Member(from.member_id)]);
    let roles = async { Ok(context.remote.roles(Into::into(&granted), organization, &subjects).await?) };
    let limits = async { Ok(context.remote.session_limits(Into::into(&granted), organization).await?) };
    let person = async { Ok(person_of(context, context.pool(&granted).await?, &from).await?) };
    let (roles, limits, person) = tokio::try_join!(roles, limits, person).map_err(|error: RefreshError| error)?;
    // What the organization says now, of a session that began under another rule.
    let limits = limits.filter(|limits| !limits.end(&from, now())).ok_or(RefreshError::Refused)?;
    let person = person.ok_or(RefreshError::Refused)?;
    let roles = roles.into_iter().next().unwrap_or_default();
    let read = still_those_of_domain(context, &granted, member, roles).await?;

    let successors = secret::successors(context.database.sealer(), SecretKind::RefreshToken, token);
    let mut successors = successors.map_err(|_| RefreshError::Refused)?.into_iter();
    let next = successors.next().ok_or(RefreshError::Refused)?;
    let mut tx = context.database.upkeep(granted.scope).await?;
    let rotated = session::rotate(tx.connection(), granted.scope, id, &presented.hash, &next.hash, limits).await?;
    let (session, issued) = match rotated {
        Some(session) => (session, next),
        // Others were quicker, just now or before: what they left is what the next statement sees.
        None => {
            let seen = session::look(tx.connection(), organization, id, &presented.hash, RETRY).await?;
            if seen.standing == Standing::Used {
                drop(tx);
                return alarm(context, &granted, id).await;
            }
            let session = seen.session.filter(|_| seen.standing == Standing::Retried).ok_or(RefreshError::Refused)?;
            // The same answer again. None of a key that was dropped since: then they sign in anew.
            let mut issued = iter::once(next).chain(successors);
            (session, issued.find(|issued| issued.hash.matches(&seen.current)).ok_or(RefreshError::Refused)?)
        }
    };
    // As it stands now: a suspension or removal has the last word.
    let member = member::find_open(tx.connection(), organization, member).await?.ok_or(RefreshError::Refused)?;
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
    let mut read = context.database.read(granted.scope).await?;
    let organization = head.organization_id;
    let seen = session::look(read.connection(), organization, id, &presented.hash, RETRY).await?;
    let Some(found) = seen.session else { return Ok(None) };
    let member = member::find_open(read.connection(), organization, found.member_id).await?;
    read.finish();
    if member.is_none() {
        return Ok(None);
    }
    let person = person_of(context, context.pool(&granted).await?, &found).await?;
    Ok(person.map(|_| found))
}

/// Whose session it is, if they were not suspended and have no other password since. What is known of them stands with their pool, outside
/// the organization's rows; either ends their sessions soon afterwards, and until then none is refreshed.
async fn person_of(context: &Context, pool: Tenant, session: &Session) -> Result<Option<Identity>, StoreError> {
    let mut read = context.database.read(pool).await?;
    let person = identity::get(read.connection(), pool, session.identity_id).await?;
    read.finish();
    let goes_on = |person: &Identity| person.state == IdentityState::Active && !person.outdates(&session.auth_factors);
    Ok(person.filter(goes_on))
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
        append_end(&mut tx, granted.scope, ended, EndReason::TokenReused).await?;
        tx.commit(()).await?;
    }
    Err(RefreshError::Refused)
}
