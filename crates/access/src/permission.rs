//! Asking whether a subject holds one of our own permissions at an organization. authz-service asks its engine, the others ask
//! authz-service.

use api::authz::v1::{
    CheckRequest, Consistency, Subject, authorization_service_client::AuthorizationServiceClient, consistency, subject,
};
use futures::future::BoxFuture;
use runtime::{CallContext, Channel};
use tenancy::{Actor, OrganizationScope};
use tonic::Status;

use crate::{
    caller::{Caller, Service},
    onward::Onward,
};

/// Whether a member or service account may do something in its organization, now: never from an answer of the past.
pub trait PermissionCheck: Send + Sync + 'static {
    fn holds<'a>(
        &'a self,
        call: &'a CallContext,
        scope: OrganizationScope,
        subject: &'a Actor,
        permission: &'static str,
    ) -> BoxFuture<'a, Result<bool, Status>>;
}

/// Asks authz-service.
#[derive(Debug, Clone)]
pub struct RemotePermissions {
    authz: AuthorizationServiceClient<Channel>,
    onward: Onward,
}

impl RemotePermissions {
    pub fn new(authz: Channel, onward: Onward) -> Self {
        Self { authz: AuthorizationServiceClient::new(authz), onward }
    }
}

impl PermissionCheck for RemotePermissions {
    fn holds<'a>(
        &'a self,
        call: &'a CallContext,
        scope: OrganizationScope,
        actor: &'a Actor,
        permission: &'static str,
    ) -> BoxFuture<'a, Result<bool, Status>> {
        Box::pin(async move {
            let subject = match actor {
                Actor::Member(id) => subject::Subject::MemberId(id.to_string()),
                Actor::ServiceAccount(id) => subject::Subject::ServiceAccountId(id.to_string()),
                Actor::Operator | Actor::Workload(_) | Actor::Anonymous => return Ok(false),
            };
            let request = CheckRequest {
                organization_id: scope.organization_id().to_string(),
                subject: Some(Subject { subject: Some(subject) }),
                permission: permission.to_owned(),
                consistency: Some(Consistency { requirement: Some(consistency::Requirement::FullyConsistent(true)) }),
                ..CheckRequest::default()
            };
            let served = Caller::Workload { service: self.onward.service(), on_behalf_of: Some(actor.clone().into()) };
            let request = self.onward.request(&served, call, Service::Authz, request)?;
            let answer = self.authz.clone().check(request).await?.into_inner();
            Ok(answer.allowed)
        })
    }
}
