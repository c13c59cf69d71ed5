//! From PERSONAL to TEAM, when somebody is being invited.

use tenancy::{Database, OrganizationScope, OrganizationState, Origin, StoreError};

use super::event;
use crate::{
    model::{Kind, OrganizationChange},
    store::{organization, organization::WriteError},
};

#[derive(Debug, thiserror::Error)]
pub enum PromoteError {
    #[error("no such organization")]
    Unknown,
    #[error("the organization is not active")]
    NotActive(OrganizationState),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<WriteError> for PromoteError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ExternalIdTaken => Self::Store(StoreError::Corrupt("external_id of a change of kind")),
            WriteError::Store(error) => Self::Store(error),
        }
    }
}

/// Makes it a TEAM; one that is stays as it is. There is no way back.
pub async fn promote(database: &Database, scope: OrganizationScope, origin: &Origin) -> Result<(), PromoteError> {
    let id = scope.organization_id();
    let mut tx = database.write(scope, origin, None).await?;
    let found = organization::find(tx.connection(), id).await?.ok_or(PromoteError::Unknown)?;
    let before = found.view.organization;
    match before.state {
        OrganizationState::Active => {}
        OrganizationState::Suspended => return Err(PromoteError::NotActive(before.state)),
        OrganizationState::Deleted => return Err(PromoteError::Unknown),
    }
    if before.kind == Kind::Team {
        return Ok(());
    }
    let mut after = before.clone();
    after.kind = Kind::Team;
    after.revision = tx.revision();
    after.update_time = tenancy::event::now();
    organization::update(tx.connection(), &after).await?;
    let change = OrganizationChange { before: Some(before), after: Some(after), reason: String::new() };
    tx.append(event("organization.updated", id, &change));
    Ok(tx.commit(()).await?)
}
