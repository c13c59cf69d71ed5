//! What this service asks of org-service.

use access::{Caller, Onward, Service};
use api::org::v1::{LimitValues, ResolveOrganizationRequest, directory_service_client::DirectoryServiceClient};
use futures::FutureExt as _;
use runtime::{CallContext, Channel, Refusal, internal};
use tenancy::OrganizationId;
use tonic::{Code, Status};

#[derive(Debug, Clone)]
pub struct Remote {
    directory: DirectoryServiceClient<Channel>,
    onward: Onward,
}

impl Remote {
    pub fn new(org: Channel, onward: Onward) -> Self {
        Self { directory: DirectoryServiceClient::new(org), onward }
    }

    /// The limits in force in an organization, as of now.
    pub async fn limits(
        &self,
        caller: &Caller,
        call: &CallContext,
        organization: OrganizationId,
    ) -> Result<LimitValues, Status> {
        let message = ResolveOrganizationRequest { organization_id: organization.to_string() };
        let request = self.onward.request(caller, call, Service::Org, message)?;
        match self.directory.clone().resolve_organization(request).boxed().await {
            Ok(entry) => Ok(entry.into_inner().limits.unwrap_or_default()),
            Err(status) => Err(match status.code() {
                Code::NotFound => Refusal::not_found("organization").into(),
                Code::Unavailable | Code::Cancelled => Refusal::unavailable("a service that this call needs").into(),
                // As the other service worded it: it is about this call.
                Code::DeadlineExceeded | Code::ResourceExhausted => status,
                _ => internal(&status),
            }),
        }
    }
}
