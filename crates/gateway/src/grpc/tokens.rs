//! `guildhall.gateway.v1.TokenService`.

use access::Caller;
use api::gateway::v1::{
    ExchangeTokenRequest, ExchangeTokenResponse, IntrospectTokenRequest, IntrospectTokenResponse, RevokeTokenRequest,
    WatchInvalidationsRequest, WatchInvalidationsResponse, token_service_server::TokenService,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, codegen::BoxStream};

use crate::{edge::Presented as Credential, ops::invalidations::Watches, refusal};

#[derive(Debug)]
pub struct TokenDoor {
    pub watches: Watches,
}

#[tonic::async_trait]
impl TokenService for TokenDoor {
    async fn exchange_token(
        &self,
        _: Request<ExchangeTokenRequest>,
    ) -> Result<Response<ExchangeTokenResponse>, Status> {
        Err(refusal::not_yet_served("ExchangeToken"))
    }

    async fn introspect_token(
        &self,
        _: Request<IntrospectTokenRequest>,
    ) -> Result<Response<IntrospectTokenResponse>, Status> {
        Err(refusal::not_yet_served("IntrospectToken"))
    }

    async fn revoke_token(&self, _: Request<RevokeTokenRequest>) -> Result<Response<()>, Status> {
        Err(refusal::not_yet_served("RevokeToken"))
    }

    async fn watch_invalidations(
        &self,
        request: Request<WatchInvalidationsRequest>,
    ) -> Result<Response<BoxStream<WatchInvalidationsResponse>>, Status> {
        let credential = Credential::required(&request)?;
        // The edge has admitted nobody else.
        let Caller::ServiceAccount { project, organization: None, .. } = credential.caller else {
            return Err(access::unauthenticated());
        };
        let told = self.watches.open(project, credential, &request.get_ref().cursor)?;
        Ok(Response::new(Box::pin(ReceiverStream::new(told))))
    }
}
