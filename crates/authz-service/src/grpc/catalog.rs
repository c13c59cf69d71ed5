use access::store;
use api::authz::v1::{
    GetCatalogRequest, PermissionCatalog, UpdateCatalogRequest, catalog_service_server::CatalogService,
};
use tonic::{Request, Response, Status};

use super::{Server, call, convert, convert::tokens::Tokens, refusal::refused};
use crate::ops;

#[tonic::async_trait]
impl CatalogService for Server {
    async fn get_catalog(&self, request: Request<GetCatalogRequest>) -> Result<Response<PermissionCatalog>, Status> {
        let granted = self.access.project(&request).await?;
        let (catalog, head) = tokio::try_join!(
            ops::catalog::get(self.database(), granted.scope),
            self.database().head(granted.scope.own_key())
        )
        .map_err(store)?;
        let tokens = Tokens::of_organization(self.sealer(), &[None, head]);
        Ok(Response::new(convert::catalog::to_proto(catalog, &tokens)))
    }

    async fn update_catalog(
        &self,
        request: Request<UpdateCatalogRequest>,
    ) -> Result<Response<PermissionCatalog>, Status> {
        let granted = self.access.project(&request).await?;
        let asked = request.into_inner();
        let once = granted.once(&asked.request_id, &asked)?;
        let types = convert::catalog::types(&asked)?;
        let etag = asked.catalog.map(|catalog| catalog.etag).unwrap_or_default();
        let call = call(&granted, once)?;
        let catalog = ops::catalog::update(self.database(), granted.scope, &call, types, &etag, asked.validate_only)
            .await
            .map_err(refused)?;
        let tokens = Tokens::of_change(self.sealer(), &catalog);
        Ok(Response::new(convert::catalog::to_proto(catalog.value, &tokens)))
    }
}
