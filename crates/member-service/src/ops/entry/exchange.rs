//! From an intermediate session to a member session.

use access::Granted;
use runtime::kill_point;
use tenancy::{ClusterScope, Head, MemberId, OrganizationScope, OrganizationState, StoreError};

use super::{
    Halfway, LookError, MeetError, Opened, Right,
    intermediate::{spend, try_once},
    newcomer::{join, right},
    second_factor::meet,
};
use crate::{
    model::{
        AccountRefused, AuthFactor, Entered, LimitReached, Member, MemberState, MemberWithRoles, SecondFactorRequired,
        Unmet, Vouching,
    },
    ops::{
        Context,
        invitation::{AcceptError, accept_proven},
        member::{CreateError, ReviewError},
        session::{BeginError, Beginning, begin},
        sso,
    },
    remote::RemoteError,
    store::{
        self,
        member::{self, Key},
    },
};

#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// The intermediate session is not good, the organization is not there or not active, or there is no right to enter.
    #[error("the person may not enter")]
    Refused,
    #[error(transparent)]
    Unmet(#[from] Unmet),
    #[error(transparent)]
    Account(#[from] AccountRefused),
    #[error("the invitation was accepted, revoked, or has expired")]
    InvitationNotPending,
    #[error("the inviter may no longer grant what the invitation promises")]
    InviterLostRights,
    #[error("max_members is reached")]
    LimitReached(#[from] LimitReached),
    #[error("the call took too long to be completed")]
    TooLate,
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<LookError> for EntryError {
    fn from(error: LookError) -> Self {
        match error {
            LookError::Remote(error) => Self::Remote(error),
            LookError::Store(error) => Self::Store(error),
        }
    }
}

impl From<MeetError> for EntryError {
    fn from(error: MeetError) -> Self {
        match error {
            MeetError::Unmet(unmet) => Self::Unmet(unmet),
            MeetError::Remote(error) => Self::Remote(error),
            MeetError::Store(error) => Self::Store(error),
        }
    }
}

impl From<BeginError> for EntryError {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Refused => Self::Refused,
            BeginError::Unmet(unmet) => Self::Unmet(unmet),
            BeginError::Remote(error) => Self::Remote(error),
            BeginError::Store(error) => Self::Store(error),
        }
    }
}

impl From<ReviewError> for EntryError {
    fn from(error: ReviewError) -> Self {
        match error {
            ReviewError::Remote(error) => Self::Remote(error),
            ReviewError::Store(error) => Self::Store(error),
        }
    }
}

impl From<CreateError> for EntryError {
    fn from(error: CreateError) -> Self {
        match error {
            // Somebody with the same address was quicker, or the organization was shut: both are looked at once more by the next try.
            CreateError::EmailTaken | CreateError::NotActive(_) => Self::Refused,
            CreateError::ExternalIdTaken => Self::Store(StoreError::Corrupt("member_external_id_key")),
            CreateError::LimitReached(reached) => Self::LimitReached(reached),
            CreateError::TooLate => Self::TooLate,
            CreateError::Remote(error) => Self::Remote(error),
            CreateError::Store(error) => Self::Store(error),
        }
    }
}

impl From<AcceptError> for EntryError {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::Unknown | AcceptError::EmailTaken | AcceptError::ForAnother | AcceptError::NotActive(_) => {
                Self::Refused
            }
            AcceptError::NotPending => Self::InvitationNotPending,
            AcceptError::InviterLostRights => Self::InviterLostRights,
            AcceptError::LimitReached(reached) => Self::LimitReached(reached),
            AcceptError::TooLate => Self::TooLate,
            AcceptError::Remote(error) => Self::Remote(error),
            AcceptError::Store(error) => Self::Store(error),
        }
    }
}

/// Where a session comes from.
#[derive(Debug)]
pub struct Arrival {
    pub user_agent: String,
    pub ip_address: String,
}

/// Enters an organization. `head` is what is known of it; None where it is not there, which costs a try as any other. The intermediate
/// session is used up by the session that begins; whatever is refused or asked for before that leaves it good for another try.
pub async fn exchange(
    context: &Context,
    cluster: &Granted<ClusterScope>,
    opened: Opened,
    head: Option<Head>,
    arrival: Arrival,
) -> Result<Entered, EntryError> {
    if !try_once(context, &opened).await? {
        return Err(EntryError::Refused);
    }
    // One that names an organization opens that one, and one without a pool opens none.
    let leads_to = |head: &Head| !opened.is_bound() || opened.tenant.key() == head.organization_id;
    let open = |head: &Head| head.project_id == opened.project && head.state == OrganizationState::Active;
    let head = head.filter(|head| open(head) && leads_to(head) && opened.pool.is_some()).ok_or(EntryError::Refused)?;
    let granted = cluster.in_organization(opened.project, head.organization_id);
    let member = match enter(context, &granted, &opened).await? {
        Inside::Member(member) => member,
        Inside::Halfway(missing) => return Ok(Entered::Halfway(missing)),
    };
    if !spend(context, opened.tenant, opened.session.id).await? {
        return Err(EntryError::Refused);
    }
    let beginning = Beginning {
        member,
        auth_factors: opened.session.auth_factors,
        user_agent: arrival.user_agent,
        ip_address: arrival.ip_address,
        no_later_than: opened.session.no_later_than,
        wait_until: opened.session.expire_time,
    };
    Ok(begin(context, &granted, beginning).await?)
}

enum Inside {
    Member(MemberId),
    Halfway(Box<SecondFactorRequired>),
}

/// The member that the person is, or becomes.
async fn enter(context: &Context, granted: &Granted<OrganizationScope>, opened: &Opened) -> Result<Inside, EntryError> {
    let organization = granted.scope.organization_id();
    let entry = context.remote.organization(granted.into(), organization).await?.ok_or(EntryError::Refused)?;
    let candidate = &opened.candidate;
    let vouched = vouched(context, granted, opened).await?;
    let right = match &vouched {
        Some((_, vouching)) => sso::right(context, granted, &entry, vouching).await?,
        None => right(context, granted, &entry.policy, candidate).await?.ok_or(EntryError::Refused)?,
    };
    let is_breakglass = matches!(&right, Right::Member(member) if member.is_breakglass);
    let who = Halfway {
        identity: candidate.identity.as_ref(),
        address: &candidate.address,
        verified: opened.session.email_verified,
        is_breakglass,
        auth_factors: &opened.session.auth_factors,
        no_later_than: opened.session.no_later_than,
        wait_until: opened.session.expire_time,
    };
    if let Some(missing) = meet(context, granted, &entry, who).await? {
        return Ok(Inside::Halfway(Box::new(missing)));
    }
    let joined = match (right, &vouched) {
        (Right::Member(member), _) => Ok(member.member_id),
        (Right::Invited(invitation), _) => {
            accept_proven(context, granted, *invitation, &entry).await.map(id_of).map_err(EntryError::from)
        }
        (Right::Joinable, _) => join(context, granted, &entry, candidate).await.map(id_of).map_err(EntryError::from),
        (Right::Vouched, Some((_, vouching))) => sso::join(context, granted, &entry, vouching).await.map(id_of),
        (Right::Vouched, None) => Err(EntryError::Refused),
    };
    let member = match joined {
        Ok(member) => {
            kill_point("enter/joined");
            member
        }
        // The same person twice at once: whoever comes second finds themselves a member.
        Err(EntryError::Refused | EntryError::InvitationNotPending) => match &vouched {
            Some((_, vouching)) => match sso::right(context, granted, &entry, vouching).await? {
                Right::Member(member) => member.member_id,
                _ => return Err(EntryError::Refused),
            },
            None => found_meanwhile(context, granted, opened).await?,
        },
        Err(error) => return Err(error),
    };
    if let Some((factor, vouching)) = &vouched {
        sso::remember(context, granted, member, factor, vouching).await?;
    }
    Ok(Inside::Member(member))
}

fn id_of(made: MemberWithRoles) -> MemberId {
    made.member.member_id
}

/// What the organization's provider said, of whoever comes by it.
pub async fn vouched(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    opened: &Opened,
) -> Result<Option<(AuthFactor, Vouching)>, EntryError> {
    let factor = opened.session.auth_factors.iter().find(|factor| factor.method.is_of_one_organization());
    let Some(factor) = factor else { return Ok(None) };
    let sign_in = factor.sso_sign_in_id.ok_or(EntryError::Refused)?;
    let mut read = context.database.read(granted.scope).await?;
    let vouching = store::sso::vouched(read.connection(), granted.scope.organization_id(), sign_in).await?;
    read.finish();
    // Nobody comes in by it anywhere else, nor without what it said.
    Ok(Some((*factor, vouching.ok_or(EntryError::Refused)?)))
}

async fn found_meanwhile(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    opened: &Opened,
) -> Result<MemberId, EntryError> {
    let mut read = context.database.read(granted.scope).await?;
    let key = Key::Email(opened.candidate.address.clone());
    let member = member::find(read.connection(), granted.scope.organization_id(), &key).await?;
    read.finish();
    let active = |member: &Member| member.state == MemberState::Active;
    Ok(member.filter(active).ok_or(EntryError::Refused)?.member_id)
}
