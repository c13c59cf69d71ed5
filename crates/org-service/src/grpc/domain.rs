//! `guildhall.org.v1.DomainService`.

use std::sync::Arc;

use access::{Access, invalid_field, store};
use api::org::v1::{
    CreateDomainRequest, DeleteDomainRequest, Domain, GetDomainRequest, ListDomainsRequest, ListDomainsResponse,
    VerifyDomainRequest, domain_service_server::DomainService,
};
use runtime::{Refusal, Violations};
use tenancy::{DomainId, page::Query};
use tonic::{Request, Response, Status};

use super::{convert::domain as convert, refusal};
use crate::ops::domain;

#[derive(Debug)]
pub struct Domains {
    pub access: Access,
    pub domains: Arc<domain::Domains>,
}

fn id(text: &str) -> Result<DomainId, Status> {
    text.parse().map_err(|fault| invalid_field("domain_id", fault))
}

#[tonic::async_trait]
impl DomainService for Domains {
    async fn create_domain(&self, request: Request<CreateDomainRequest>) -> Result<Response<Domain>, Status> {
        let granted = self.access.organization(&request).await?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let (name, purpose) = convert::read_create(request, self.domains.vanity_base.as_ref())?;
        let claimed = domain::claim(&self.domains, granted.scope, &granted.origin(), once.as_ref(), name, purpose)
            .await
            .map_err(refusal::domain)?;
        Ok(Response::new(convert::domain(&claimed)))
    }

    async fn get_domain(&self, request: Request<GetDomainRequest>) -> Result<Response<Domain>, Status> {
        let granted = self.access.organization(&request).await?;
        let id = id(&request.get_ref().domain_id)?;
        let found = domain::get(&self.domains.database, granted.scope, id).await.map_err(store)?;
        Ok(Response::new(convert::domain(&found.ok_or_else(|| Refusal::not_found("domain"))?)))
    }

    async fn list_domains(
        &self,
        request: Request<ListDomainsRequest>,
    ) -> Result<Response<ListDomainsResponse>, Status> {
        let granted = self.access.organization(&request).await?;
        let request = request.into_inner();
        let mut violations = Violations::default();
        let filter = convert::filter(&request, &mut violations);
        let bound = format!("{filter:?}");
        let query = Query { method: granted.method().path, scope: granted.scope.into(), filter: &bound };
        let sealer = self.domains.database.sealer();
        let asked = refusal::page(&query, sealer, request.page_size, &request.page_token, &mut violations)?;
        let (filter, asked) = violations.all((filter, asked))?;
        let listed = domain::list(&self.domains.database, granted.scope, filter, &asked).await.map_err(store)?;
        Ok(Response::new(ListDomainsResponse {
            domains: listed.rows.iter().map(convert::domain).collect(),
            next_page_token: listed.next.map(|cursor| query.token(sealer, &cursor)).unwrap_or_default(),
        }))
    }

    async fn verify_domain(&self, request: Request<VerifyDomainRequest>) -> Result<Response<Domain>, Status> {
        let granted = self.access.organization(&request).await?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let id = id(&request.domain_id)?;
        let looked_at = domain::verify(&self.domains, granted.scope, &granted.origin(), once.as_ref(), id)
            .await
            .map_err(refusal::domain)?;
        Ok(Response::new(convert::domain(&looked_at)))
    }

    async fn delete_domain(&self, request: Request<DeleteDomainRequest>) -> Result<Response<()>, Status> {
        let granted = self.access.organization(&request).await?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let id = id(&request.domain_id)?;
        let etag = request.etag.unwrap_or_default();
        domain::give_up(&self.domains.database, granted.scope, &granted.origin(), once.as_ref(), id, &etag)
            .await
            .map_err(refusal::domain)?;
        Ok(Response::new(()))
    }
}
