//! Signing in at identity providers. member-service keeps what is under way, org-service asks the providers.

use api::member::v1::{CompleteSsoRequest, StartSsoRequest, StartSsoResponse, start_sso_request::Provider};
use tenancy::{ConnectionId, ProjectId};
use tonic::Status;

use super::{
    sessions::Visitor,
    sign_in::{Entrance, Progress, Proven, SignIn},
};
use crate::refusal;

/// Where somebody wants to sign in.
#[derive(Debug)]
pub enum At {
    Organization(Entrance),
    Connection(ConnectionId),
}

impl SignIn {
    pub async fn start_sso(
        &self,
        visitor: &Visitor,
        project: Option<ProjectId>,
        at: At,
        redirect_uri: String,
        code_challenge: String,
    ) -> Result<StartSsoResponse, Status> {
        let project = self.named(project)?;
        let provider = match at {
            At::Organization(entrance) => {
                let target = self.organization(&visitor.call, project, entrance).await?;
                if !target.enterable {
                    return Err(refusal::no_such_organization());
                }
                Provider::OrganizationId(target.id.to_string())
            }
            At::Connection(id) => {
                self.check_project(&visitor.call, project).await?;
                Provider::ConnectionId(id.to_string())
            }
        };
        let request =
            StartSsoRequest { project_id: project.to_string(), provider: Some(provider), redirect_uri, code_challenge };
        self.remote.start_sso(&visitor.call, request).await
    }

    pub async fn complete_sso(
        &self,
        visitor: &Visitor,
        project: Option<ProjectId>,
        request: CompleteSsoRequest,
    ) -> Result<Progress, Status> {
        let project = self.named(project)?;
        self.check_project(&visitor.call, project).await?;
        let request = CompleteSsoRequest { project_id: project.to_string(), ..request };
        let completed = self.remote.complete_sso(&visitor.call, request).await?;
        let proven = Proven {
            project,
            member_id: String::new(),
            organization_id: completed.organization_id,
            auth_factor: None,
            intermediate: completed.intermediate_session,
        };
        self.go_on(visitor, proven).await
    }
}
