//! The contract's services: each method identifies and authorizes its caller, converts, operates, and encodes.

mod assertions;
mod authorization;
mod binding;
mod catalog;
mod convert;
mod events;
mod group;
pub(crate) mod import;
mod lists;
mod outlet;
mod question;
mod questioner;
mod refusal;
mod resource;
mod role;
mod subject;
mod transfer;
mod watch;

pub use events::payload;

use access::{Access, Caller, Granted, Tenant, store, unauthenticated};
use api::authz::v1::{
    authorization_service_server::AuthorizationServiceServer, binding_service_server::BindingServiceServer,
    catalog_service_server::CatalogServiceServer, group_service_server::GroupServiceServer,
    resource_service_server::ResourceServiceServer, role_service_server::RoleServiceServer,
    subject_service_server::SubjectServiceServer,
};
use convert::tokens::Tokens;
use import::Imports;
use lists::Searches;
use runtime::{Api, Contract};
use tenancy::{Database, Head, Once, OrganizationScope, Sealer};
use tonic::Status;

use crate::{
    model::{Grantor, Subject},
    ops::{Call, export::Exports},
    remote::Remote,
    snapshots::Snapshots,
};

pub use convert::subject::organization_state;

/// What every handler has at hand.
#[derive(Debug, Clone)]
pub struct Server {
    access: Access,
    snapshots: Snapshots,
    remote: Remote,
    exports: Exports,
    imports: Imports,
    searches: Searches,
    streams: watch::Streams,
}

impl Server {
    pub fn new(access: Access, snapshots: Snapshots, remote: Remote) -> Self {
        Self {
            access,
            snapshots,
            remote,
            exports: Exports::default(),
            imports: Imports::default(),
            searches: Searches::default(),
            streams: watch::Streams::default(),
        }
    }

    /// Everything that this process serves.
    pub fn api(self, contract: Contract) -> Api {
        let events =
            feed::EventServer::new(self.access.clone(), self.database().clone(), access::Service::Authz, payload);
        Api::new(contract)
            .service(AuthorizationServiceServer::new(self.clone()))
            .service(BindingServiceServer::new(self.clone()))
            .service(CatalogServiceServer::new(self.clone()))
            .service(GroupServiceServer::new(self.clone()))
            .service(ResourceServiceServer::new(self.clone()))
            .service(RoleServiceServer::new(self.clone()))
            .service(SubjectServiceServer::new(self))
            .service(events)
    }

    fn database(&self) -> &Database {
        self.snapshots.database()
    }

    fn sealer(&self) -> &Sealer {
        self.snapshots.sealer()
    }

    /// The heads that an organization's revision tokens name.
    async fn heads(&self, scope: OrganizationScope) -> Result<[Option<Head>; 2], Status> {
        self.database().heads(scope).await.map_err(store)
    }

    /// The same where the project itself may be meant.
    async fn heads_of(&self, tenant: Tenant) -> Result<[Option<Head>; 2], Status> {
        match tenant {
            Tenant::Organization(scope) => self.heads(scope).await,
            Tenant::Project(scope) => Ok([None, self.database().head(scope.own_key()).await.map_err(store)?]),
        }
    }

    fn tokens<'a>(&'a self, heads: &[Option<Head>; 2]) -> Tokens<'a> {
        Tokens::of_organization(self.sealer(), heads)
    }
}

/// A caller's change: who makes it, how often, and what bounds what it may hand out.
fn call<S>(granted: &Granted<S>, once: Option<Once>) -> Result<Call, Status> {
    let grantor = match &granted.caller {
        Caller::Member { member, .. } => Grantor::Bound(Subject::Member(*member)),
        Caller::ServiceAccount { organization: Some(_), id, .. } => Grantor::Bound(Subject::ServiceAccount(*id)),
        Caller::ServiceAccount { organization: None, .. } | Caller::Operator | Caller::Workload { .. } => Grantor::Free,
        Caller::Anonymous => return Err(unauthenticated()),
    };
    Ok(Call { origin: granted.origin(), once, grantor })
}
