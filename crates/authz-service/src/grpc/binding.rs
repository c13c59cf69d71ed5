use access::store;
use api::authz::v1::{
    Binding, CreateBindingRequest, DeleteBindingRequest, GetBindingRequest, ListBindingsRequest, ListBindingsResponse,
    UpdateBindingRequest, binding_service_server::BindingService,
};
use tenancy::{BindingId, page::Query};
use tonic::{Request, Response, Status};

use super::{
    Server, call, convert,
    convert::tokens::Tokens,
    refusal::{page, refused},
};
use crate::ops;

fn binding_id(text: &str) -> Result<BindingId, Status> {
    text.parse().map_err(|error| access::invalid_field("binding_id", error))
}

#[tonic::async_trait]
impl BindingService for Server {
    async fn create_binding(&self, request: Request<CreateBindingRequest>) -> Result<Response<Binding>, Status> {
        let granted = self.access.organization(&request).await?;
        let asked = request.into_inner();
        let once = granted.once(&asked.request_id, &asked)?;
        let new = convert::binding::new(asked.binding)?;
        let call = call(&granted, once)?;
        let binding = ops::binding::create(&self.snapshots, granted.scope, &call, new).await.map_err(refused)?;
        let tokens = Tokens::at(self.sealer(), binding.revision);
        Ok(Response::new(convert::binding::to_proto(binding.value, &tokens)))
    }

    async fn get_binding(&self, request: Request<GetBindingRequest>) -> Result<Response<Binding>, Status> {
        let granted = self.access.organization(&request).await?;
        let id = binding_id(&request.get_ref().binding_id)?;
        let get = ops::binding::get(self.database(), granted.scope, id);
        let (binding, heads) = tokio::try_join!(async { get.await.map_err(refused) }, self.heads(granted.scope))?;
        Ok(Response::new(convert::binding::to_proto(binding, &self.tokens(&heads))))
    }

    async fn list_bindings(
        &self,
        request: Request<ListBindingsRequest>,
    ) -> Result<Response<ListBindingsResponse>, Status> {
        let granted = self.access.organization(&request).await?;
        let asked = request.get_ref();
        let filter = convert::binding::filter(asked)?;
        let text = format!("{filter:?}");
        let query = Query { method: granted.method().path, scope: granted.scope.into(), filter: &text };
        let wanted = query.page(self.sealer(), asked.page_size, &asked.page_token).map_err(page)?;
        let list = ops::binding::list(self.database(), granted.scope, &filter, &wanted);
        let (listed, heads) = tokio::try_join!(async { list.await.map_err(store) }, self.heads(granted.scope))?;
        let tokens = self.tokens(&heads);
        Ok(Response::new(ListBindingsResponse {
            bindings: listed.rows.into_iter().map(|row| convert::binding::to_proto(row, &tokens)).collect(),
            next_page_token: listed.next.map(|next| query.token(self.sealer(), &next)).unwrap_or_default(),
        }))
    }

    async fn update_binding(&self, request: Request<UpdateBindingRequest>) -> Result<Response<Binding>, Status> {
        let granted = self.access.organization(&request).await?;
        let asked = request.into_inner();
        let patch = convert::binding::patch(asked.binding, asked.update_mask)?;
        let call = call(&granted, None)?;
        let binding = ops::binding::update(&self.snapshots, granted.scope, &call, patch).await.map_err(refused)?;
        let tokens = Tokens::at(self.sealer(), binding.revision);
        Ok(Response::new(convert::binding::to_proto(binding.value, &tokens)))
    }

    async fn delete_binding(&self, request: Request<DeleteBindingRequest>) -> Result<Response<Binding>, Status> {
        let granted = self.access.organization(&request).await?;
        let asked = request.into_inner();
        let once = granted.once(&asked.request_id, &asked)?;
        let id = binding_id(&asked.binding_id)?;
        let call = call(&granted, once)?;
        let binding =
            ops::binding::delete(&self.snapshots, granted.scope, &call, id, &asked.etag).await.map_err(refused)?;
        let tokens = Tokens::at(self.sealer(), binding.revision);
        Ok(Response::new(convert::binding::to_proto(binding.value, &tokens)))
    }
}
