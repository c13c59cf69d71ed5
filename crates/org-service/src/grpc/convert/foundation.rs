//! Organizations as the other services ask for them.

use std::collections::HashSet;

use api::org::v1::{BatchResolveOrganizationsRequest, FoundOrganizationRequest};
use runtime::Violations;
use tenancy::{OrganizationId, ProjectId};
use tonic::Status;

use super::choices::Choice;
use crate::{
    model::{DisplayName, Slug},
    ops::organization::Foundation,
};

const BATCH: usize = 500;

pub fn read_batch_resolve(
    request: &BatchResolveOrganizationsRequest,
) -> Result<(ProjectId, Vec<OrganizationId>), Status> {
    let mut violations = Violations::default();
    let project = violations.check("project_id", request.project_id.parse());
    let given = &request.organization_ids;
    violations.require((1..=BATCH).contains(&given.len()), "organization_ids", "must be 1 to 500");
    let (mut ids, mut seen) = (Vec::with_capacity(given.len().min(BATCH)), HashSet::new());
    for (at, id) in given.iter().take(BATCH).enumerate() {
        let field = format!("organization_ids[{at}]");
        if let Some(id) = violations.check(field.as_str(), id.parse::<OrganizationId>()) {
            violations.require(seen.insert(id), field, "is there twice");
            ids.push(id);
        }
    }
    let (project,) = violations.all((project,))?;
    Ok((project, ids))
}

pub fn read_foundation(request: FoundOrganizationRequest) -> Result<(ProjectId, Foundation), Status> {
    let mut violations = Violations::default();
    let project = violations.check("project_id", request.project_id.parse());
    let organization = violations.check("organization_id", request.organization_id.parse());
    let kind = violations.check("kind", Choice::read(request.kind));
    let slug = (!request.slug.is_empty()).then(|| Slug::parse(&request.slug)).transpose();
    let slug = violations.check("slug", slug);
    let display_name = (!request.display_name.is_empty()).then(|| DisplayName::parse(&request.display_name));
    let display_name = violations.check("display_name", display_name.transpose());
    let person_name = violations.check("person_name", DisplayName::parse(&request.person_name));
    let (project, organization, kind, slug, display_name, person_name) =
        violations.all((project, organization, kind, slug, display_name, person_name))?;
    Ok((project, Foundation { organization, kind, slug, display_name, person_name }))
}
