//! From a member session to one at another organization of the same person.

use access::Granted;
use tenancy::{ClusterScope, Head, OrganizationState, SessionId, StoreError, event::now};
use time::OffsetDateTime;

use super::{Arrival, LIFETIME};
use crate::{
    model::{Entered, Identity, IdentityState, MemberState, SignInMethod, Unmet},
    ops::{
        Context,
        session::{BeginError, Beginning, begin},
    },
    remote::RemoteError,
    store::{
        identity,
        member::{self, Key},
        session,
    },
};

/// What is good in more than the organization that it was proven to.
pub const ELSEWHERE: [SignInMethod; 5] = [
    SignInMethod::Password,
    SignInMethod::EmailCode,
    SignInMethod::MagicLink,
    SignInMethod::Social,
    SignInMethod::Passkey,
];

#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    #[error("the session has ended")]
    Ended,
    #[error("the person may not enter")]
    Refused,
    #[error(transparent)]
    Unmet(#[from] Unmet),
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<BeginError> for SwitchError {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Refused => Self::Refused,
            BeginError::Unmet(unmet) => Self::Unmet(unmet),
            BeginError::Remote(error) => Self::Remote(error),
            BeginError::Store(error) => Self::Store(error),
        }
    }
}

/// Begins a session at the organization of `target`, on the strength of one at that of `source`, which goes on. The new one ends no later,
/// and when that is ended: what was proven grows no younger, and no better, by going to and fro.
pub async fn switch(
    context: &Context,
    cluster: &Granted<ClusterScope>,
    source: &Head,
    session: SessionId,
    target: &Head,
    arrival: Arrival,
    end_time: Option<OffsetDateTime>,
) -> Result<Entered, SwitchError> {
    let project = source.project_id;
    if source.state != OrganizationState::Active {
        return Err(SwitchError::Ended);
    }
    let here = cluster.in_organization(project, source.organization_id).scope;
    let mut read = context.database.read(here).await?;
    let from = session::live(read.connection(), source.organization_id, session).await?;
    let latest_time = session::latest_time(read.connection(), source.organization_id, session).await?;
    let member = match &from {
        Some(from) => member::find(read.connection(), source.organization_id, &Key::Id(from.member_id)).await?,
        None => None,
    };
    read.finish();
    let active = member.is_some_and(|member| member.state == MemberState::Active);
    // Whoever acts as somebody does so where they were let in to, and nowhere else.
    let from = from.filter(|from| active && from.impersonator.is_none()).ok_or(SwitchError::Ended)?;

    let shared = context.remote.shares_pool(cluster.into(), project).await?.unwrap_or(false);
    let open = target.project_id == project && target.state == OrganizationState::Active;
    if !(shared && open) {
        return Err(SwitchError::Refused);
    }
    let pool = access::Tenant::Project(cluster.in_project(project).scope);
    let mut read = context.database.read(pool).await?;
    let person = identity::get(read.connection(), pool, from.identity_id).await?;
    let member = member::find(read.connection(), target.organization_id, &Key::Identity(from.identity_id)).await?;
    read.finish();
    let goes_on = |person: &Identity| person.state == IdentityState::Active && !person.outdates(&from.auth_factors);
    if !person.as_ref().is_some_and(goes_on) {
        return Err(SwitchError::Ended);
    }
    // What one organization's own provider vouched for is nothing to another.
    let mut auth_factors = from.auth_factors;
    auth_factors.retain(|factor| !factor.method.is_of_one_organization());
    for factor in &mut auth_factors {
        factor.session_id = Some(session);
    }
    if !auth_factors.iter().any(|factor| factor.method.sign_in_method().is_some()) {
        return Err(Unmet::Method { allowed: ELSEWHERE.to_vec() }.into());
    }
    let latest_time = latest_time.unwrap_or(from.expire_time);
    let beginning = Beginning {
        member: member.ok_or(SwitchError::Refused)?.member_id,
        no_later_than: Some(end_time.map_or(latest_time, |time| time.min(latest_time))),
        wait_until: now() + LIFETIME,
        auth_factors,
        user_agent: arrival.user_agent,
        ip_address: arrival.ip_address,
    };
    Ok(begin(context, &cluster.in_organization(project, target.organization_id), beginning).await?)
}
