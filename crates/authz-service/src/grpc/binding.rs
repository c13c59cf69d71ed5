use std::collections::BTreeSet;

use access::{Granted, Tenant, store};
use api::authz::v1::{
    ApplyChangesRequest, ApplyChangesResponse, Binding, CreateBindingRequest, DeleteBindingRequest, GetBindingRequest,
    ListBindingsRequest, ListBindingsResponse, UpdateBindingRequest, binding_service_server::BindingService,
};
use engine::Permission;
use runtime::Violations;
use tenancy::{BindingId, Once, OrganizationScope, page::Query};
use tonic::{Request, Response, Status};

use super::{
    Server, call, convert,
    convert::tokens::Tokens,
    refusal::{invalid_revision, page, refused, rejected, snapshot},
};
use crate::{
    model::{Grantor, MAX_ROLES, Revision},
    ops::{self, apply::Batch, edit::Edit},
    snapshots::Consistency,
};

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
            ops::binding::delete(&self.snapshots, granted.scope, &call, id, asked.etag).await.map_err(refused)?;
        let tokens = Tokens::at(self.sealer(), binding.revision);
        Ok(Response::new(convert::binding::to_proto(binding.value, &tokens)))
    }

    async fn apply_changes(
        &self,
        request: Request<ApplyChangesRequest>,
    ) -> Result<Response<ApplyChangesResponse>, Status> {
        let granted = self.access.organization(&request).await?;
        let asked = request.into_inner();
        let once = granted.once(&asked.request_id, &asked)?;
        let mut violations = Violations::default();
        let edits = convert::change::edits(&mut violations, &asked.changes);
        let preconditions = convert::change::preconditions(&mut violations, &asked.preconditions);
        violations.finish()?;
        let expected = match asked.expected_revision.as_str() {
            "" => None,
            token => {
                let parsed = Revision::parse(self.sealer(), token);
                Some(parsed.map_err(|_| invalid_revision("expected_revision"))?)
            }
        };
        let call = call(&granted, once)?;
        self.may_make_each(&granted, call.grantor, &edits).await?;
        let most_roles = self.most_roles_for(&granted, call.once.as_ref(), &edits).await?;
        let batch = Batch { edits, expected, preconditions, most_roles };
        let applied = ops::apply::batch(&self.snapshots, granted.scope, &call, &batch)
            .await
            .map_err(|error| rejected(error, &batch.edits))?;
        let revision = applied.revision.token(self.sealer());
        Ok(Response::new(ApplyChangesResponse { revision, created_ids: applied.value }))
    }
}

impl Server {
    /// Each change also needs the permission of the method that makes it alone: of the credential, and of its holder.
    pub(super) async fn may_make_each(
        &self,
        granted: &Granted<OrganizationScope>,
        grantor: Grantor,
        edits: &[Edit],
    ) -> Result<(), Status> {
        let needed: BTreeSet<&'static str> = edits.iter().filter_map(convert::change::permission).collect();
        needed.iter().try_for_each(|name| granted.names(name))?;
        let Grantor::Bound(caller) = grantor else { return Ok(()) };
        let state = self.snapshots.at(granted.scope, Consistency::FullyConsistent).await.map_err(snapshot)?;
        let now = tenancy::event::now();
        for name in needed {
            let held = name
                .parse::<Permission>()
                .is_ok_and(|permission| state.engine.check(&caller.into(), &permission, None, now).is_allowed());
            if !held {
                return Err(access::permission_missing(name));
            }
        }
        Ok(())
    }

    /// The limit of roles is asked for where one is to be made.
    pub(super) async fn most_roles_for(
        &self,
        granted: &Granted<OrganizationScope>,
        once: Option<&Once>,
        edits: &[Edit],
    ) -> Result<i64, Status> {
        match edits.iter().any(|edit| matches!(edit, Edit::CreateRole(_))) {
            true => self.most_roles(granted, Tenant::Organization(granted.scope), once).await,
            false => Ok(MAX_ROLES),
        }
    }
}
