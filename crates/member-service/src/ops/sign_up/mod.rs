//! Signing up: an identity for a proven address, an organization, and its owner.
//!
//! What is to be there is written down first, with the id that the organization will have. Then each step finds done what was done
//! before: the identity, the organization in org-service, the owner by the steps of any member. So whoever repeats the request goes on
//! where it stopped, and what nobody repeats a sweep completes (see `background`): an organization without an owner is there for
//! a minute at most. Only what is refused for good leaves nothing behind, and so does what was deleted before it was finished.

mod finish;

use access::Granted;
use tenancy::{ClusterScope, Head, IntermediateSessionId, Once, ProjectId, StoreError, secret::Presented};
use time::{Duration, OffsetDateTime};

pub use finish::{complete, finish};

use crate::{
    hashing::HashError,
    model::{Entered, Founding, FoundingPlan, Name, NewPassword, Unmet, WeakPassword},
    ops::{
        Context,
        entry::{Arrival, EntryError, LookError, open, spend, try_once},
        member::CreateError,
        session::{BeginError, Beginning, begin},
    },
    remote::RemoteError,
    store::founding::{self, Claim, Kept},
};

/// How long whoever began it has before a sweep looks whether they are still at it.
const UNDISTURBED: Duration = Duration::seconds(30);
const BODY: &str = "sign-up";

#[derive(Debug, thiserror::Error)]
pub enum SignUpError {
    /// The intermediate session is not good, or its address not proven.
    #[error("the person may not sign up")]
    Refused,
    #[error("the request_id was used with another body")]
    RequestIdReused,
    #[error("the password {0}")]
    Weak(#[from] WeakPassword),
    #[error(transparent)]
    Unmet(#[from] Unmet),
    #[error(transparent)]
    Create(#[from] CreateError),
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<LookError> for SignUpError {
    fn from(error: LookError) -> Self {
        match error {
            LookError::Remote(error) => Self::Remote(error),
            LookError::Store(error) => Self::Store(error),
        }
    }
}

impl From<BeginError> for SignUpError {
    fn from(error: BeginError) -> Self {
        match EntryError::from(error) {
            EntryError::Unmet(unmet) => Self::Unmet(unmet),
            EntryError::Remote(error) => Self::Remote(error),
            EntryError::Store(error) => Self::Store(error),
            _ => Self::Refused,
        }
    }
}

/// What the person asks for.
#[derive(Debug)]
pub struct Application {
    pub project: ProjectId,
    pub secret: Presented,
    pub plan: FoundingPlan,
    pub display_name: Name,
    pub password: Option<NewPassword>,
    /// None: it cannot be repeated.
    pub once: Option<Once>,
    pub arrival: Arrival,
}

/// Makes all of it, and begins the owner's session.
pub async fn sign_up(
    context: &Context,
    granted: &Granted<ClusterScope>,
    application: Application,
) -> Result<Entered, SignUpError> {
    let Application { project, secret, once, arrival, .. } = &application;
    let id = IntermediateSessionId::from_uuid(secret.id);
    let scope = granted.in_project(*project).scope;
    let mut read = context.database.read(scope).await?;
    let begun = founding::find(read.connection(), scope, id).await?;
    read.finish();
    let kept = match begun {
        Some(begun) => begun,
        None => match claim(context, granted, &application).await? {
            Claim::First(kept) | Claim::Late(kept) => kept,
        },
    };
    // Whoever sends the same body has the intermediate session's secret: it is in it.
    let sealer = context.database.sealer();
    let same = once.as_ref().is_some_and(|once| sealer.verify(BODY, &once.body_hash, &kept.body_tag).is_ok());
    let repeated = once.as_ref().is_some_and(|once| once.request_id == kept.request_id);
    match (kept.first, same, repeated) {
        (true, ..) | (false, true, true) => {}
        (false, false, true) => return Err(SignUpError::RequestIdReused),
        (false, _, false) => return Err(SignUpError::Refused),
    }
    if !kept.first && kept.expire_time <= OffsetDateTime::now_utc() {
        return Err(SignUpError::Refused);
    }
    let owner = finish(context, granted, &kept.founding).await?;
    let granted = granted.in_organization(*project, kept.founding.organization_id);
    let beginning = Beginning {
        member: owner,
        auth_factors: kept.auth_factors,
        user_agent: arrival.user_agent.clone(),
        ip_address: arrival.ip_address.clone(),
        no_later_than: None,
        wait_until: kept.expire_time,
    };
    Ok(begin(context, &granted, beginning).await?)
}

/// Writes down what is to be there, once for each intermediate session, and uses that up.
async fn claim(
    context: &Context,
    granted: &Granted<ClusterScope>,
    application: &Application,
) -> Result<Claim, SignUpError> {
    let opened = open(context, granted, application.project, &application.secret).await?;
    let opened = opened.filter(|opened| !opened.is_bound() && opened.candidate.proven).ok_or(SignUpError::Refused)?;
    // Before the try is counted.
    let place = application.password.is_some().then(|| context.hasher.place()).transpose()?;
    if !try_once(context, &opened).await? {
        return Err(SignUpError::Refused);
    }
    let identity = opened.candidate.identity.as_ref();
    let password_hash = match application.password.as_ref().zip(place.as_ref()) {
        Some((password, place)) if identity.is_none_or(|identity| !identity.has_password) => {
            password.fits(&opened.candidate.address)?;
            if password.is_short() {
                return Err(WeakPassword::Alone.into());
            }
            Some(context.hasher.hash(place, password.text().to_owned()).await?)
        }
        _ => None,
    };
    let own_name = identity.map(|identity| identity.display_name.clone()).unwrap_or_default();
    let (given, once, sealer) =
        (application.display_name.clone(), application.once.as_ref(), context.database.sealer());
    let kept = Kept {
        founding: Founding {
            project_id: application.project,
            intermediate: opened.session.id,
            organization_id: tenancy::OrganizationId::new(),
            email_address: opened.candidate.address.clone(),
            person_name: if given.is_empty() { own_name } else { given },
            plan: application.plan.clone(),
            password_hash,
            done: false,
        },
        auth_factors: opened.session.auth_factors.clone(),
        request_id: once.map(|once| once.request_id.clone()).unwrap_or_default(),
        body_tag: once.map(|once| sealer.tag(BODY, &once.body_hash).to_vec()).unwrap_or_default(),
        expire_time: opened.session.expire_time,
        first: true,
    };
    let scope = granted.in_project(application.project).scope;
    let mut tx = context.database.upkeep(scope).await?;
    let claimed = founding::claim(tx.connection(), scope, kept, OffsetDateTime::now_utc() + UNDISTURBED).await?;
    tx.commit().await?;
    runtime::kill_point("sign-up/written-down");
    Ok(claimed)
}

/// What org-service knows nothing of yet is taken up as it is made.
async fn admit(context: &Context, founding: &Founding) -> Result<Head, StoreError> {
    let organization = founding.organization_id;
    // A new organization's first revision; whatever has become of it since is newer.
    context.database.admit(founding.project_id, organization, tenancy::OrganizationState::Active, 1).await?;
    context.database.head(organization).await?.ok_or(StoreError::TenantUnknown)
}

/// Uses up what the founding came of, so that it opens nothing else.
async fn used_up(context: &Context, granted: &Granted<ClusterScope>, founding: &Founding) -> Result<(), StoreError> {
    let tenant = access::Tenant::Project(granted.in_project(founding.project_id).scope);
    spend(context, tenant, founding.intermediate).await.map(drop)
}
