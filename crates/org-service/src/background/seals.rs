//! Renewing seals after a sealing key was put in front of the others.

use std::time::Duration;

use tenancy::{ClusterScope, Database};
use tokio::time::sleep;

use crate::ops::connection::reseal;

/// From the start of the process: keys are read when it starts.
const BEGIN: Duration = Duration::from_secs(5);
/// Another replica may run with the former keys for a while.
const EVERY: Duration = Duration::from_secs(3600);

pub async fn reseal_for_ever(database: Database) {
    let mut pause = BEGIN;
    loop {
        sleep(pause).await;
        pause = EVERY;
        match reseal(&database, ClusterScope::granted()).await {
            Ok(0) => {}
            Ok(secrets) => tracing::info!(secrets, "client secrets are sealed under the current key"),
            Err(error) => {
                pause = BEGIN * 12;
                tracing::warn!(error = %runtime::Chain(&error), "client secrets keep their former seals for now");
            }
        }
    }
}
