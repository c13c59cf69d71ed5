//! `guildhall.org.v1.ProviderService`: for member-service.

use std::sync::Arc;

use access::Access;
use api::org::v1::{
    AuthorizeSignInRequest, AuthorizeSignInResponse, RedeemCodeRequest, RedeemCodeResponse,
    authorize_sign_in_request::Provider, provider_service_server::ProviderService,
};
use runtime::Violations;
use tenancy::{OrganizationId, ProjectId};
use tonic::{Request, Response, Status};

use super::refusal;
use crate::ops::provider::{self, Authorized, Begun, CameBack, Named, Providers};

#[derive(Debug)]
pub struct SignIns {
    pub access: Access,
    pub providers: Arc<Providers>,
}

/// Texts that member-service makes itself, and the code that a stranger gives.
const TEXT: usize = 4096;

#[tonic::async_trait]
impl ProviderService for SignIns {
    async fn authorize_sign_in(
        &self,
        request: Request<AuthorizeSignInRequest>,
    ) -> Result<Response<AuthorizeSignInResponse>, Status> {
        let granted = self.access.workload(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::default();
        let project = violations.check("project_id", request.project_id.parse::<ProjectId>());
        let named = match &request.provider {
            None => {
                violations.add("provider", "must name an organization or a connection");
                None
            }
            Some(Provider::OrganizationId(id)) => {
                violations.check("organization_id", id.parse()).map(Named::Organization)
            }
            Some(Provider::ConnectionId(id)) => violations.check("connection_id", id.parse()).map(Named::Connection),
        };
        for (field, text) in
            [("state", &request.state), ("nonce", &request.nonce), ("code_challenge", &request.code_challenge)]
        {
            violations.require((1..=TEXT).contains(&text.len()), field, "must be 1 to 4,096 bytes");
        }
        let (project, named) = violations.all((project, named))?;
        let AuthorizeSignInRequest { redirect_uri, state, nonce, code_challenge, .. } = request;
        let begun = Begun { redirect_uri, state, nonce, code_challenge };
        let authorized = provider::authorize(&self.providers, granted.in_project(project).scope, named, begun).await;
        let Authorized { url, redirect_uri, connection } = authorized.map_err(refusal::authorize_sign_in)?;
        Ok(Response::new(AuthorizeSignInResponse {
            authorization_uri: url.into(),
            connection_id: connection.connection_id.to_string(),
            organization_id: match connection.is_of_project {
                true => String::new(),
                false => connection.organization_id.to_string(),
            },
            issuer: connection.issuer.into(),
            redirect_uri: redirect_uri.into(),
        }))
    }

    async fn redeem_code(&self, request: Request<RedeemCodeRequest>) -> Result<Response<RedeemCodeResponse>, Status> {
        let granted = self.access.workload(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::default();
        let project = violations.check("project_id", request.project_id.parse::<ProjectId>());
        let owner = match request.organization_id.as_str() {
            "" => Some(None),
            id => violations.check("organization_id", id.parse::<OrganizationId>()).map(Some),
        };
        let connection = violations.check("connection_id", request.connection_id.parse());
        violations.require((1..=TEXT).contains(&request.code.len()), "code", "must be 1 to 4,096 bytes");
        let (project, owner, connection) = violations.all((project, owner, connection))?;
        let RedeemCodeRequest { issuer, redirect_uri, code, code_verifier, nonce, without_issuer, .. } = request;
        let owner = owner.unwrap_or_else(|| project.into());
        let back = CameBack { connection, owner, issuer, redirect_uri, code, code_verifier, nonce, without_issuer };
        let vouched = provider::redeem(&self.providers, granted.in_project(project).scope, back)
            .await
            .map_err(|error| refusal::redeem_code(error, connection))?;
        Ok(Response::new(RedeemCodeResponse {
            subject: vouched.subject,
            email_address: vouched.email_address,
            email_verified: vouched.email_verified,
            display_name: vouched.display_name,
            external_id: vouched.external_id,
            role_ids: vouched.roles.into_iter().map(String::from).collect(),
        }))
    }
}
