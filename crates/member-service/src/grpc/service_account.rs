//! `guildhall.member.v1.ServiceAccountService`.

use access::store;
use api::member::v1::{
    ApiKey, AuthenticateApiKeyRequest, AuthenticateApiKeyResponse, AuthenticateAssertionRequest, CreateApiKeyRequest,
    CreateProjectServiceAccountRequest, CreateProjectServiceAccountResponse, CreateServiceAccountRequest,
    DeleteServiceAccountRequest, GetServiceAccountRequest, ListApiKeysRequest, ListApiKeysResponse,
    ListServiceAccountsRequest, ListServiceAccountsResponse, RevokeAccessTokenRequest, RevokeApiKeyRequest,
    ServiceAccount, UpdateServiceAccountRequest, service_account_service_server::ServiceAccountService,
};
use runtime::Violations;
use tenancy::{
    ApiKeyId, ProjectId, ServiceAccountId,
    page::Query,
    secret::{self, SecretKind},
};
use tonic::{Request, Response, Status};

use super::{Door, convert, refusal};
use crate::{model::Assertion, ops::service_account};

fn account_id(text: &str) -> Result<ServiceAccountId, Status> {
    text.parse().map_err(|error| access::invalid_field("service_account_id", error))
}

/// Whose credential it must be. A client id that is none fits no credential.
fn client(text: &str) -> Result<Option<ServiceAccountId>, Status> {
    match text {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| refusal::sign_in_failed()),
    }
}

#[tonic::async_trait]
impl ServiceAccountService for Door {
    async fn create_service_account(
        &self,
        request: Request<CreateServiceAccountRequest>,
    ) -> Result<Response<ServiceAccount>, Status> {
        let granted = self.access.tenant(&request).await?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let mut violations = Violations::default();
        let name = convert::read_display_name(request.service_account, &mut violations);
        let (name,) = violations.all((name,))?;
        let made =
            service_account::create(&self.context, &granted, once.as_ref(), name).await.map_err(refusal::account)?;
        Ok(Response::new(convert::service_account(&made)))
    }

    async fn get_service_account(
        &self,
        request: Request<GetServiceAccountRequest>,
    ) -> Result<Response<ServiceAccount>, Status> {
        let granted = self.access.tenant(&request).await?;
        let id = account_id(&request.get_ref().service_account_id)?;
        let found = service_account::get(&self.context, &granted, id).await.map_err(refusal::account)?;
        Ok(Response::new(convert::service_account(&found)))
    }

    async fn list_service_accounts(
        &self,
        request: Request<ListServiceAccountsRequest>,
    ) -> Result<Response<ListServiceAccountsResponse>, Status> {
        let granted = self.access.tenant(&request).await?;
        let request = request.into_inner();
        let mut violations = Violations::default();
        let query = Query { method: granted.method().path, scope: granted.scope.into(), filter: "" };
        let sealer = self.context.database.sealer();
        let page = refusal::page(&query, sealer, request.page_size, &request.page_token, &mut violations)?;
        let (page,) = violations.all((page,))?;
        let listed = service_account::list(&self.context, &granted, &page).await.map_err(refusal::account)?;
        Ok(Response::new(ListServiceAccountsResponse {
            service_accounts: listed.rows.iter().map(convert::service_account).collect(),
            next_page_token: listed.next.map(|cursor| query.token(sealer, &cursor)).unwrap_or_default(),
        }))
    }

    async fn update_service_account(
        &self,
        request: Request<UpdateServiceAccountRequest>,
    ) -> Result<Response<ServiceAccount>, Status> {
        let granted = self.access.tenant(&request).await?;
        let (id, etag, changes) = convert::read_account_update(request.into_inner())?;
        let account =
            service_account::update(&self.context, &granted, id, &etag, changes).await.map_err(refusal::account)?;
        Ok(Response::new(convert::service_account(&account)))
    }

    async fn delete_service_account(
        &self,
        request: Request<DeleteServiceAccountRequest>,
    ) -> Result<Response<()>, Status> {
        let granted = self.access.tenant(&request).await?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let id = account_id(&request.service_account_id)?;
        service_account::delete(&self.context, &granted, once.as_ref(), id, &request.etag)
            .await
            .map_err(refusal::account)?;
        Ok(Response::new(()))
    }

    async fn create_api_key(&self, request: Request<CreateApiKeyRequest>) -> Result<Response<ApiKey>, Status> {
        let granted = self.access.tenant(&request).await?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let id = account_id(&request.service_account_id)?;
        let draft = convert::read_api_key(request.api_key)?;
        let issued = service_account::create_key(&self.context, &granted, once.as_ref(), id, draft)
            .await
            .map_err(refusal::account)?;
        Ok(Response::new(convert::issued_api_key(granted.scope, issued)))
    }

    async fn list_api_keys(
        &self,
        request: Request<ListApiKeysRequest>,
    ) -> Result<Response<ListApiKeysResponse>, Status> {
        let granted = self.access.tenant(&request).await?;
        let request = request.into_inner();
        let id = account_id(&request.service_account_id)?;
        let mut violations = Violations::default();
        let bound = id.to_string();
        let query = Query { method: granted.method().path, scope: granted.scope.into(), filter: &bound };
        let sealer = self.context.database.sealer();
        let page = refusal::page(&query, sealer, request.page_size, &request.page_token, &mut violations)?;
        let (page,) = violations.all((page,))?;
        let listed = service_account::list_keys(&self.context, &granted, id, &page).await.map_err(refusal::account)?;
        Ok(Response::new(ListApiKeysResponse {
            api_keys: listed.rows.iter().map(|key| convert::api_key_in(granted.scope, key)).collect(),
            next_page_token: listed.next.map(|cursor| query.token(sealer, &cursor)).unwrap_or_default(),
        }))
    }

    async fn revoke_api_key(&self, request: Request<RevokeApiKeyRequest>) -> Result<Response<ApiKey>, Status> {
        let granted = self.access.tenant(&request).await?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let mut violations = Violations::default();
        let account = violations.check("service_account_id", request.service_account_id.parse::<ServiceAccountId>());
        let key = violations.check("api_key_id", request.api_key_id.parse::<ApiKeyId>());
        let (account, key) = violations.all((account, key))?;
        let revoked = service_account::revoke_key(&self.context, &granted, once.as_ref(), account, key)
            .await
            .map_err(refusal::account)?;
        Ok(Response::new(convert::api_key_in(granted.scope, &revoked)))
    }

    async fn authenticate_api_key(
        &self,
        request: Request<AuthenticateApiKeyRequest>,
    ) -> Result<Response<AuthenticateApiKeyResponse>, Status> {
        let granted = self.access.workload(&request)?;
        let request = request.into_inner();
        let failed = |_| refusal::sign_in_failed();
        let presented = secret::parse(SecretKind::ApiKey, &request.secret).map_err(failed)?;
        let client = client(&request.client_id)?;
        let found = service_account::authenticate(&self.context, &granted, &presented, client).await.map_err(store)?;
        Ok(Response::new(convert::authenticated(&found.ok_or_else(refusal::sign_in_failed)?)))
    }

    async fn authenticate_assertion(
        &self,
        request: Request<AuthenticateAssertionRequest>,
    ) -> Result<Response<AuthenticateApiKeyResponse>, Status> {
        let granted = self.access.workload(&request)?;
        let request = request.into_inner();
        let client = client(&request.client_id)?;
        let assertion = Assertion::read(&request.assertion).ok_or_else(refusal::sign_in_failed)?;
        let audiences = &request.audiences;
        let found =
            service_account::authenticate_assertion(&self.context, &granted, &assertion, audiences, client).await;
        Ok(Response::new(convert::authenticated(&found.map_err(store)?.ok_or_else(refusal::sign_in_failed)?)))
    }

    async fn revoke_access_token(&self, request: Request<RevokeAccessTokenRequest>) -> Result<Response<()>, Status> {
        let granted = self.access.workload(&request)?;
        let revoking = convert::read_revoking(request.get_ref())?;
        service_account::revoke_token(&self.context, &granted, revoking).await.map_err(refusal::account)?;
        Ok(Response::new(()))
    }

    async fn create_project_service_account(
        &self,
        request: Request<CreateProjectServiceAccountRequest>,
    ) -> Result<Response<CreateProjectServiceAccountResponse>, Status> {
        let granted = self.access.operator(&request)?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let mut violations = Violations::default();
        let project = violations.check("project_id", request.project_id.parse::<ProjectId>());
        let name = convert::read_display_name(request.service_account, &mut violations);
        let (project, name) = violations.all((project, name))?;
        let granted = granted.in_project(project);
        let made = service_account::create_for_project(&self.context, &granted, once.as_ref(), name)
            .await
            .map_err(refusal::account)?;
        Ok(Response::new(convert::project_account(made)))
    }
}
