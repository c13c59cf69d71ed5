//! The identity providers of organizations and projects.

mod change;
mod create;
mod probe;
mod read;
mod secret;

pub use change::{Update, remove, update};
pub use create::create;
pub use probe::{Check, test};
pub use read::{get, list};
pub use secret::{ClientSecrets, open as open_secret};

pub use crate::store::connection::Filter;

use access::{Granted, Tenant};
use tenancy::{Database, NewEvent, OrganizationState, Places, StoreError, Write};

use crate::{
    model::{ConnectionChange, ProjectState, RoleReference},
    outside::Fetcher,
    remote::{Grants, RemoteError},
    store::project,
};

/// What operations on connections need.
#[derive(Debug)]
pub struct Connections {
    pub database: Database,
    pub grants: Grants,
    pub fetcher: Fetcher,
    /// For those who wait for providers.
    pub outside: Places,
}

#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    #[error("no such connection")]
    Unknown,
    #[error("no such organization")]
    OrganizationUnknown,
    #[error("the project is archived")]
    ProjectArchived,
    #[error("the connection changed since it was read")]
    EtagMismatch,
    #[error("the organization has as many connections as it may, {limit}")]
    LimitReached { limit: i64 },
    #[error("must be named when issuer changes: the one kept was for another provider")]
    SecretElsewhere,
    #[error("must be CONNECTION_KIND_OIDC for a connection of the project")]
    ProjectsAreOidc,
    #[error("is for connections of organizations")]
    ProjectGivesNoRoles,
    #[error("the connection was tested a moment ago")]
    TooSoon,
    #[error(transparent)]
    Grant(#[from] RemoteError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whoever has an organization believe a provider could have it say that they are an owner: so they must be able to make one.
async fn may_be_believed(connections: &Connections, granted: &Granted<Tenant>) -> Result<(), ConnectionError> {
    if let (Tenant::Organization(_), Ok(owner)) = (granted.scope, RoleReference::parse("owner")) {
        connections.grants.check(granted, vec![owner]).await?;
    }
    Ok(())
}

/// The organization may have been deleted while the caller's rights were looked at, or while the write waited for its turn.
async fn refuse_ended(tx: &mut Write, scope: Tenant) -> Result<(), ConnectionError> {
    if matches!(scope, Tenant::Organization(_)) && tx.head().own_state == OrganizationState::Deleted {
        return Err(ConnectionError::OrganizationUnknown);
    }
    let project = project::find(tx.connection(), scope.project_id()).await?;
    match project.map(|project| project.state) {
        Some(ProjectState::Active) => Ok(()),
        Some(ProjectState::Archived) => Err(ConnectionError::ProjectArchived),
        None => Err(StoreError::TenantUnknown.into()),
    }
}

/// An event of the connection that the change is about.
fn event(kind: &'static str, change: &ConnectionChange) -> NewEvent {
    let about = change.after.as_ref().or(change.before.as_ref());
    NewEvent::new(kind, about.map(|connection| connection.connection_id.to_string()).into_iter().collect(), change)
}
