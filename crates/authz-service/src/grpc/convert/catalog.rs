use api::authz::v1 as proto;
use engine::{Catalog, ResourceType};
use runtime::Violations;
use tenancy::mask;
use tonic::Status;

use super::{time, tokens::Tokens};
use crate::model::PermissionCatalog;

/// The most permissions that a project's types may have together.
const MAX_PERMISSIONS: usize = 4096;

pub fn types(request: &proto::UpdateCatalogRequest) -> Result<Vec<ResourceType>, Status> {
    let mut violations = Violations::default();
    violations.require(request.catalog.is_some(), "catalog", "is required");
    let paths = request.update_mask.as_ref().map(|mask| mask.paths.as_slice()).unwrap_or_default();
    let known = paths.iter().all(|path| path == "resource_types" || path == "*");
    violations.require(known, "update_mask", "may name resource_types only");
    let types: Vec<ResourceType> = request
        .catalog
        .iter()
        .flat_map(|catalog| &catalog.resource_types)
        .map(|declared| ResourceType {
            name: declared.name.clone(),
            parent_types: declared.parent_types.clone(),
            verbs: declared.verbs.clone(),
            description: declared.description.clone(),
        })
        .collect();
    let permissions: usize = types.iter().map(|declared| declared.verbs.len()).sum();
    violations.require(
        permissions <= MAX_PERMISSIONS,
        "catalog.resource_types",
        format!("{permissions} permissions, at most {MAX_PERMISSIONS} are possible"),
    );
    if let Err(invalid) = Catalog::new(types.clone()) {
        for fault in invalid.0 {
            violations.add(format!("catalog.{}", fault.field), fault.problem.to_string());
        }
    }
    violations.finish()?;
    Ok(types)
}

pub fn to_proto(catalog: PermissionCatalog, tokens: &Tokens<'_>) -> proto::PermissionCatalog {
    proto::PermissionCatalog {
        resource_types: catalog
            .resource_types
            .into_iter()
            .map(|declared| proto::ResourceType {
                name: declared.name,
                parent_types: declared.parent_types,
                verbs: declared.verbs,
                description: declared.description,
            })
            .collect(),
        version: catalog.version,
        create_time: catalog.create_time.map(time::to_proto),
        update_time: catalog.update_time.map(time::to_proto),
        etag: mask::etag(catalog.revision),
        revision: if catalog.version == 0 { String::new() } else { tokens.template(catalog.revision) },
    }
}
