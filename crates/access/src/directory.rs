//! Taking up organizations that this service has not met yet, by asking org-service.

use std::str::FromStr;

use api::org::v1::{
    OrganizationEntry, OrganizationState as State, ResolveOrganizationRequest,
    directory_service_client::DirectoryServiceClient,
};
use runtime::{CallContext, Channel};
use tenancy::{Database, Head, OrganizationId, OrganizationState, ProjectId};
use tonic::{Code, Status};

use crate::{
    caller::{Caller, Service},
    onward::Onward,
    refusal::store,
};

/// org-service, as the others ask it for what they do not hold.
#[derive(Debug, Clone)]
pub struct Directory {
    org: DirectoryServiceClient<Channel>,
    onward: Onward,
}

impl Directory {
    pub fn new(org: Channel, onward: Onward) -> Self {
        Self { org: DirectoryServiceClient::new(org), onward }
    }

    /// Takes as long as it takes to learn of an organization that there is none.
    pub(crate) async fn miss(&self, call: &CallContext) -> Result<(), Status> {
        self.ask(call, OrganizationId::new()).await.map(|_| ())
    }

    /// Asks for the organization. None where there is none.
    async fn ask(&self, call: &CallContext, organization: OrganizationId) -> Result<Option<OrganizationEntry>, Status> {
        let me = Caller::Workload { service: self.onward.service(), on_behalf_of: None };
        let request = ResolveOrganizationRequest { organization_id: organization.to_string() };
        let request = self.onward.request(&me, call, Service::Org, request)?;
        match self.org.clone().resolve_organization(request).await {
            Ok(entry) => Ok(Some(entry.into_inner())),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(status),
        }
    }

    /// Asks for the organization and takes it up. None where there is none.
    pub(crate) async fn admit(
        &self,
        call: &CallContext,
        database: &Database,
        organization: OrganizationId,
    ) -> Result<Option<Head>, Status> {
        let Some(entry) = self.ask(call, organization).await? else { return Ok(None) };
        let project = ProjectId::from_str(&entry.project_id).map_err(|error| runtime::internal(&error))?;
        let state = match entry.state() {
            State::Active => OrganizationState::Active,
            State::Suspended => OrganizationState::Suspended,
            State::Deleted | State::Unspecified => OrganizationState::Deleted,
        };
        database.admit(project, organization, state, entry.revision).await.map_err(store)?;
        database.head(organization).await.map_err(store)
    }
}
