//! org-service: projects, organizations, and what the other services must know of both.
//!
//! One direction: `grpc` converts and calls `ops`, which opens the transaction that `store` borrows; `model` is what they speak of.

mod background;
mod config;
mod grpc;
mod model;
mod ops;
mod remote;
mod store;

use std::sync::Arc;

use access::{Access, Onward, RemotePermissions, Service};
use api::org::v1::{
    directory_service_server::DirectoryServiceServer, organization_service_server::OrganizationServiceServer,
    project_service_server::ProjectServiceServer,
};
use runtime::{Api, Contract, Process};

pub use config::Config;
use schema::MigrateConfig;

/// Serves until the process is told to end.
pub async fn serve(config: Config, process: Process) -> Result<(), runtime::Error> {
    let database = config.schema.database()?;
    let (background, readiness) = (process.background(), process.readiness());
    let (reachable, current) = (readiness.condition("database"), readiness.condition("schema"));
    background.spawn(schema::watch(database.clone(), store::migrations(), reachable, current));
    background.spawn(schema::forget_answers(database.clone()));
    background.spawn(background::purge_for_ever(database.clone()));

    let contract = Contract::from_descriptor_set(api::FILE_DESCRIPTOR_SET)?;
    let member = runtime::connect(&config.member_url, contract.clone())?;
    let authz = runtime::connect(&config.authz_url, contract.clone())?;
    let onward = Onward::new(Service::Org, config.access.signing_key()?);
    let others = remote::Others::new(member, authz.clone(), onward.clone());
    let permissions = Arc::new(RemotePermissions::new(authz, onward.clone()));
    let verifier = config.access.verifier(Service::Org)?;
    // No directory: whatever is not here is nowhere.
    let access = Access::new(verifier, database.clone(), onward, None, permissions);

    let projects = grpc::Projects { access: access.clone(), database: database.clone() };
    let grace = time::Duration::seconds(config.purge_after.into());
    let organizations = grpc::Organizations { access: access.clone(), database: database.clone(), others, grace };
    let directory = grpc::Directory { access: access.clone(), database: database.clone() };
    let api = Api::new(contract)
        .service(ProjectServiceServer::new(projects))
        .service(OrganizationServiceServer::new(organizations))
        .service(DirectoryServiceServer::new(directory))
        .service(feed::EventServer::new(access.clone(), database.clone(), Service::Org, grpc::payload));
    process.serve(api, access.layer()).await?;
    database.close().await;
    Ok(())
}

/// Brings the schema up to date.
pub async fn migrate(config: MigrateConfig) -> Result<(), runtime::Error> {
    schema::migrate(config, store::migrations(), "guildhall_org").await
}
