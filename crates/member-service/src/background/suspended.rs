//! Ending the sessions that a suspension or a new password did not come to: see `ops::identity`.

use std::{sync::Arc, time::Duration};

use tenancy::{ClusterScope, OrganizationScope, StoreError};
use tokio::time::sleep;

use super::origin;
use crate::{
    ops::{
        Context,
        identity::{end_outdated_sessions, end_sessions},
    },
    store::identity::{self, Lingering},
};

const EVERY: Duration = Duration::from_secs(2);
const AT_ONCE: i64 = 100;

pub async fn end_lingering_for_ever(context: Arc<Context>) {
    loop {
        sleep(EVERY).await;
        let lingering = match lingering(&context).await {
            Ok(lingering) => lingering,
            Err(error) => {
                tracing::warn!(error = %runtime::Chain(&error), "sessions that are over cannot be looked for");
                continue;
            }
        };
        for Lingering { project, organization, identity, outdated } in lingering {
            let scope = OrganizationScope::granted(project, organization);
            let ended = match outdated {
                None => end_sessions(&context, scope, &origin(), identity).await,
                Some(before) => end_outdated_sessions(&context, scope, &origin(), identity, before).await,
            };
            if let Err(error) = ended {
                tracing::warn!(error = %runtime::Chain(&error), %identity, "sessions that are over stay for now");
            }
        }
    }
}

async fn lingering(context: &Context) -> Result<Vec<Lingering>, StoreError> {
    let mut read = context.database.read(ClusterScope::granted()).await?;
    let lingering = identity::lingering(read.connection(), AT_ONCE).await?;
    read.finish();
    Ok(lingering)
}
