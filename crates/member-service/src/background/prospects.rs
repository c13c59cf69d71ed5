//! Taking back the roles of members who never came to be: see `ops::prospect`.

use std::{sync::Arc, time::Duration};

use runtime::CallContext;
use tenancy::{ClusterScope, StoreError};
use tokio::time::sleep;

use super::MYSELF;
use crate::{
    ops::{Context, prospect::take_back},
    remote::Asker,
    store::prospect::{self, Abandoned},
};

const EVERY: Duration = Duration::from_secs(30);
const AT_ONCE: i64 = 100;

pub async fn take_back_for_ever(context: Arc<Context>) {
    loop {
        sleep(EVERY).await;
        while let Some(AT_ONCE) = take_some_back(&context).await {}
    }
}

/// How many there were to take back. None where they cannot all be taken back now: they stay for the next time.
async fn take_some_back(context: &Context) -> Option<i64> {
    let abandoned = match abandoned(context).await {
        Ok(abandoned) => abandoned,
        Err(error) => {
            tracing::warn!(error = %runtime::Chain(&error), "members who never came to be cannot be looked for");
            return None;
        }
    };
    let mut left = false;
    for one in &abandoned {
        let call = CallContext::background();
        let asker = Asker::new(&MYSELF, &call);
        let scope = ClusterScope::granted();
        match take_back(context, asker, one.organization, one.project, one.member, scope).await {
            Ok(()) => tracing::info!(member = %one.member, "took back the roles of a member who never came to be"),
            Err(error) => {
                left = true;
                tracing::warn!(error = %runtime::Chain(&error), member = %one.member, "roles of nobody stay for now");
            }
        }
    }
    if left { None } else { i64::try_from(abandoned.len()).ok() }
}

async fn abandoned(context: &Context) -> Result<Vec<Abandoned>, StoreError> {
    let mut tx = context.database.upkeep(ClusterScope::granted()).await?;
    let abandoned = prospect::abandon_old(tx.connection(), AT_ONCE).await?;
    tx.commit().await?;
    Ok(abandoned)
}
