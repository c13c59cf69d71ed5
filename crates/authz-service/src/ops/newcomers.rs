//! Somebody may be named here before this service has heard of them: member-service tells right after it makes them, and its feed
//! tells again. So who is unknown is waited for, for a moment, before they are said not to be there.

use std::time::Duration;

use tenancy::{Database, OrganizationScope, StoreError};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

use crate::{model::Subject, store};

/// Longer than the feed takes when all is well.
const PATIENCE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(100);
/// So many calls wait at once, of all tenants: made-up ids must not hold up the process. Beyond, nobody waits.
static WAITING: Semaphore = Semaphore::const_new(32);

/// Whether all of them are known in the end.
pub(super) async fn have_come(
    database: &Database,
    scope: OrganizationScope,
    subjects: &[Subject],
) -> Result<bool, StoreError> {
    let Ok(_place) = WAITING.try_acquire() else { return Ok(false) };
    let somebody: Vec<Subject> = subjects.iter().filter(|subject| subject.is_one()).copied().collect();
    let begun = Instant::now();
    loop {
        let mut read = database.read(scope).await?;
        let unknown = store::subject::any_unknown(read.connection(), scope.organization_id(), &somebody).await?;
        read.finish();
        if !unknown || begun.elapsed() >= PATIENCE {
            return Ok(!unknown);
        }
        sleep(POLL).await;
    }
}
