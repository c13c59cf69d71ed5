//! authz-service: who may do what, in every organization of every project, and who may change that.
//!
//! One direction: `grpc` (the contract) to `ops` (what callers may do) to `store` (SQL) to `model` (our words). Questions are
//! answered by `snapshots`, on the engine.

mod config;
mod feeds;
mod grpc;
mod model;
mod ops;
mod permissions;
mod snapshots;
mod store;

use std::{sync::Arc, time::Duration};

use access::{Access, Onward, Service};
use feed::Source;
use runtime::{Chain, Condition, Contract, Process};
use tenancy::{Database, migration::Migrations};

pub use config::{Config, MigrateConfig};

/// How often the schema is looked at while it is behind, and once it is not.
const SCHEMA_AWAITED: Duration = Duration::from_secs(1);
const SCHEMA_WATCHED: Duration = Duration::from_secs(30);
const FORGETTING: Duration = Duration::from_secs(60);
const FORGOTTEN_AT_ONCE: i64 = 1_000;

pub async fn serve(config: Config, process: Process) -> Result<(), runtime::Error> {
    let contract = Contract::from_descriptor_set(api::FILE_DESCRIPTOR_SET)?;
    let database = Database::new(&config.database(), config.sealer()?)?;
    let onward = Onward::new(Service::Authz, config.access.signing_key()?);
    let org = runtime::connect(&config.org_url, contract.clone())?;
    let member = runtime::connect(&config.member_url, contract.clone())?;
    let snapshots = snapshots::Snapshots::new(database.clone(), config.snapshot_memory.saturating_mul(1024 * 1024));
    let access = Access::new(
        config.access.verifier(Service::Authz)?,
        database.clone(),
        onward.clone(),
        Some(org.clone()),
        Arc::new(permissions::OwnPermissions::new(snapshots.clone())),
    );

    let background = process.background();
    background.spawn(watch_schema(database.clone(), process.readiness().condition("schema")));
    background.spawn(forget_answers(database.clone()));
    for (service, channel) in [(Service::Org, org), (Service::Member, member)] {
        let source = Source { service, channel, onward: onward.clone() };
        let repair = feeds::Repair { access: access.clone(), database: database.clone() };
        background.spawn(feed::consume(source, database.clone(), repair));
    }

    let layer = access.layer();
    process.serve(grpc::Server::new(access, snapshots).api(contract), layer).await?;
    database.close().await;
    Ok(())
}

pub async fn migrate(config: MigrateConfig) -> Result<(), runtime::Error> {
    Migrations::of(&store::MIGRATIONS).apply(&config.database_url, &config.runtime_role).await?;
    Ok(())
}

/// A server whose schema is behind says so and serves nobody.
async fn watch_schema(database: Database, schema: Condition) {
    let migrations = Migrations::of(&store::MIGRATIONS);
    loop {
        let pause = match migrations.behind(&database).await {
            Ok(None) => {
                schema.met();
                SCHEMA_WATCHED
            }
            Ok(Some(what)) => {
                schema.unmet(what);
                SCHEMA_AWAITED
            }
            Err(error) => {
                tracing::debug!(error = %Chain(&error), "the schema cannot be looked at");
                schema.unmet("the database cannot be reached");
                SCHEMA_AWAITED
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Answers kept for repeated requests, once their day has passed.
async fn forget_answers(database: Database) {
    loop {
        tokio::time::sleep(FORGETTING).await;
        match database.forget_answers(FORGOTTEN_AT_ONCE).await {
            Ok(_) => {}
            Err(error) => tracing::warn!(error = %Chain(&error), "expired answers were not forgotten"),
        }
    }
}
