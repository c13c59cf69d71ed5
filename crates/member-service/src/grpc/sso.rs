//! `guildhall.member.v1.SsoService`.

use api::member::v1::{
    CompleteSsoRequest, CompleteSsoResponse, StartSsoRequest, StartSsoResponse, sso_service_server::SsoService,
    start_sso_request,
};
use runtime::Violations;
use secrecy::ExposeSecret as _;
use tenancy::{
    ProjectId,
    secret::{self, SecretKind},
};
use tonic::{Request, Response, Status};

use super::{Door, convert, refusal};
use crate::{
    ops::sso::{self, Back},
    remote::Provider,
};

/// Of S256: 32 bytes in base64url.
const CHALLENGE: usize = 43;
const CODE: usize = 4096;

fn is_base64url(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

#[tonic::async_trait]
impl SsoService for Door {
    async fn start_sso(&self, request: Request<StartSsoRequest>) -> Result<Response<StartSsoResponse>, Status> {
        let granted = self.access.workload(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::default();
        let project = violations.check("project_id", request.project_id.parse::<ProjectId>());
        let provider = match &request.provider {
            None => {
                violations.add("provider", "must name an organization or a connection");
                None
            }
            Some(start_sso_request::Provider::OrganizationId(id)) => {
                violations.check("organization_id", id.parse()).map(Provider::Organization)
            }
            Some(start_sso_request::Provider::ConnectionId(id)) => {
                violations.check("connection_id", id.parse()).map(Provider::Connection)
            }
        };
        let good = request.code_challenge.len() == CHALLENGE && is_base64url(&request.code_challenge);
        violations.require(good, "code_challenge", "must be a SHA-256 in base64url, without padding");
        let (project, provider) = violations.all((project, provider))?;
        let StartSsoRequest { redirect_uri, code_challenge, .. } = request;
        let started = sso::start(&self.context, &granted, project, provider, redirect_uri, code_challenge)
            .await
            .map_err(refusal::sso)?;
        Ok(Response::new(StartSsoResponse {
            authorization_uri: started.authorization_uri,
            state: started.state.expose_secret().to_owned(),
            expire_time: Some(convert::timestamp(started.expire_time)),
        }))
    }

    async fn complete_sso(
        &self,
        request: Request<CompleteSsoRequest>,
    ) -> Result<Response<CompleteSsoResponse>, Status> {
        let granted = self.access.workload(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::default();
        let project = violations.check("project_id", request.project_id.parse::<ProjectId>());
        violations.require((1..=CODE).contains(&request.code.len()), "code", "must be 1 to 4,096 bytes");
        let (project,) = violations.all((project,))?;
        let state = secret::parse(SecretKind::SsoState, &request.state).map_err(|_| refusal::sign_in_failed())?;
        let CompleteSsoRequest { code, code_verifier, issuer, redirect_uri, .. } = request;
        let back = Back { state, code, code_verifier, issuer, redirect_uri };
        let completed = sso::complete(&self.context, &granted, project, back).await.map_err(refusal::sso)?;
        Ok(Response::new(CompleteSsoResponse {
            organization_id: completed.organization.map(|id| id.to_string()).unwrap_or_default(),
            intermediate_session: Some(convert::intermediate(&completed.intermediate)),
        }))
    }
}
