//! What this service tells the others.

mod grants;

pub use grants::{Grants, RemoteError};

use std::time::Duration;

use access::{Caller, Onward, Service};
use api::{
    authz::v1::{self as authz, subject_service_client::SubjectServiceClient},
    member::v1::{self as member, tenant_service_client::TenantServiceClient},
    org::v1::OrganizationState as State,
};
use runtime::{CallContext, Channel};
use tenancy::{OrganizationScope, OrganizationState};
use tokio::time::timeout;
use tonic::Status;

/// How long a state change waits for the others to take note of it. What is lost they read in the feed.
const PATIENCE: Duration = Duration::from_secs(1);

/// member-service and authz-service.
#[derive(Debug, Clone)]
pub struct Others {
    member: TenantServiceClient<Channel>,
    authz: SubjectServiceClient<Channel>,
    onward: Onward,
}

impl Others {
    pub fn new(member: Channel, authz: Channel, onward: Onward) -> Self {
        Self { member: TenantServiceClient::new(member), authz: SubjectServiceClient::new(authz), onward }
    }

    /// Tells both of a committed state, at once. Returns when they know, or have not answered in time.
    pub async fn tell_state(
        &self,
        caller: &Caller,
        call: &CallContext,
        scope: OrganizationScope,
        state: OrganizationState,
        revision: i64,
    ) {
        let to_member = timeout(PATIENCE, self.tell_member(caller, call, scope, state, revision));
        let to_authz = timeout(PATIENCE, self.tell_authz(caller, call, scope, state, revision));
        let (member, authz) = tokio::join!(to_member, to_authz);
        for (service, outcome) in [(Service::Member, member), (Service::Authz, authz)] {
            let why = match outcome {
                Ok(Ok(())) => continue,
                Ok(Err(status)) => format!("{:?}: {}", status.code(), status.message()),
                Err(_) => "no answer in time".to_owned(),
            };
            tracing::warn!(
                service = service.name(), organization_id = %scope.organization_id(), revision, why,
                "a service was not told of a state; it reads it in the feed"
            );
        }
    }

    async fn tell_member(
        &self,
        caller: &Caller,
        call: &CallContext,
        scope: OrganizationScope,
        state: OrganizationState,
        revision: i64,
    ) -> Result<(), Status> {
        let message = member::SetOrganizationStateRequest {
            organization_id: scope.organization_id().to_string(),
            project_id: scope.project_id().to_string(),
            state: spoken(state).into(),
            org_revision: revision,
        };
        let request = self.onward.request(caller, call, Service::Member, message)?;
        self.member.clone().set_organization_state(request).await.map(drop)
    }

    async fn tell_authz(
        &self,
        caller: &Caller,
        call: &CallContext,
        scope: OrganizationScope,
        state: OrganizationState,
        revision: i64,
    ) -> Result<(), Status> {
        let message = authz::SetOrganizationStateRequest {
            organization_id: scope.organization_id().to_string(),
            project_id: scope.project_id().to_string(),
            state: spoken(state).into(),
            org_revision: revision,
        };
        let request = self.onward.request(caller, call, Service::Authz, message)?;
        self.authz.clone().set_organization_state(request).await.map(drop)
    }
}

fn spoken(state: OrganizationState) -> State {
    match state {
        OrganizationState::Active => State::Active,
        OrganizationState::Suspended => State::Suspended,
        OrganizationState::Deleted => State::Deleted,
    }
}
