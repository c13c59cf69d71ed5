use std::collections::HashSet;

use access::store;
use api::authz::v1::{
    ListChildrenRequest, ListChildrenResponse, MoveResourceRequest, RegisterResourcesRequest,
    RegisterResourcesResponse, RemoveResourcesRequest, RemoveResourcesResponse, Resource as ProtoResource,
    ResourceRegistration, resource_service_server::ResourceService,
};
use runtime::Violations;
use tenancy::page::Query;
use tonic::{Request, Response, Status};

use super::{
    Server, call, convert,
    convert::{text, tokens::Tokens},
    refusal::{page, refused},
};
use crate::{
    model::Resource,
    ops::{
        self,
        edit::{NewResource, Relocation},
    },
};

const MAX_RESOURCES: usize = 1000;

/// The resources to register, each once.
fn registrations(asked: &RegisterResourcesRequest) -> Result<Vec<NewResource>, Status> {
    let mut violations = Violations::default();
    text::count(&mut violations, "resources", asked.resources.len(), 1, MAX_RESOURCES);
    let mut seen = HashSet::new();
    let mut registrations = Vec::new();
    for (at, registration) in asked.resources.iter().take(MAX_RESOURCES).enumerate() {
        let named = registration.resource.clone().unwrap_or_default();
        let resource = convert::resource::from_proto(&mut violations, &format!("resources[{at}].resource"), &named);
        let parent = registration.parent.as_ref().and_then(|parent| {
            convert::resource::from_proto(&mut violations, &format!("resources[{at}].parent"), parent)
        });
        if let Some(resource) = resource {
            let first = seen.insert(resource.clone());
            violations.require(first, format!("resources[{at}].resource"), "is in the list already");
            registrations.push(NewResource { resource, parent });
        }
    }
    violations.finish()?;
    Ok(registrations)
}

fn relocation(asked: MoveResourceRequest) -> Result<Relocation, Status> {
    let mut violations = Violations::default();
    let about = asked.resource.unwrap_or_default();
    let resource = convert::resource::from_proto(&mut violations, "resource", &about);
    let parent = asked.parent.map(|parent| convert::resource::from_proto(&mut violations, "parent", &parent));
    let (resource,) = violations.all((resource,))?;
    Ok(Relocation { resource, parent: parent.flatten(), etag: asked.etag })
}

fn resources(named: &[ProtoResource]) -> Result<Vec<Resource>, Status> {
    let mut violations = Violations::default();
    text::count(&mut violations, "resources", named.len(), 1, MAX_RESOURCES);
    let mut resources: Vec<Resource> = Vec::new();
    for (at, resource) in named.iter().take(MAX_RESOURCES).enumerate() {
        resources.extend(convert::resource::from_proto(&mut violations, &format!("resources[{at}]"), resource));
    }
    violations.finish()?;
    resources.sort_unstable();
    resources.dedup();
    Ok(resources)
}

#[tonic::async_trait]
impl ResourceService for Server {
    async fn register_resources(
        &self,
        request: Request<RegisterResourcesRequest>,
    ) -> Result<Response<RegisterResourcesResponse>, Status> {
        let granted = self.access.organization(&request).await?;
        let asked = request.into_inner();
        let once = granted.once(&asked.request_id, &asked)?;
        let registrations = registrations(&asked)?;
        let call = call(&granted, once)?;
        let registered =
            ops::resource::register(&self.snapshots, granted.scope, &call, registrations).await.map_err(refused)?;
        let tokens = Tokens::at(self.sealer(), registered.revision);
        Ok(Response::new(RegisterResourcesResponse {
            revision: registered.revision.token(self.sealer()),
            resources: registered
                .value
                .into_iter()
                .map(|registration| convert::resource::registration(registration, &tokens))
                .collect(),
        }))
    }

    async fn move_resource(
        &self,
        request: Request<MoveResourceRequest>,
    ) -> Result<Response<ResourceRegistration>, Status> {
        let granted = self.access.organization(&request).await?;
        let asked = request.into_inner();
        let once = granted.once(&asked.request_id, &asked)?;
        let to = relocation(asked)?;
        let call = call(&granted, once)?;
        let moved = ops::resource::relocate(&self.snapshots, granted.scope, &call, to).await.map_err(refused)?;
        let tokens = Tokens::at(self.sealer(), moved.revision);
        Ok(Response::new(convert::resource::registration(moved.value, &tokens)))
    }

    async fn remove_resources(
        &self,
        request: Request<RemoveResourcesRequest>,
    ) -> Result<Response<RemoveResourcesResponse>, Status> {
        let granted = self.access.organization(&request).await?;
        let asked = request.into_inner();
        let once = granted.once(&asked.request_id, &asked)?;
        let resources = resources(&asked.resources)?;
        let call = call(&granted, once)?;
        let removed = ops::resource::remove(&self.snapshots, granted.scope, &call, resources, asked.with_descendants)
            .await
            .map_err(refused)?;
        Ok(Response::new(RemoveResourcesResponse {
            revision: removed.revision.token(self.sealer()),
            removed_count: removed.value,
        }))
    }

    async fn list_children(
        &self,
        request: Request<ListChildrenRequest>,
    ) -> Result<Response<ListChildrenResponse>, Status> {
        let granted = self.access.organization(&request).await?;
        let asked = request.get_ref();
        let mut violations = Violations::default();
        let parent =
            asked.parent.as_ref().and_then(|parent| convert::resource::from_proto(&mut violations, "parent", parent));
        let named = asked.r#type.as_str();
        let is_type = named.is_empty() || named.parse::<engine::TypeName>().is_ok();
        violations.require(is_type, "type", "must be the name of a resource type");
        violations.finish()?;
        let filter = format!("{parent:?} {named}");
        let query = Query { method: granted.method().path, scope: granted.scope.into(), filter: &filter };
        let wanted = query.page(self.sealer(), asked.page_size, &asked.page_token).map_err(page)?;
        let list = ops::resource::children(self.database(), granted.scope, parent.as_ref(), named, &wanted);
        let (listed, heads) = tokio::try_join!(async { list.await.map_err(store) }, self.heads(granted.scope))?;
        let tokens = self.tokens(&heads);
        let resources = listed.rows.into_iter().map(|row| convert::resource::registration(row, &tokens)).collect();
        Ok(Response::new(ListChildrenResponse {
            resources,
            next_page_token: listed.next.map(|next| query.token(self.sealer(), &next)).unwrap_or_default(),
        }))
    }
}
