//! `guildhall.org.v1.DirectoryService`: for the other services of the installation.

use access::{Access, invalid_field, store};
use api::org::v1::{
    BatchResolveOrganizationsRequest, BatchResolveOrganizationsResponse, FoundOrganizationRequest, OrganizationEntry,
    OrganizationKind, ProjectEntry, PromoteOrganizationRequest, PromoteOrganizationResponse, ResolveEmailDomainRequest,
    ResolveHostRequest, ResolveOrganizationRequest, ResolveOrganizationSlugRequest, ResolveProjectRequest,
    directory_service_server::DirectoryService,
};
use runtime::{Refusal, Violations};
use tenancy::{Database, ProjectId, Scope};
use tonic::{Request, Response, Status};

use super::{
    convert,
    refusal::{create, missing, promote},
};
use crate::{
    model::{AskedName, HostBase},
    ops,
};

#[derive(Debug)]
pub struct Directory {
    pub access: Access,
    pub database: Database,
    pub vanity_base: Option<HostBase>,
}

#[tonic::async_trait]
impl DirectoryService for Directory {
    async fn resolve_organization(
        &self,
        request: Request<ResolveOrganizationRequest>,
    ) -> Result<Response<OrganizationEntry>, Status> {
        let granted = self.access.workload(&request)?;
        let id = request.get_ref().organization_id.parse().map_err(|fault| invalid_field("organization_id", fault))?;
        let entry = ops::directory::organization(&self.database, granted.scope, id).await.map_err(store)?;
        Ok(Response::new(convert::entry_with_metadata(&entry.ok_or_else(missing)?)))
    }

    async fn resolve_organization_slug(
        &self,
        request: Request<ResolveOrganizationSlugRequest>,
    ) -> Result<Response<OrganizationEntry>, Status> {
        let granted = self.access.workload(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::default();
        violations.require(!request.slug.is_empty(), "slug", "is required");
        let project = violations.check("project_id", request.project_id.parse());
        let (project,): (ProjectId,) = violations.all((project,))?;
        let scope = granted.in_project(project).scope;
        let entry = ops::directory::organization_by_slug(&self.database, scope, &request.slug).await.map_err(store)?;
        Ok(Response::new(convert::entry(&entry.ok_or_else(missing)?)))
    }

    async fn promote_organization(
        &self,
        request: Request<PromoteOrganizationRequest>,
    ) -> Result<Response<PromoteOrganizationResponse>, Status> {
        let granted = self.access.workload(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::default();
        let organization = violations.check("organization_id", request.organization_id.parse());
        let project = violations.check("project_id", request.project_id.parse());
        let (organization, project) = violations.all((organization, project))?;
        let scope = granted.in_organization(project, organization).scope;
        ops::organization::promote(&self.database, scope, &granted.origin()).await.map_err(promote)?;
        Ok(Response::new(PromoteOrganizationResponse { kind: OrganizationKind::Team.into() }))
    }

    async fn resolve_host(&self, request: Request<ResolveHostRequest>) -> Result<Response<OrganizationEntry>, Status> {
        let granted = self.access.workload(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::default();
        let host = violations.check("host", AskedName::parse(&request.host));
        let given = (!request.project_id.is_empty()).then(|| request.project_id.parse()).transpose();
        let project = violations.check("project_id", given);
        let (host, project): (AskedName, Option<ProjectId>) = violations.all((host, project))?;
        let scope: Scope = project.map_or(granted.scope.into(), |project| granted.in_project(project).scope.into());
        let entry = ops::domain::resolve_host(&self.database, scope, project, &host, self.vanity_base.as_ref());
        Ok(Response::new(convert::entry(&entry.await.map_err(store)?.ok_or_else(missing)?)))
    }

    async fn resolve_email_domain(
        &self,
        request: Request<ResolveEmailDomainRequest>,
    ) -> Result<Response<OrganizationEntry>, Status> {
        let granted = self.access.workload(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::default();
        let name = violations.check("domain", AskedName::parse(&request.domain));
        let project = violations.check("project_id", request.project_id.parse());
        let (name, project): (AskedName, ProjectId) = violations.all((name, project))?;
        let scope = granted.in_project(project).scope;
        let entry = ops::domain::resolve_email_domain(&self.database, scope, project, &name).await.map_err(store)?;
        Ok(Response::new(convert::entry(&entry.ok_or_else(missing)?)))
    }

    async fn batch_resolve_organizations(
        &self,
        request: Request<BatchResolveOrganizationsRequest>,
    ) -> Result<Response<BatchResolveOrganizationsResponse>, Status> {
        let granted = self.access.workload(&request)?;
        let (project, ids) = convert::read_batch_resolve(&request.into_inner())?;
        let scope = granted.in_project(project).scope;
        let entries = ops::directory::organizations(&self.database, scope, &ids).await.map_err(store)?;
        Ok(Response::new(BatchResolveOrganizationsResponse {
            organizations: entries.iter().map(convert::entry).collect(),
        }))
    }

    async fn found_organization(
        &self,
        request: Request<FoundOrganizationRequest>,
    ) -> Result<Response<OrganizationEntry>, Status> {
        let granted = self.access.workload(&request)?;
        let (project, foundation) = convert::read_foundation(request.into_inner())?;
        let scope = granted.in_project(project).scope;
        let entry = ops::organization::found(&self.database, scope, &granted.origin(), foundation).await;
        Ok(Response::new(convert::entry(&entry.map_err(create)?.ok_or_else(missing)?)))
    }

    async fn resolve_project(&self, request: Request<ResolveProjectRequest>) -> Result<Response<ProjectEntry>, Status> {
        let granted = self.access.workload(&request)?;
        let id: ProjectId = request.get_ref().project_id.parse().map_err(|fault| invalid_field("project_id", fault))?;
        let project = ops::project::get(&self.database, granted.in_project(id).scope).await.map_err(store)?;
        Ok(Response::new(convert::project_entry(&project.ok_or_else(|| Refusal::not_found("project"))?)))
    }
}
