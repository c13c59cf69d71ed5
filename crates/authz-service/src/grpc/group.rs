use access::store;
use api::authz::v1::{
    AddGroupMembersRequest, AddGroupMembersResponse, CreateGroupRequest, DeleteGroupRequest, GetGroupRequest, Group,
    ListGroupMembersRequest, ListGroupMembersResponse, ListGroupsRequest, ListGroupsResponse,
    RemoveGroupMembersRequest, RemoveGroupMembersResponse, UpdateGroupRequest, group_service_server::GroupService,
};
use tenancy::{GroupId, page::Query};
use tonic::{Request, Response, Status};

use super::{
    Server, call, convert,
    convert::tokens::Tokens,
    refusal::{page, refused},
};
use crate::ops;

fn group_id(text: &str) -> Result<GroupId, Status> {
    text.parse().map_err(|error| access::invalid_field("group_id", error))
}

#[tonic::async_trait]
impl GroupService for Server {
    async fn create_group(&self, request: Request<CreateGroupRequest>) -> Result<Response<Group>, Status> {
        let granted = self.access.organization(&request).await?;
        let asked = request.into_inner();
        let once = granted.once(&asked.request_id, &asked)?;
        let new = convert::group::new(asked.group)?;
        let call = call(&granted, once)?;
        let group = ops::group::create(&self.snapshots, granted.scope, &call, new).await.map_err(refused)?;
        let tokens = Tokens::of_change(self.sealer(), &group);
        Ok(Response::new(convert::group::to_proto(group.value, &tokens)))
    }

    async fn get_group(&self, request: Request<GetGroupRequest>) -> Result<Response<Group>, Status> {
        let granted = self.access.organization(&request).await?;
        let id = group_id(&request.get_ref().group_id)?;
        let get = ops::group::get(self.database(), granted.scope, id);
        let (group, heads) = tokio::try_join!(async { get.await.map_err(refused) }, self.heads(granted.scope))?;
        Ok(Response::new(convert::group::to_proto(group, &self.tokens(&heads))))
    }

    async fn list_groups(&self, request: Request<ListGroupsRequest>) -> Result<Response<ListGroupsResponse>, Status> {
        let granted = self.access.organization(&request).await?;
        let asked = request.get_ref();
        if asked.external_id.len() > 256 {
            return Err(access::invalid_field("external_id", "must be at most 256 bytes"));
        }
        let filter = asked.external_id.as_str();
        let query = Query { method: granted.method().path, scope: granted.scope.into(), filter };
        let wanted = query.page(self.sealer(), asked.page_size, &asked.page_token).map_err(page)?;
        let list = ops::group::list(self.database(), granted.scope, filter, &wanted);
        let (listed, heads) = tokio::try_join!(async { list.await.map_err(store) }, self.heads(granted.scope))?;
        let tokens = self.tokens(&heads);
        Ok(Response::new(ListGroupsResponse {
            groups: listed.rows.into_iter().map(|group| convert::group::to_proto(group, &tokens)).collect(),
            next_page_token: listed.next.map(|next| query.token(self.sealer(), &next)).unwrap_or_default(),
        }))
    }

    async fn update_group(&self, request: Request<UpdateGroupRequest>) -> Result<Response<Group>, Status> {
        let granted = self.access.organization(&request).await?;
        let asked = request.into_inner();
        let patch = convert::group::patch(asked.group, asked.update_mask)?;
        let call = call(&granted, None)?;
        let group = ops::group::update(&self.snapshots, granted.scope, &call, patch).await.map_err(refused)?;
        let tokens = Tokens::of_change(self.sealer(), &group);
        Ok(Response::new(convert::group::to_proto(group.value, &tokens)))
    }

    async fn delete_group(&self, request: Request<DeleteGroupRequest>) -> Result<Response<Group>, Status> {
        let granted = self.access.organization(&request).await?;
        let asked = request.into_inner();
        let once = granted.once(&asked.request_id, &asked)?;
        let id = group_id(&asked.group_id)?;
        let call = call(&granted, once)?;
        let group = ops::group::delete(&self.snapshots, granted.scope, &call, id, asked.etag).await.map_err(refused)?;
        let tokens = Tokens::of_change(self.sealer(), &group);
        Ok(Response::new(convert::group::to_proto(group.value, &tokens)))
    }

    async fn add_group_members(
        &self,
        request: Request<AddGroupMembersRequest>,
    ) -> Result<Response<AddGroupMembersResponse>, Status> {
        let granted = self.access.organization(&request).await?;
        let asked = request.into_inner();
        let once = granted.once(&asked.request_id, &asked)?;
        let (group, subjects) = convert::group::members(&asked.group_id, &asked.subjects)?;
        let call = call(&granted, once)?;
        let added = ops::group::add(&self.snapshots, granted.scope, &call, group, subjects).await.map_err(refused)?;
        let revision = added.revision.token(self.sealer());
        Ok(Response::new(AddGroupMembersResponse { revision, added_count: added.value }))
    }

    async fn remove_group_members(
        &self,
        request: Request<RemoveGroupMembersRequest>,
    ) -> Result<Response<RemoveGroupMembersResponse>, Status> {
        let granted = self.access.organization(&request).await?;
        let asked = request.into_inner();
        let once = granted.once(&asked.request_id, &asked)?;
        let (group, subjects) = convert::group::members(&asked.group_id, &asked.subjects)?;
        let call = call(&granted, once)?;
        let removed =
            ops::group::remove(&self.snapshots, granted.scope, &call, group, subjects).await.map_err(refused)?;
        let revision = removed.revision.token(self.sealer());
        Ok(Response::new(RemoveGroupMembersResponse { revision, removed_count: removed.value }))
    }

    async fn list_group_members(
        &self,
        request: Request<ListGroupMembersRequest>,
    ) -> Result<Response<ListGroupMembersResponse>, Status> {
        let granted = self.access.organization(&request).await?;
        let asked = request.get_ref();
        let group = group_id(&asked.group_id)?;
        let filter = asked.group_id.as_str();
        let query = Query { method: granted.method().path, scope: granted.scope.into(), filter };
        let wanted = query.page(self.sealer(), asked.page_size, &asked.page_token).map_err(page)?;
        let list = ops::group::members(self.database(), granted.scope, group, &wanted);
        let (listed, heads) = tokio::try_join!(async { list.await.map_err(refused) }, self.heads(granted.scope))?;
        let tokens = self.tokens(&heads);
        let memberships = listed.rows.into_iter().map(|row| convert::group::membership(row, &tokens)).collect();
        Ok(Response::new(ListGroupMembersResponse {
            memberships,
            next_page_token: listed.next.map(|next| query.token(self.sealer(), &next)).unwrap_or_default(),
        }))
    }
}
