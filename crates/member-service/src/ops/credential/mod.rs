//! Proving who one is: passwords, emailed codes and second factors.
//!
//! An address that nobody has, a wrong secret, a person who is no active member, an organization that is not active: the answer is the
//! same after the same work. Tries are counted for each address, whether somebody has it or not, by a keyed tag: a count kept only
//! for known addresses would tell which ones are known.

mod apps;
mod email_code;
mod enrollment;
mod password;
mod second_factor;

pub use apps::Apps;
pub use email_code::{start_email_challenge, verify_email_challenge, verify_email_link};
pub use enrollment::{EnrollError, Oneself, confirm_totp, enroll_totp, regenerate_recovery_codes};
pub use password::{SetPasswordError, set_password, verify_password};
pub use second_factor::{use_recovery_code, verify_totp};

use access::{Granted, Tenant};
use tenancy::{ClusterScope, Head, IdentityId, MemberId, OrganizationId, OrganizationState, ProjectId, StoreError};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Context;
use crate::{
    hashing::HashError,
    model::{AddressTag, AuthFactor, EmailAddress, IssuedIntermediate, Member, MemberState},
    ops::entry::LookError,
    remote::RemoteError,
    store::member::{self, Key},
};

/// The use of the seal on an authenticator app that is enrolled. Its place is the identity.
pub const SEALED: &str = "totp";

#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    #[error("wrong address, secret or organization")]
    Failed,
    #[error("too many tries")]
    RateLimited { until: OffsetDateTime },
    /// Without an organization there is no telling whose address is meant.
    #[error("must name the organization: this project has a user pool for each")]
    OrganizationRequired,
    #[error("the secret of an authenticator app does not open")]
    Unreadable,
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<LookError> for SignInError {
    fn from(error: LookError) -> Self {
        match error {
            LookError::Remote(error) => Self::Remote(error),
            LookError::Store(error) => Self::Store(error),
        }
    }
}

/// Where somebody wants in.
#[derive(Debug)]
pub struct Entrance {
    pub project: ProjectId,
    /// The organization with what is known of it here; None where none was named.
    pub organization: Option<(OrganizationId, Option<Head>)>,
    /// Nowhere yet: they may be new. Only where no organization is named.
    pub sign_up: bool,
}

/// Who somebody has proven to be.
#[derive(Debug)]
pub struct Proven {
    /// None: the address is proven, and nobody has it.
    pub identity: Option<IdentityId>,
    /// The organization that was named.
    pub organization: Option<OrganizationId>,
    /// There.
    pub member: Option<MemberId>,
    pub factor: AuthFactor,
    /// How they go on who are no members there, or named none.
    pub intermediate: Option<IssuedIntermediate>,
}

/// Where an entrance leads.
#[derive(Debug, Clone, Copy)]
struct Target {
    pool: Tenant,
    /// Under which a challenge stands.
    tenant: Tenant,
    organization: Option<OrganizationId>,
    /// There is such an organization in the project, and it is active.
    open: bool,
}

impl Entrance {
    async fn target(&self, context: &Context, granted: &Granted<ClusterScope>) -> Result<Target, SignInError> {
        let shared = context.remote.shares_pool(granted.into(), self.project).await?;
        let shared = shared.ok_or(SignInError::Failed)?;
        let project = Tenant::Project(granted.in_project(self.project).scope);
        let Some((organization, head)) = &self.organization else {
            if !shared && !self.sign_up {
                return Err(SignInError::OrganizationRequired);
            }
            let archived = context.database.head(project.key()).await?.is_some_and(|head| head.archived);
            return Ok(Target { pool: project, tenant: project, organization: None, open: !archived });
        };
        let here = head.as_ref().filter(|head| head.project_id == self.project);
        let open = here.is_some_and(|head| head.state == OrganizationState::Active);
        // Where there is none in this project: the same statements, and the same counts, under an id that nobody has.
        let organization = &if here.is_some() { *organization } else { stand_in(context, self.project, *organization) };
        let own = Tenant::Organization(granted.in_organization(self.project, *organization).scope);
        let pool = if shared { project } else { own };
        Ok(Target { pool, tenant: own, organization: Some(*organization), open })
    }
}

/// An id that nobody has, always the same for what was named: tries that lead nowhere are counted as all others are, or the absence
/// of a limit would tell that there is nothing.
fn stand_in(context: &Context, project: ProjectId, organization: OrganizationId) -> OrganizationId {
    let message = [project.uuid().as_bytes().as_slice(), organization.uuid().as_bytes()].concat();
    let tag = context.database.sealer().tag("stand-in", &message);
    OrganizationId::from_uuid(Uuid::from_u128(tag.iter().take(16).fold(0, |id, byte| id << 8 | u128::from(*byte))))
}

/// What the tries of an address are counted by.
pub fn tag(context: &Context, pool: Tenant, address: &EmailAddress) -> AddressTag {
    let message = [pool.key().uuid().as_bytes().as_slice(), address.as_str().as_bytes()].concat();
    AddressTag(context.database.sealer().tag("address", &message))
}

/// The active member that an identity has in an organization.
async fn active_member(
    context: &Context,
    granted: &Granted<ClusterScope>,
    project: ProjectId,
    organization: OrganizationId,
    identity: IdentityId,
) -> Result<Option<Member>, StoreError> {
    let scope = granted.in_organization(project, organization).scope;
    let mut read = context.database.read(scope).await?;
    let found = member::find(read.connection(), organization, &Key::Identity(identity)).await?;
    read.finish();
    Ok(found.filter(|member| member.state == MemberState::Active))
}
