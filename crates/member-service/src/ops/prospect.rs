//! Binding roles to a member who is not there yet.
//!
//! The order is: announce the member's id here, bind the roles in authz-service, insert the member. A crash in between leaves bindings
//! of a member who does not exist, and the announcement that leads to them: a sweep takes both back (see `background`). A step that
//! is refused takes them back at once.

use access::Granted;
use runtime::kill_point;
use tenancy::{MemberId, OrganizationId, OrganizationScope, ProjectId, StoreError, Write};

use super::Context;
use crate::{
    model::{RoleHeld, RoleSource},
    remote::{Asker, Grantor, RemoteError},
    store::prospect,
};

#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A member to be, with the roles that wait for them.
#[derive(Debug)]
pub struct Prospect {
    pub member: MemberId,
    pub roles: Vec<RoleHeld>,
    /// Without roles there is nothing to take back, and nothing is announced.
    announced: bool,
}

impl Prospect {
    pub async fn bind(
        context: &Context,
        granted: &Granted<OrganizationScope>,
        grantor: &Grantor,
        grants: Vec<(RoleSource, Vec<String>)>,
    ) -> Result<Self, BindError> {
        let member = MemberId::new();
        let grants: Vec<_> = grants.into_iter().filter(|(_, roles)| !roles.is_empty()).collect();
        if grants.is_empty() {
            return Ok(Self { member, roles: Vec::new(), announced: false });
        }
        let mut tx = context.database.upkeep(granted.scope).await?;
        prospect::announce(tx.connection(), granted.scope, member).await?;
        tx.commit().await?;
        kill_point("bind-roles/announced");
        let mut prospect = Self { member, roles: Vec::new(), announced: true };
        for (source, roles) in grants {
            match context.remote.grant(granted.into(), granted.scope, member, grantor, roles, source).await {
                // All that they hold by now, whatever it was given for.
                Ok(roles) => prospect.roles = roles,
                Err(error) => {
                    // Also where it failed: the answer may have been lost, not the grant.
                    prospect.withdraw(context, granted).await;
                    return Err(error.into());
                }
            }
            kill_point("bind-roles/bound");
        }
        Ok(prospect)
    }

    /// In the write that inserts the member. False where the sweep was quicker: then there must be no member.
    pub async fn arrive(&self, tx: &mut Write) -> Result<bool, StoreError> {
        if !self.announced {
            return Ok(true);
        }
        let organization = tx.organization_id();
        prospect::arrive(tx.connection(), organization, self.member).await
    }

    /// Takes the bindings back. What fails is left to the sweep.
    pub async fn withdraw(self, context: &Context, granted: &Granted<OrganizationScope>) {
        if !self.announced {
            return;
        }
        let (organization, project) = (granted.scope.organization_id(), granted.scope.project_id());
        let withdrawn = async {
            let mut tx = context.database.upkeep(granted.scope).await?;
            let abandoned = prospect::abandon(tx.connection(), organization, self.member).await?;
            tx.commit().await?;
            if abandoned {
                take_back(context, granted.into(), organization, project, self.member, granted.scope).await
            } else {
                Ok(())
            }
        };
        if let Err(error) = withdrawn.await {
            tracing::info!(error = %runtime::Chain(&error), member = %self.member, "bindings of nobody are left to the sweep");
        }
    }
}

/// Announces many members to be.
pub async fn announce_all(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    members: &[MemberId],
) -> Result<(), StoreError> {
    let mut tx = context.database.upkeep(granted.scope).await?;
    prospect::announce_all(tx.connection(), granted.scope, members).await?;
    tx.commit().await
}

/// In the write that inserts them. False where the sweep was quicker with one: then there must be none.
pub async fn arrive_all(tx: &mut Write, members: &[MemberId]) -> Result<bool, StoreError> {
    let organization = tx.organization_id();
    prospect::arrive_all(tx.connection(), organization, members).await
}

/// Gives up many. The sweep takes their bindings back, for that is a call for each of them.
pub async fn abandon_all(context: &Context, granted: &Granted<OrganizationScope>, members: &[MemberId]) {
    if members.is_empty() {
        return;
    }
    let abandoned = async {
        let mut tx = context.database.upkeep(granted.scope).await?;
        prospect::abandon_all(tx.connection(), granted.scope.organization_id(), members).await?;
        tx.commit().await
    };
    if let Err(error) = abandoned.await {
        tracing::info!(error = %runtime::Chain(&error), members = members.len(), "bindings of nobody are given up later");
    }
}

/// Takes back the bindings of an abandoned prospect, then forgets it. The scope is one that shows it.
pub async fn take_back(
    context: &Context,
    asker: Asker<'_>,
    organization: OrganizationId,
    project: ProjectId,
    member: MemberId,
    scope: impl Into<tenancy::Scope>,
) -> Result<(), BindError> {
    // No member was ever made, so any revision is as new as another.
    context.remote.remove(asker, organization, project, member, 1, false).await?;
    let mut tx = context.database.upkeep(scope).await?;
    prospect::forget(tx.connection(), organization, member).await?;
    Ok(tx.commit().await?)
}
