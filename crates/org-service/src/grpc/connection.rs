//! `guildhall.org.v1.ConnectionService`.

use std::sync::Arc;

use access::{Access, Tenant, invalid_field, store};
use api::org::v1::{
    Connection, CreateConnectionRequest, DeleteConnectionRequest, GetConnectionRequest, ListConnectionsRequest,
    ListConnectionsResponse, TestConnectionRequest, TestConnectionResponse, UpdateConnectionRequest,
    connection_service_server::ConnectionService,
};
use runtime::{Refusal, Violations};
use tenancy::{ConnectionId, page::Query};
use tonic::{Request, Response, Status};

use super::{convert::connection as convert, refusal};
use crate::{model::Reason, ops::connection};

#[derive(Debug)]
pub struct Connections {
    pub access: Access,
    pub connections: Arc<connection::Connections>,
}

fn id(text: &str) -> Result<ConnectionId, Status> {
    text.parse().map_err(|fault| invalid_field("connection_id", fault))
}

#[tonic::async_trait]
impl ConnectionService for Connections {
    async fn create_connection(
        &self,
        request: Request<CreateConnectionRequest>,
    ) -> Result<Response<Connection>, Status> {
        let granted = self.access.tenant(&request).await?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let (kind, display_name, issuer, draft) =
            convert::read_create(request, self.connections.fetcher.allows_private())?;
        let made = connection::create(&self.connections, &granted, once.as_ref(), kind, display_name, issuer, draft)
            .await
            .map_err(refusal::connection)?;
        Ok(Response::new(convert::connection(&made)))
    }

    async fn get_connection(&self, request: Request<GetConnectionRequest>) -> Result<Response<Connection>, Status> {
        let granted = self.access.tenant(&request).await?;
        let id = id(&request.get_ref().connection_id)?;
        let found = connection::get(&self.connections.database, granted.scope, id).await.map_err(store)?;
        Ok(Response::new(convert::connection(&found.ok_or_else(|| Refusal::not_found("connection"))?)))
    }

    async fn list_connections(
        &self,
        request: Request<ListConnectionsRequest>,
    ) -> Result<Response<ListConnectionsResponse>, Status> {
        let granted = self.access.tenant(&request).await?;
        let request = request.into_inner();
        let mut violations = Violations::default();
        let filter = convert::filter(&request, &mut violations);
        let bound = format!("{filter:?}");
        let query = Query { method: granted.method().path, scope: granted.scope.into(), filter: &bound };
        let sealer = self.connections.database.sealer();
        let asked = refusal::page(&query, sealer, request.page_size, &request.page_token, &mut violations)?;
        let (filter, asked) = violations.all((filter, asked))?;
        let listed =
            connection::list(&self.connections.database, granted.scope, filter, &asked).await.map_err(store)?;
        Ok(Response::new(ListConnectionsResponse {
            connections: listed.rows.iter().map(convert::connection).collect(),
            next_page_token: listed.next.map(|cursor| query.token(sealer, &cursor)).unwrap_or_default(),
        }))
    }

    async fn update_connection(
        &self,
        request: Request<UpdateConnectionRequest>,
    ) -> Result<Response<Connection>, Status> {
        let granted = self.access.tenant(&request).await?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let id = id(&request.connection_id)?;
        // What its fields may be depends on its kind, which never changes.
        let found = connection::get(&self.connections.database, granted.scope, id).await.map_err(store)?;
        let kind = found.ok_or_else(|| Refusal::not_found("connection"))?.kind;
        let organization = match granted.scope {
            Tenant::Organization(scope) => scope.organization_id().to_string(),
            Tenant::Project(_) => String::new(),
        };
        let command =
            convert::read_update(&organization, id, kind, self.connections.fetcher.allows_private(), request)?;
        let changed = connection::update(&self.connections, &granted, once.as_ref(), command)
            .await
            .map_err(refusal::connection)?;
        Ok(Response::new(convert::connection(&changed)))
    }

    async fn delete_connection(&self, request: Request<DeleteConnectionRequest>) -> Result<Response<()>, Status> {
        let granted = self.access.tenant(&request).await?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let mut violations = Violations::default();
        let id = violations.check("connection_id", request.connection_id.parse());
        let reason = violations.check("reason", Reason::parse(&request.reason));
        let (id, reason) = violations.all((id, reason))?;
        let (database, etag) = (&self.connections.database, request.etag.unwrap_or_default());
        connection::remove(database, granted.scope, &granted.origin(), once.as_ref(), id, &etag, reason)
            .await
            .map_err(refusal::connection)?;
        Ok(Response::new(()))
    }

    async fn test_connection(
        &self,
        request: Request<TestConnectionRequest>,
    ) -> Result<Response<TestConnectionResponse>, Status> {
        let granted = self.access.tenant(&request).await?;
        let id = id(&request.get_ref().connection_id)?;
        let checks = connection::test(&self.connections, granted.scope, id).await.map_err(refusal::connection)?;
        Ok(Response::new(convert::checks(checks)))
    }
}
