//! org-service: projects, organizations, and what the other services must know of both.
//!
//! One direction: `grpc` converts and calls `ops`, which opens the transaction that `store` borrows; `model` is what they speak of.

mod background;
mod config;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod grpc;
mod model;
mod ops;
mod outside;
mod remote;
mod store;

use std::sync::Arc;

use access::{Access, Invalidations, Onward, RemotePermissions, Service};
use api::org::v1::{
    connection_service_server::ConnectionServiceServer, directory_service_server::DirectoryServiceServer,
    domain_service_server::DomainServiceServer, organization_service_server::OrganizationServiceServer,
    project_service_server::ProjectServiceServer, provider_service_server::ProviderServiceServer,
};
use runtime::{Api, Contract, Process};

pub use config::Config;
use ops::connection::ClientSecrets;
use schema::MigrateConfig;
use tenancy::resting;

/// Serves until the process is told to end.
pub async fn serve(config: Config, process: Process) -> Result<(), runtime::Error> {
    let database = config.schema.database()?;
    let (background, readiness) = (process.background(), process.readiness());
    let (reachable, current) = (readiness.condition("database"), readiness.condition("schema"));
    background.spawn(schema::watch(database.clone(), store::migrations(), reachable, current));
    background.spawn(schema::forget_answers(database.clone()));
    background.spawn(background::purge_for_ever(database.clone()));

    let contract = Contract::from_descriptor_set(api::FILE_DESCRIPTOR_SET)?;
    let member = process.connect(&config.member_url, contract.clone())?;
    let authz = process.connect(&config.authz_url, contract.clone())?;
    let onward = Onward::new(Service::Org, config.access.signing_key(Service::Org)?);
    let others = remote::Others::new(member.clone(), authz.clone(), onward.clone());
    let grants = remote::Grants::new(authz.clone(), onward.clone());
    let permissions = Arc::new(RemotePermissions::new(authz.clone(), onward.clone()));
    let invalidations = Invalidations::new(&config.revocation);
    for (service, channel) in [(Service::Member, member.clone()), (Service::Authz, authz)] {
        let source = feed::Source { service, channel, onward: onward.clone() };
        background.spawn(feed::learn_from(source, invalidations.clone()));
    }
    let own = feed::Own { service: Service::Org, database: database.clone(), payload: grpc::payload };
    background.spawn(feed::learn_from_own(own, invalidations.clone()));
    background.spawn(feed::attend(invalidations.clone(), readiness.condition("revocations")));
    let verifier = config.access.verifier(Service::Org)?;
    // No directory: whatever is not here is nowhere.
    let access = Access::new(verifier, invalidations, database.clone(), onward, None, permissions);

    let names = outside::Names::new(&config.outside.dns_servers)?;
    let vanity_base = config.outside.vanity_base()?;
    let domains = Arc::new(ops::domain::Domains {
        database: database.clone(),
        names: names.clone(),
        schedule: config.outside.schedule(),
        vanity_base: vanity_base.clone(),
        outside: outside::places(),
    });
    let fetcher = outside::Fetcher::new(names, config.outside.allow_private_issuers)?;
    let providers =
        Arc::new(ops::provider::Providers { database: database.clone(), oidc: outside::Oidc::new(fetcher.clone()) });
    let connections = Arc::new(ops::connection::Connections {
        database: database.clone(),
        grants,
        fetcher,
        outside: outside::places(),
    });
    background.spawn(background::look_for_ever(domains.clone()));
    background.spawn(resting::reseal_for_ever::<ClientSecrets>(database.clone()));

    let projects = grpc::Projects { access: access.clone(), database: database.clone(), others: others.clone() };
    let grace = time::Duration::seconds(config.purge_after.into());
    let organizations = grpc::Organizations {
        access: access.clone(),
        database: database.clone(),
        others,
        grace,
        vanity_base: vanity_base.clone(),
    };
    let directory = grpc::Directory { access: access.clone(), database: database.clone(), vanity_base };
    let domains = grpc::Domains { access: access.clone(), domains };
    let connections = grpc::Connections { access: access.clone(), connections };
    let api = Api::new(contract)
        .service(ProjectServiceServer::new(projects))
        .service(OrganizationServiceServer::new(organizations))
        .service(DomainServiceServer::new(domains))
        .service(ConnectionServiceServer::new(connections))
        .service(ProviderServiceServer::new(grpc::SignIns { access: access.clone(), providers }))
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
