//! Beginning a session.

use access::Granted;
use tenancy::{
    Actor, MemberId, NewEvent, OrganizationScope, OrganizationState, SessionId, StoreError,
    event::now,
    secret::{self, SecretKind},
};

use time::OffsetDateTime;

use crate::{
    model::{
        AuthFactor, Entered, Identity, IdentityState, Member, MemberState, MemberWithRoles, Session, SessionChange,
        SessionGrant, Unmet,
    },
    ops::{
        Context,
        entry::{Halfway, MeetError, meet},
        member::{ReviewError, with_those_of_domain},
    },
    remote::RemoteError,
    store::{
        identity,
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
    Unmet(#[from] Unmet),
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ReviewError> for BeginError {
    fn from(error: ReviewError) -> Self {
        match error {
            ReviewError::Remote(error) => Self::Remote(error),
            ReviewError::Store(error) => Self::Store(error),
        }
    }
}

impl From<MeetError> for BeginError {
    fn from(error: MeetError) -> Self {
        match error {
            MeetError::Unmet(unmet) => Self::Unmet(unmet),
            MeetError::Remote(error) => Self::Remote(error),
            MeetError::Store(error) => Self::Store(error),
        }
    }
}

/// Who signs in, by what, from where.
#[derive(Debug)]
pub struct Beginning {
    pub member: MemberId,
    pub auth_factors: Vec<AuthFactor>,
    pub user_agent: String,
    pub ip_address: String,
    /// The session ends then at the latest.
    pub no_later_than: Option<OffsetDateTime>,
    /// How long a second factor that is missing may take.
    pub wait_until: OffsetDateTime,
}

pub async fn begin(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    beginning: Beginning,
) -> Result<Entered, BeginError> {
    let (scope, organization) = (granted.scope, granted.scope.organization_id());
    let subjects = [Actor::Member(beginning.member)];
    let (named, roles) = tokio::try_join!(
        context.remote.organization(granted.into(), organization),
        context.remote.roles(granted.into(), organization, &subjects)
    )?;
    let named = named.ok_or(BeginError::Refused)?;
    let (member, person) = who(context, granted, beginning.member).await?.ok_or(BeginError::Refused)?;
    if person.outdates(&beginning.auth_factors) {
        return Err(BeginError::Refused);
    }
    let halfway = Halfway {
        identity: Some(&person),
        address: &person.email_address,
        verified: false,
        is_breakglass: member.is_breakglass,
        auth_factors: &beginning.auth_factors,
        no_later_than: beginning.no_later_than,
        wait_until: beginning.wait_until,
    };
    if let Some(missing) = meet(context, granted, &named, halfway).await? {
        return Ok(Entered::Halfway(Box::new(missing)));
    }
    let roles = roles.into_iter().next().unwrap_or_default();
    let read = with_those_of_domain(context, granted, &named.policy, beginning.member, roles).await?;
    let session_id = SessionId::new();
    let issued = secret::issue(SecretKind::RefreshToken, organization.uuid(), session_id.uuid());

    let mut tx = context.database.write(scope, &granted.origin(), None).await?;
    // As it stands now: a suspension or removal since the first look has the last word.
    let member = member::find(tx.connection(), organization, &Key::Id(beginning.member)).await?;
    let open = tx.head().state == OrganizationState::Active;
    let member = member.filter(|member| open && member.state == MemberState::Active).ok_or(BeginError::Refused)?;
    let now = now();
    let limits = named.policy.session;
    let latest_time = beginning.no_later_than.map_or(now + limits.lifetime, |then| then.min(now + limits.lifetime));
    let expire_time = latest_time.min(now + limits.idle_timeout);
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
        expire_time,
        impersonator: None,
        revision: tx.revision(),
        create_time: now,
    };
    session::insert(tx.connection(), scope, &session, latest_time, &issued.hash).await?;
    member::mark_sign_in(tx.connection(), organization, member.member_id, now).await?;
    let ids = vec![session_id.to_string(), member.member_id.to_string()];
    let change = SessionChange { before: None, after: Some(session.clone()), end_reason: None };
    tx.append(NewEvent::new("session.created", ids, &change));
    tx.commit(()).await?;
    let mut member = member;
    member.last_sign_in_time = Some(now);
    Ok(Entered::Session(Box::new(SessionGrant {
        project_id: scope.project_id(),
        session,
        member: MemberWithRoles { email_verified: person.email_verified, member, roles: read.roles },
        epoch: read.epoch,
        refresh_token: issued.text,
    })))
}

/// The member, if they may sign in, and the person behind them.
async fn who(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    member: MemberId,
) -> Result<Option<(Member, Identity)>, BeginError> {
    let organization = granted.scope.organization_id();
    let pool = context.pool(granted).await?;
    let mut read = context.database.read(granted.scope).await?;
    let member = member::find_open(read.connection(), organization, member).await?;
    read.finish();
    let Some(member) = member else { return Ok(None) };
    let mut read = context.database.read(pool).await?;
    let person = identity::get(read.connection(), pool, member.identity_id).await?;
    read.finish();
    Ok(person.filter(|person| person.state == IdentityState::Active).map(|person| (member, person)))
}
