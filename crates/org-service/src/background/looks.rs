//! Looking for the records of domains when their time has come.
//!
//! A look is taken on loan, made with no transaction open, and its outcome noted. A replica that dies in between lets it fall due
//! again; no two replicas make the same one.

use std::{sync::Arc, time::Duration};

use tenancy::{ClusterScope, OrganizationScope, StoreError};
use tokio::{task::JoinSet, time::sleep};

use super::origin;
use crate::{
    ops::domain::{Domains, look_at},
    store::domain::{self, Due},
};

/// How long to look away at most: another replica's look may have been left behind.
const LOOK_EVERY: Duration = Duration::from_secs(15);
const AT_LEAST: Duration = Duration::from_millis(200);
/// Looks at a time. Slow name servers hold up so many at most.
const AT_ONCE: i64 = 32;

pub async fn look_for_ever(domains: Arc<Domains>) {
    loop {
        match look_at_due(&domains).await {
            // There may be more.
            Ok(looks) if looks > 0 => continue,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(error = %runtime::Chain(&error), "nobody looks for the records of domains for now")
            }
        }
        sleep(pause(&domains).await).await;
    }
}

async fn pause(domains: &Domains) -> Duration {
    let next = async {
        let mut read = domains.database.read(ClusterScope::granted()).await?;
        let next = domain::next_due(read.connection()).await?;
        read.finish();
        Ok::<_, StoreError>(next)
    };
    let until = match next.await {
        // What is overdue already is on its way to be taken.
        Ok(Some(until)) => Duration::try_from(until).unwrap_or(AT_LEAST),
        Ok(None) | Err(_) => LOOK_EVERY,
    };
    until.clamp(AT_LEAST, LOOK_EVERY)
}

/// Makes the looks that are due now; how many were made.
async fn look_at_due(domains: &Arc<Domains>) -> Result<usize, StoreError> {
    let mut tx = domains.database.upkeep(ClusterScope::granted()).await?;
    let due = domain::take_due(tx.connection(), AT_ONCE).await?;
    tx.commit().await?;
    let taken = due.len();
    let mut looks = JoinSet::new();
    for due in due.into_iter().filter(|due| due.is_looked_at) {
        let domains = Arc::clone(domains);
        looks.spawn(async move { look(&domains, &due).await });
    }
    while looks.join_next().await.is_some() {}
    Ok(taken)
}

async fn look(domains: &Domains, due: &Due) {
    let scope = OrganizationScope::granted(due.project, due.organization);
    if let Err(error) = look_at(domains, scope, &origin(), due.domain).await {
        tracing::warn!(
            error = %runtime::Chain(&error), domain_id = %due.domain,
            "what a look at a domain's record found is not noted; somebody looks again soon"
        );
    }
}
