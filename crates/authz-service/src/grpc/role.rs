use access::{Granted, Tenant, store};
use api::authz::v1::{
    CreateRoleRequest, DeleteRoleRequest, GetRoleRequest, ListRolesRequest, ListRolesResponse, Role, UpdateRoleRequest,
    role_service_server::RoleService,
};
use serde::de::IgnoredAny;
use tenancy::{Once, RoleId, page::Query};
use tonic::{Request, Response, Status};

use super::{
    Server, call, convert,
    convert::tokens::Tokens,
    refusal::{page, refused},
};
use crate::{model::MAX_ROLES, ops, store::role::Owners};

fn owners(tenant: Tenant) -> Owners {
    Owners { tenant: tenant.key(), project: tenant.project_id() }
}

fn role_id(text: &str) -> Result<RoleId, Status> {
    text.parse().map_err(|error| access::invalid_field("role_id", error))
}

impl Server {
    /// How many roles of its own the tenant may have: for an organization as org-service says now, and never more than fit.
    pub(super) async fn most_roles<S>(
        &self,
        granted: &Granted<S>,
        tenant: Tenant,
        once: Option<&Once>,
    ) -> Result<i64, Status> {
        let Tenant::Organization(scope) = tenant else { return Ok(MAX_ROLES) };
        // What was answered before is answered again, even while org-service is away.
        if let Some(once) = once
            && self.database().kept_answer::<IgnoredAny>(scope, once).await.map_err(store)?.is_some()
        {
            return Ok(MAX_ROLES);
        }
        let limits = self.remote.limits(&granted.caller, &granted.call, scope.organization_id()).await?;
        Ok(limits.max_custom_roles.map_or(MAX_ROLES, |most| i64::from(most).min(MAX_ROLES)))
    }
}

#[tonic::async_trait]
impl RoleService for Server {
    async fn create_role(&self, request: Request<CreateRoleRequest>) -> Result<Response<Role>, Status> {
        let granted = self.access.tenant(&request).await?;
        let asked = request.into_inner();
        let once = granted.once(&asked.request_id, &asked)?;
        let new = convert::role::new(asked.role)?;
        let most = self.most_roles(&granted, granted.scope, once.as_ref()).await?;
        let call = call(&granted, once)?;
        let role = ops::role::create(&self.snapshots, granted.scope.into(), &call, new, most).await.map_err(refused)?;
        let tokens = Tokens::of_change(self.sealer(), &role);
        Ok(Response::new(convert::role::to_proto(role.value, &tokens)))
    }

    async fn get_role(&self, request: Request<GetRoleRequest>) -> Result<Response<Role>, Status> {
        let granted = self.access.tenant(&request).await?;
        let id = role_id(&request.get_ref().role_id)?;
        let get = ops::role::get(self.database(), granted.scope.into(), owners(granted.scope), id);
        let (role, heads) = tokio::try_join!(async { get.await.map_err(refused) }, self.heads_of(granted.scope))?;
        Ok(Response::new(convert::role::to_proto(role, &self.tokens(&heads))))
    }

    async fn list_roles(&self, request: Request<ListRolesRequest>) -> Result<Response<ListRolesResponse>, Status> {
        let granted = self.access.tenant(&request).await?;
        let asked = request.get_ref();
        let query = Query { method: granted.method().path, scope: granted.scope.into(), filter: "" };
        let wanted = query.page(self.sealer(), asked.page_size, &asked.page_token).map_err(page)?;
        let list = ops::role::list(self.database(), granted.scope.into(), owners(granted.scope), &wanted);
        let (listed, heads) = tokio::try_join!(async { list.await.map_err(store) }, self.heads_of(granted.scope))?;
        let tokens = self.tokens(&heads);
        Ok(Response::new(ListRolesResponse {
            roles: listed.rows.into_iter().map(|role| convert::role::to_proto(role, &tokens)).collect(),
            next_page_token: listed.next.map(|next| query.token(self.sealer(), &next)).unwrap_or_default(),
        }))
    }

    async fn update_role(&self, request: Request<UpdateRoleRequest>) -> Result<Response<Role>, Status> {
        let granted = self.access.tenant(&request).await?;
        let asked = request.into_inner();
        let patch = convert::role::patch(asked.role, asked.update_mask)?;
        let call = call(&granted, None)?;
        let role = ops::role::update(&self.snapshots, granted.scope.into(), &call, patch).await.map_err(refused)?;
        let tokens = Tokens::of_change(self.sealer(), &role);
        Ok(Response::new(convert::role::to_proto(role.value, &tokens)))
    }

    async fn delete_role(&self, request: Request<DeleteRoleRequest>) -> Result<Response<Role>, Status> {
        let granted = self.access.tenant(&request).await?;
        let asked = request.into_inner();
        let once = granted.once(&asked.request_id, &asked)?;
        let id = role_id(&asked.role_id)?;
        let call = call(&granted, once)?;
        let role =
            ops::role::delete(&self.snapshots, granted.scope.into(), &call, id, asked.etag).await.map_err(refused)?;
        let tokens = Tokens::of_change(self.sealer(), &role);
        Ok(Response::new(convert::role::to_proto(role.value, &tokens)))
    }
}
