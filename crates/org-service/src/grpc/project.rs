//! `guildhall.org.v1.ProjectService`.

use access::{Access, invalid_field, store};
use api::org::v1::{
    ArchiveProjectRequest, CreateProjectRequest, GetProjectRequest, ListProjectsRequest, ListProjectsResponse, Project,
    UpdateProjectRequest, project_service_server::ProjectService,
};
use runtime::{Refusal, Violations};
use tenancy::{Database, ProjectId, page::Query};
use tonic::{Request, Response, Status};

use super::{
    convert,
    refusal::{archive_project, page, update_project},
};
use crate::{ops::project, remote::Others};

#[derive(Debug)]
pub struct Projects {
    pub access: Access,
    pub database: Database,
    pub others: Others,
}

#[tonic::async_trait]
impl ProjectService for Projects {
    async fn create_project(&self, request: Request<CreateProjectRequest>) -> Result<Response<Project>, Status> {
        let granted = self.access.operator(&request)?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let (display_name, draft) = convert::read_create_project(request)?;
        let project =
            project::create(&self.database, granted.scope, &granted.origin(), once.as_ref(), display_name, draft)
                .await
                .map_err(store)?;
        Ok(Response::new(convert::project(&project)))
    }

    async fn get_project(&self, request: Request<GetProjectRequest>) -> Result<Response<Project>, Status> {
        let granted = self.access.operator(&request)?;
        let id: ProjectId = request.get_ref().project_id.parse().map_err(|fault| invalid_field("project_id", fault))?;
        let project = project::get(&self.database, granted.in_project(id).scope).await.map_err(store)?;
        Ok(Response::new(convert::project(&project.ok_or_else(|| Refusal::not_found("project"))?)))
    }

    async fn list_projects(
        &self,
        request: Request<ListProjectsRequest>,
    ) -> Result<Response<ListProjectsResponse>, Status> {
        let granted = self.access.operator(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::default();
        let state = convert::state_filter(request.state, &mut violations);
        let bound = format!("{state:?}");
        let query = Query { method: granted.method().path, scope: granted.scope.into(), filter: &bound };
        let asked = page(&query, self.database.sealer(), request.page_size, &request.page_token, &mut violations)?;
        let (asked,) = violations.all((asked,))?;
        let listed = project::list(&self.database, granted.scope, state, &asked).await.map_err(store)?;
        Ok(Response::new(ListProjectsResponse {
            projects: listed.rows.iter().map(convert::project).collect(),
            next_page_token: listed.next.map(|id| query.token(self.database.sealer(), &id)).unwrap_or_default(),
        }))
    }

    async fn update_project(&self, request: Request<UpdateProjectRequest>) -> Result<Response<Project>, Status> {
        let granted = self.access.operator(&request)?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let (id, command) = convert::read_update_project(request)?;
        let granted = granted.in_project(id);
        let project = project::update(&self.database, granted.scope, &granted.origin(), once.as_ref(), command)
            .await
            .map_err(update_project)?;
        Ok(Response::new(convert::project(&project)))
    }

    async fn archive_project(&self, request: Request<ArchiveProjectRequest>) -> Result<Response<Project>, Status> {
        let granted = self.access.operator(&request)?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let command = convert::read_archive_project(request)?;
        let project = project::archive(&self.database, &self.others, &granted, once.as_ref(), command)
            .await
            .map_err(archive_project)?;
        Ok(Response::new(convert::project(&project)))
    }
}
