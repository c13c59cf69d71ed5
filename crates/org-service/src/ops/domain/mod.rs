//! The domains of organizations: claimed, proven, lost, given up.

mod claim;
mod look;
mod read;
mod resolve;

pub use claim::{claim, give_up};
pub use look::{look_at, verify};
pub use read::{get, list};
pub(super) use resolve::{email_owner, host_owner};
pub use resolve::{resolve_email_domain, resolve_host};

pub use crate::store::domain::Filter;

use tenancy::{Change, Database, NewEvent, OrganizationScope, OrganizationState, Places, StoreError, Write};

use crate::{
    model::{Domain, HostBase, ProjectState, Schedule},
    outside::Names,
    store::{domain::WriteError, project},
};

/// What operations on domains need.
#[derive(Debug)]
pub struct Domains {
    pub database: Database,
    pub names: Names,
    pub schedule: Schedule,
    pub vanity_base: Option<HostBase>,
    /// For those who wait for name servers.
    pub outside: Places,
}

#[derive(Debug, thiserror::Error)]
pub enum DomainError {
    #[error("no such domain")]
    Unknown,
    #[error("no such organization")]
    OrganizationUnknown,
    #[error("the project is archived")]
    ProjectArchived,
    #[error("the domain changed since the etag was read")]
    EtagMismatch,
    #[error("the organization claims this domain for this purpose already")]
    Claimed,
    #[error("the domain is verified by another organization of this project")]
    Taken,
    #[error("the organization claims as many domains as it may, {limit}")]
    LimitReached { limit: i64 },
    #[error("the record was looked for a moment ago")]
    TooSoon,
    #[error("the name servers of the domain do not answer")]
    NoAnswer,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<WriteError> for DomainError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Claimed => Self::Claimed,
            WriteError::Taken => Self::Taken,
            WriteError::Store(error) => Self::Store(error),
        }
    }
}

/// The organization may have been deleted while name servers were asked, or while the write waited for its turn.
async fn refuse_ended(tx: &mut Write, scope: OrganizationScope) -> Result<(), DomainError> {
    if tx.head().own_state == OrganizationState::Deleted {
        return Err(DomainError::OrganizationUnknown);
    }
    let project = project::find(tx.connection(), scope.project_id()).await?;
    match project.map(|project| project.state) {
        Some(ProjectState::Active) => Ok(()),
        Some(ProjectState::Archived) => Err(DomainError::ProjectArchived),
        None => Err(StoreError::TenantUnknown.into()),
    }
}

fn event(kind: &'static str, domain: &Domain, change: &Change<&Domain>) -> NewEvent {
    NewEvent::new(kind, vec![domain.domain_id.to_string()], change)
}
