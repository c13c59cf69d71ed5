//! authz-service: who may do what, in every organization of every project, and who may change that.
//!
//! One direction: `grpc` (the contract) to `ops` (what callers may do) to `store` (SQL) to `model` (our words). Questions are
//! answered by `snapshots`, on the engine.

mod background;
mod config;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod grpc;
mod model;
mod ops;
mod permissions;
mod remote;
mod snapshots;
mod store;

use std::sync::Arc;

use access::{Access, Invalidations, Onward, Service};
use feed::Source;
use runtime::{Contract, Process};

pub use config::Config;
use schema::MigrateConfig;

/// Serves until the process is told to end.
pub async fn serve(config: Config, process: Process) -> Result<(), runtime::Error> {
    let database = config.schema.database()?;
    let (background, readiness) = (process.background(), process.readiness());
    let (reachable, current) = (readiness.condition("database"), readiness.condition("schema"));
    background.spawn(schema::watch(database.clone(), store::migrations(), reachable, current));
    background.spawn(schema::forget_answers(database.clone()));

    let contract = Contract::from_descriptor_set(api::FILE_DESCRIPTOR_SET)?;
    let onward = Onward::new(Service::Authz, config.access.signing_key(Service::Authz)?);
    let org = process.connect(&config.org_url, contract.clone())?;
    let member = process.connect(&config.member_url, contract.clone())?;
    let bytes = config.snapshot_memory.saturating_mul(1024 * 1024);
    let snapshots = snapshots::Snapshots::new(database.clone(), bytes, config.staleness_bound);
    background.spawn(snapshots.follower().run());
    let remote = remote::Remote::new(org.clone(), onward.clone());
    let invalidations = Invalidations::new(&config.revocation);
    let own = feed::Own { service: Service::Authz, database: database.clone(), payload: grpc::payload };
    background.spawn(feed::learn_from_own(own, invalidations.clone()));
    background.spawn(feed::attend(invalidations.clone(), readiness.condition("revocations")));
    let access = Access::new(
        config.access.verifier(Service::Authz)?,
        invalidations.clone(),
        database.clone(),
        onward.clone(),
        Some(org.clone()),
        Arc::new(permissions::OwnPermissions::new(snapshots.clone())),
    );

    for (service, channel) in [(Service::Org, org), (Service::Member, member)] {
        let source = Source { service, channel, onward: onward.clone() };
        background.spawn(feed::learn_from(source.clone(), invalidations.clone()));
        let repair = background::Repair { access: access.clone(), snapshots: snapshots.clone() };
        background.spawn(feed::consume(source, database.clone(), repair));
    }

    let layer = access.layer();
    process.serve(grpc::Server::new(access, snapshots, remote).api(contract), layer).await?;
    database.close().await;
    Ok(())
}

/// Brings the schema up to date.
pub async fn migrate(config: MigrateConfig) -> Result<(), runtime::Error> {
    schema::migrate(config, store::migrations(), "guildhall_authz").await
}
