//! `guildhall.member.v1.TenantService`.

use access::store;
use api::{
    member::v1::{
        GetUsageRequest, GetUsageResponse, SetOrganizationStateRequest, SetOrganizationStateResponse,
        tenant_service_server::TenantService,
    },
    org::v1::OrganizationState as Spoken,
};
use runtime::Violations;
use tenancy::{OrganizationId, OrganizationState, ProjectId};
use tonic::{Request, Response, Status};

use super::Door;
use crate::{model::Fault, ops::tenant};

fn read_state(state: Spoken) -> Result<OrganizationState, Fault> {
    match state {
        Spoken::Unspecified => Err(Fault("must be a state")),
        Spoken::Active => Ok(OrganizationState::Active),
        Spoken::Suspended => Ok(OrganizationState::Suspended),
        Spoken::Deleted => Ok(OrganizationState::Deleted),
    }
}

fn spoken(state: OrganizationState) -> Spoken {
    match state {
        OrganizationState::Active => Spoken::Active,
        OrganizationState::Suspended => Spoken::Suspended,
        OrganizationState::Deleted => Spoken::Deleted,
    }
}

#[tonic::async_trait]
impl TenantService for Door {
    async fn set_organization_state(
        &self,
        request: Request<SetOrganizationStateRequest>,
    ) -> Result<Response<SetOrganizationStateResponse>, Status> {
        let granted = self.access.workload(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::default();
        let organization = violations.check("organization_id", request.organization_id.parse::<OrganizationId>());
        let project = violations.check("project_id", request.project_id.parse::<ProjectId>());
        let state = violations.check("state", read_state(request.state()));
        violations.require(request.org_revision > 0, "org_revision", "must be more than 0");
        let (organization, project, state) = violations.all((organization, project, state))?;
        let granted = granted.in_tenant(project, organization);
        let (state, org_revision) =
            tenant::set_state(&self.context, granted.scope, &granted.origin(), state, request.org_revision)
                .await
                .map_err(store)?;
        Ok(Response::new(SetOrganizationStateResponse { state: spoken(state).into(), org_revision }))
    }

    async fn get_usage(&self, request: Request<GetUsageRequest>) -> Result<Response<GetUsageResponse>, Status> {
        let granted = self.access.workload(&request)?;
        let id = request.get_ref().organization_id.parse();
        let id = id.map_err(|error: tenancy::IdError| access::invalid_field("organization_id", error))?;
        let usage = tenant::usage(&self.context, &granted, id).await.map_err(store)?;
        let number = |count: i64| i32::try_from(count).unwrap_or(i32::MAX);
        Ok(Response::new(GetUsageResponse {
            members: number(usage.members),
            pending_invitations: number(usage.pending_invitations),
            service_accounts: number(usage.service_accounts),
        }))
    }
}
