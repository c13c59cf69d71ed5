//! Taking identities over from another system.

use access::{Granted, Tenant};
use tenancy::{Change, IdentityId, NewEvent, OrganizationId, OrganizationState, ProjectScope, StoreError, event::now};

use crate::{
    model::{ForeignHash, Identity, IdentityDraft},
    ops::{Context, NotActive, active},
    remote::RemoteError,
    store::identity,
};

/// As many as one write takes: enough to be quick, few enough that nobody else waits long.
pub const AT_ONCE: usize = 100;

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The project shares one pool, and an organization was named.
    #[error("must be empty: the project has one user pool for all its organizations")]
    PoolIsShared,
    /// The project has a pool for each organization, and none was named.
    #[error("must name the organization: the project has a user pool for each")]
    OrganizationRequired,
    #[error("no such organization")]
    OrganizationUnknown,
    #[error(transparent)]
    NotActive(#[from] NotActive),
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of one batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Imported {
    pub created: i64,
    /// Known already, and left as they were.
    pub existing: i64,
}

/// The pool that a project's request means: the project's one, or that of the organization it names.
pub async fn pool_named(
    context: &Context,
    granted: &Granted<ProjectScope>,
    organization: Option<OrganizationId>,
) -> Result<Tenant, ImportError> {
    let project = granted.scope.project_id();
    let shared = context.remote.shares_pool(granted.into(), project).await?;
    let shared = shared.ok_or(RemoteError::inconsistent("org-service does not know the project of a credential"))?;
    match (shared, organization) {
        (true, None) => Ok(Tenant::Project(granted.scope)),
        (true, Some(_)) => Err(ImportError::PoolIsShared),
        (false, None) => Err(ImportError::OrganizationRequired),
        (false, Some(organization)) => {
            let head = context.access.head(&granted.call, organization).await.map_err(RemoteError::from)?;
            let ours = head.filter(|head| {
                let own = head.project_id == project && organization != project.into();
                own && head.state != OrganizationState::Deleted
            });
            ours.ok_or(ImportError::OrganizationUnknown)?;
            Ok(Tenant::Organization(granted.in_organization(organization).scope))
        }
    }
}

/// Makes those of them that the pool has not. All or none, in one write.
pub async fn import(
    context: &Context,
    granted: &Granted<ProjectScope>,
    pool: Tenant,
    drafts: Vec<IdentityDraft>,
) -> Result<Imported, ImportError> {
    let mut tx = context.database.write(pool, &granted.origin(), None).await?;
    active(tx.head().state)?;
    let mut imported = Imported::default();
    for draft in drafts {
        let now = now();
        let new = Identity {
            identity_id: IdentityId::new(),
            pool: pool.key(),
            pool_is_project: matches!(pool, Tenant::Project(_)),
            email_address: draft.email_address,
            email_verified: draft.email_verified,
            retired_email_addresses: Vec::new(),
            display_name: draft.display_name,
            picture_uri: draft.picture_uri,
            has_password: draft.password_hash.is_some(),
            password_is_short: false,
            has_totp: false,
            sessions_from: None,
            state: draft.state,
            revision: tx.revision(),
            create_time: now,
            update_time: now,
        };
        let hash = draft.password_hash.as_ref().map(ForeignHash::as_str);
        if identity::insert(tx.connection(), pool, &new, hash).await? {
            imported.created += 1;
            let ids = vec![new.identity_id.to_string()];
            tx.append(NewEvent::new("identity.created", ids, &Change::created(new)));
        } else {
            imported.existing += 1;
        }
    }
    Ok(tx.commit(imported).await?)
}
