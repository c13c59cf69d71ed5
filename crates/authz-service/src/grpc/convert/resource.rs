use api::authz::v1 as proto;
use engine::{NameError, ResourceRef};
use tenancy::mask;

use super::{time, tokens::Tokens};
use crate::model::{Registration, Resource};

/// The reference, or what is wrong and with which of the two fields.
pub fn reference(resource: &proto::Resource) -> Result<ResourceRef, (&'static str, String)> {
    ResourceRef::new(&resource.r#type, &resource.id).map_err(|error| {
        let field = if matches!(error, NameError::ResourceId(_)) { "id" } else { "type" };
        (field, error.to_string())
    })
}

/// A resource in a request, faults under `field`.
pub fn from_proto(violations: &mut runtime::Violations, field: &str, resource: &proto::Resource) -> Option<Resource> {
    match reference(resource) {
        Ok(reference) => Some(Resource::from(&reference)),
        Err((at, fault)) => {
            violations.add(format!("{field}.{at}"), fault);
            None
        }
    }
}

pub fn to_proto(resource: Resource) -> proto::Resource {
    proto::Resource { r#type: resource.type_name, id: resource.id }
}

pub fn of_reference(reference: &ResourceRef) -> proto::Resource {
    to_proto(Resource::from(reference))
}

pub fn registration(registration: Registration, tokens: &Tokens<'_>) -> proto::ResourceRegistration {
    proto::ResourceRegistration {
        organization_id: registration.organization_id.to_string(),
        resource: Some(to_proto(registration.resource)),
        parent: registration.parent.map(to_proto),
        create_time: Some(time::to_proto(registration.create_time)),
        update_time: Some(time::to_proto(registration.update_time)),
        revision: tokens.own(registration.revision),
        etag: mask::etag(registration.revision),
    }
}
