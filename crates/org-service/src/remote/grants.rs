//! Whether a caller may give what they write down to be given.

use std::collections::BTreeMap;

use access::{Granted, Onward, Service, Tenant};
use api::{
    access::v1::ErrorReason,
    authz::v1::{CheckGrantRequest, subject_service_client::SubjectServiceClient},
};
use futures::FutureExt as _;
use runtime::{Channel, Refusal, internal};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::model::{GroupName, RoleReference};

/// As many roles as authz-service takes at once.
const AT_ONCE: usize = 50;

/// authz-service refused, or could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("authz-service refused or could not be reached")]
pub struct RemoteError(#[source] Status);

impl From<Status> for RemoteError {
    fn from(status: Status) -> Self {
        Self(status)
    }
}

impl RemoteError {
    /// As this service's caller gets it: refusals that speak of what the caller asked for as they are, faults between services as
    /// faults.
    pub fn into_status(self) -> Status {
        let about_the_request = [
            ErrorReason::GrantExceedsGrantor,
            ErrorReason::NotFound,
            ErrorReason::OrganizationNotActive,
            ErrorReason::InvalidFields,
            ErrorReason::Overloaded,
            ErrorReason::DeadlineExceeded,
            ErrorReason::Unavailable,
        ];
        let given = self.0.get_details_error_info().filter(|info| info.domain == runtime::ERROR_DOMAIN);
        let known = given.and_then(|info| ErrorReason::from_str_name(&format!("ERROR_REASON_{}", info.reason)));
        match (known, self.0.code()) {
            (Some(reason), _) if about_the_request.contains(&reason) => self.0,
            (_, Code::Unavailable | Code::Cancelled) => Refusal::unavailable("a service that this call needs").into(),
            _ => internal(&self),
        }
    }
}

/// authz-service, asked about grants.
#[derive(Debug, Clone)]
pub struct Grants {
    authz: SubjectServiceClient<Channel>,
    onward: Onward,
}

impl Grants {
    pub fn new(authz: Channel, onward: Onward) -> Self {
        Self { authz: SubjectServiceClient::new(authz), onward }
    }

    /// Whether the caller may grant all these roles; their ids, in their order.
    pub async fn check(
        &self,
        granted: &Granted<Tenant>,
        roles: Vec<RoleReference>,
    ) -> Result<Vec<RoleReference>, RemoteError> {
        let mut ids = Vec::with_capacity(roles.len());
        for some in roles.chunks(AT_ONCE) {
            let message = CheckGrantRequest {
                organization_id: granted.scope.key().to_string(),
                project_id: granted.scope.project_id().to_string(),
                grantor: Some(feed::actor_to_proto(&granted.caller.principal())),
                roles: some.iter().map(|role| role.as_str().to_owned()).collect(),
                grantor_is_project: granted.caller.is_project(),
                acting_as: None,
            };
            let request = self.onward.request(&granted.caller, &granted.call, Service::Authz, message)?;
            let answer = self.authz.clone().check_grant(request).boxed().await?.into_inner();
            let named = answer.role_ids.iter().filter_map(|id| RoleReference::parse(id).ok());
            ids.extend(named);
        }
        if ids.len() == roles.len() {
            Ok(ids)
        } else {
            Err(Status::internal("authz-service named other roles than were asked about").into())
        }
    }

    /// Checks that the caller may grant what a mapping gives, and puts the ids of the roles in the place of their keys.
    pub async fn resolve(
        &self,
        granted: &Granted<Tenant>,
        groups: &mut BTreeMap<GroupName, Vec<RoleReference>>,
    ) -> Result<(), RemoteError> {
        let named = crate::model::mapped_roles(groups);
        let ids = self.check(granted, named.clone()).await?;
        let by_name: BTreeMap<_, _> = named.into_iter().zip(ids).collect();
        for roles in groups.values_mut() {
            let mut resolved: Vec<RoleReference> = Vec::with_capacity(roles.len());
            for id in roles.iter().filter_map(|role| by_name.get(role)) {
                // A role may have come by its key and by its id.
                if !resolved.contains(id) {
                    resolved.push(id.clone());
                }
            }
            *roles = resolved;
        }
        Ok(())
    }
}
