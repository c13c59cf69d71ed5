//! Whether this service's own callers may do what they ask: decided by the same snapshots that answer everybody.

use access::PermissionCheck;
use engine::Permission;
use futures::{FutureExt, future::BoxFuture};
use runtime::{CallContext, Refusal};
use tenancy::{Actor, OrganizationScope, StoreError};
use tonic::Status;

use crate::{
    model::Subject,
    snapshots::{Consistency, SnapshotError, Snapshots},
};

#[derive(Debug, Clone)]
pub struct OwnPermissions {
    snapshots: Snapshots,
}

impl OwnPermissions {
    pub fn new(snapshots: Snapshots) -> Self {
        Self { snapshots }
    }
}

impl PermissionCheck for OwnPermissions {
    fn holds<'a>(
        &'a self,
        _call: &'a CallContext,
        scope: OrganizationScope,
        actor: &'a Actor,
        permission: &'static str,
    ) -> BoxFuture<'a, Result<bool, Status>> {
        async move {
            let subject = match actor {
                Actor::Member(id) => Subject::Member(*id),
                Actor::ServiceAccount(id) => Subject::ServiceAccount(*id),
                Actor::Operator | Actor::Workload(_) | Actor::Anonymous => return Ok(false),
            };
            let Ok(permission) = permission.parse::<Permission>() else { return Ok(false) };
            let state = match self.snapshots.at(scope, Consistency::FullyConsistent).await {
                Ok(state) => state,
                Err(SnapshotError::Store(error)) => return Err(access::store(error)),
                Err(SnapshotError::Foreign | SnapshotError::AnotherHistory | SnapshotError::FromFuture) => {
                    return Err(access::store(StoreError::Corrupt("revision")));
                }
                Err(SnapshotError::Unproven) => return Err(Refusal::unavailable("the database").into()),
            };
            Ok(state.engine.check(&subject.into(), &permission, None, tenancy::event::now()).is_allowed())
        }
        .boxed()
    }
}
