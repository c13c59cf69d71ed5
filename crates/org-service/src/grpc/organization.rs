//! `guildhall.org.v1.OrganizationService`.

use access::{Access, store};
use api::org::v1::{
    BatchGetOrganizationsRequest, BatchGetOrganizationsResponse, CreateOrganizationRequest, DeleteOrganizationRequest,
    EffectiveSettings, GetEffectiveSettingsRequest, GetOrganizationRequest, ListOrganizationsRequest,
    ListOrganizationsResponse, LookupOrganizationRequest, Organization, ReactivateOrganizationRequest,
    SuspendOrganizationRequest, UndeleteOrganizationRequest, UpdateOrganizationRequest,
    organization_service_server::OrganizationService,
};
use runtime::Violations;
use tenancy::{Database, page::Query};
use time::Duration;
use tonic::{Request, Response, Status};

use super::{
    convert,
    refusal::{change_state, create, missing, page, several, update},
};
use crate::{
    model::HostBase,
    ops::{
        directory,
        organization::{self, Target},
    },
    remote::Others,
};

#[derive(Debug)]
pub struct Organizations {
    pub access: Access,
    pub database: Database,
    pub others: Others,
    /// How long a deletion can be taken back.
    pub grace: Duration,
    pub vanity_base: Option<HostBase>,
}

#[tonic::async_trait]
impl OrganizationService for Organizations {
    async fn create_organization(
        &self,
        request: Request<CreateOrganizationRequest>,
    ) -> Result<Response<Organization>, Status> {
        let granted = self.access.project(&request).await?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let (display_name, draft) = convert::read_create(request)?;
        let view =
            organization::create(&self.database, granted.scope, &granted.origin(), once.as_ref(), display_name, draft)
                .await
                .map_err(create)?;
        Ok(Response::new(convert::organization(&view)))
    }

    async fn get_organization(
        &self,
        request: Request<GetOrganizationRequest>,
    ) -> Result<Response<Organization>, Status> {
        let granted = self.access.organization_in_any_state(&request).await?;
        let view = organization::get(&self.database, granted.scope).await.map_err(store)?.ok_or_else(missing)?;
        let usage = self.others.usage(&granted.caller, &granted.call, granted.scope.organization_id()).await;
        Ok(Response::new(convert::organization_in_use(&view, usage)))
    }

    async fn get_effective_settings(
        &self,
        request: Request<GetEffectiveSettingsRequest>,
    ) -> Result<Response<EffectiveSettings>, Status> {
        let granted = self.access.organization_in_any_state(&request).await?;
        let entry = directory::in_force(&self.database, granted.scope).await.map_err(store)?;
        Ok(Response::new(convert::effective(&entry.ok_or_else(missing)?)))
    }

    async fn batch_get_organizations(
        &self,
        request: Request<BatchGetOrganizationsRequest>,
    ) -> Result<Response<BatchGetOrganizationsResponse>, Status> {
        let granted = self.access.project(&request).await?;
        let ids = convert::read_batch(&request.into_inner())?;
        let views = organization::get_several(&self.database, granted.scope, &ids).await.map_err(several)?;
        Ok(Response::new(BatchGetOrganizationsResponse {
            organizations: views.iter().map(convert::organization).collect(),
        }))
    }

    async fn lookup_organization(
        &self,
        request: Request<LookupOrganizationRequest>,
    ) -> Result<Response<Organization>, Status> {
        let granted = self.access.project(&request).await?;
        let key = convert::key(request.into_inner())?;
        let view = organization::lookup(&self.database, granted.scope, &key, self.vanity_base.as_ref())
            .await
            .map_err(store)?;
        Ok(Response::new(convert::organization(&view.ok_or_else(missing)?)))
    }

    async fn list_organizations(
        &self,
        request: Request<ListOrganizationsRequest>,
    ) -> Result<Response<ListOrganizationsResponse>, Status> {
        let granted = self.access.project(&request).await?;
        let request = request.into_inner();
        let mut violations = Violations::default();
        let filter = convert::filter(&request, &mut violations);
        let bound = format!("{filter:?}");
        let query = Query { method: granted.method().path, scope: granted.scope.into(), filter: &bound };
        let asked = page(&query, self.database.sealer(), request.page_size, &request.page_token, &mut violations)?;
        let (filter, asked) = violations.all((filter, asked))?;
        let listed = organization::list(&self.database, granted.scope, &filter, &asked).await.map_err(store)?;
        Ok(Response::new(ListOrganizationsResponse {
            organizations: listed.rows.iter().map(convert::organization).collect(),
            next_page_token: listed.next.map(|cursor| query.token(self.database.sealer(), &cursor)).unwrap_or_default(),
        }))
    }

    async fn update_organization(
        &self,
        request: Request<UpdateOrganizationRequest>,
    ) -> Result<Response<Organization>, Status> {
        let granted = self.access.organization(&request).await?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let command = convert::read_update(&granted.caller, granted.scope.organization_id(), request)?;
        let view = organization::update(&self.database, granted.scope, &granted.origin(), once.as_ref(), command)
            .await
            .map_err(update)?;
        Ok(Response::new(convert::organization(&view)))
    }

    async fn suspend_organization(
        &self,
        request: Request<SuspendOrganizationRequest>,
    ) -> Result<Response<Organization>, Status> {
        let granted = self.access.organization(&request).await?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let command = convert::read_state_change(Target::Suspended, request.etag, &request.reason)?;
        let view = organization::change_state(&self.database, &self.others, &granted, once.as_ref(), command)
            .await
            .map_err(change_state)?;
        Ok(Response::new(convert::organization(&view)))
    }

    async fn reactivate_organization(
        &self,
        request: Request<ReactivateOrganizationRequest>,
    ) -> Result<Response<Organization>, Status> {
        let granted = self.access.organization(&request).await?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let command = convert::read_state_change(Target::Active, request.etag, &request.reason)?;
        let view = organization::change_state(&self.database, &self.others, &granted, once.as_ref(), command)
            .await
            .map_err(change_state)?;
        Ok(Response::new(convert::organization(&view)))
    }

    async fn delete_organization(
        &self,
        request: Request<DeleteOrganizationRequest>,
    ) -> Result<Response<Organization>, Status> {
        let granted = self.access.organization_in_any_state(&request).await?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let target = Target::Deleted { grace: self.grace };
        let command = convert::read_state_change(target, request.etag, &request.reason)?;
        let view = organization::change_state(&self.database, &self.others, &granted, once.as_ref(), command)
            .await
            .map_err(change_state)?;
        Ok(Response::new(convert::organization(&view)))
    }

    async fn undelete_organization(
        &self,
        request: Request<UndeleteOrganizationRequest>,
    ) -> Result<Response<Organization>, Status> {
        let granted = self.access.organization(&request).await?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let command = convert::read_state_change(Target::Undeleted, request.etag, &request.reason)?;
        let view = organization::change_state(&self.database, &self.others, &granted, once.as_ref(), command)
            .await
            .map_err(change_state)?;
        Ok(Response::new(convert::organization(&view)))
    }
}
