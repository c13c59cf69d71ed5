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
use futures::FutureExt as _;
use runtime::{CallContext, Channel};
use tenancy::{OrganizationId, OrganizationScope, OrganizationState};
use tokio::time::{error::Elapsed, timeout};
use tonic::{Response, Status};

use crate::model::Usage;

/// How long a state change waits for the others to take note of it. What is lost they read in the feed.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a read waits for a number that it can do without.
const GLANCE: Duration = Duration::from_millis(500);

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

    /// Tells both of a committed state, at once. Returns whether they know, when they do or have not answered in time.
    pub async fn tell_state(
        &self,
        caller: &Caller,
        call: &CallContext,
        scope: OrganizationScope,
        state: OrganizationState,
        revision: i64,
    ) -> bool {
        let to_member = timeout(PATIENCE, self.tell_member(caller, call, scope, state, revision));
        let to_authz = timeout(PATIENCE, self.tell_authz(caller, call, scope, state, revision));
        let (member, authz) = tokio::join!(to_member, to_authz);
        let mut known = true;
        for (service, outcome) in [(Service::Member, member), (Service::Authz, authz)] {
            let why = match outcome {
                Ok(Ok(())) => continue,
                Ok(Err(status)) => format!("{:?}: {}", status.code(), status.message()),
                Err(_) => "no answer in time".to_owned(),
            };
            known = false;
            tracing::warn!(
                service = service.name(), organization_id = %scope.organization_id(), revision, why,
                "a service was not told of a state; it reads it in the feed"
            );
        }
        known
    }

    /// How much of its limits an organization uses, as exactly as both know at this moment. For display: what cannot be learned soon is
    /// left out.
    pub async fn usage(&self, caller: &Caller, call: &CallContext, organization: OrganizationId) -> Usage {
        let organization_id = organization.to_string();
        let of_member = async {
            let message = member::GetUsageRequest { organization_id: organization_id.clone() };
            let request = self.onward.request(caller, call, Service::Member, message)?;
            self.member.clone().get_usage(request).boxed().await.map(Response::into_inner)
        };
        let of_authz = async {
            let message = authz::GetUsageRequest { organization_id: organization_id.clone() };
            let request = self.onward.request(caller, call, Service::Authz, message)?;
            self.authz.clone().get_usage(request).boxed().await.map(Response::into_inner)
        };
        let (member, authz) = tokio::join!(timeout(GLANCE, of_member), timeout(GLANCE, of_authz));
        let member = counted(Service::Member, member);
        let authz = counted(Service::Authz, authz);
        Usage {
            members: member.as_ref().map(|used| used.members),
            pending_invitations: member.as_ref().map(|used| used.pending_invitations),
            service_accounts: member.as_ref().map(|used| used.service_accounts),
            custom_roles: authz.map(|used| used.custom_roles),
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
        self.member.clone().set_organization_state(request).boxed().await.map(drop)
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
        self.authz.clone().set_organization_state(request).boxed().await.map(drop)
    }
}

fn counted<T>(service: Service, answer: Result<Result<T, Status>, Elapsed>) -> Option<T> {
    let code = match answer {
        Ok(Ok(usage)) => return Some(usage),
        Ok(Err(status)) => Some(status.code()),
        Err(_) => None,
    };
    tracing::debug!(service = service.name(), ?code, "how much of the limits is used is not known");
    None
}

fn spoken(state: OrganizationState) -> State {
    match state {
        OrganizationState::Active => State::Active,
        OrganizationState::Suspended => State::Suspended,
        OrganizationState::Deleted => State::Deleted,
    }
}
