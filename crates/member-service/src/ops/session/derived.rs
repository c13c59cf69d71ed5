//! Sessions that came of another, by going to a second organization, end with it.
//!
//! Whoever ends a session, or takes a used token for the sign that it was stolen, means all that was done with it: the note is written
//! with the end, and a sweep follows it (see `background`), in every organization by a write of its own, which leaves a note in turn. A session that runs out
//! ends no other, nor does one that ends because its member is suspended or removed: that is said of one organization.

use access::Granted;
use tenancy::{ClusterScope, OrganizationScope, StoreError, Write};
use time::Duration;

use crate::{
    model::{EndReason, Session},
    ops::{Context, append_session_end},
    store::{ended_session, session},
};

/// As long as a call that goes elsewhere, and then an intermediate session, may last.
const LASTING: Duration = Duration::minutes(15);
const PAUSE: Duration = Duration::seconds(3);
const AT_ONCE: i64 = 100;

/// Of a session whose row has just been deleted.
pub async fn append_end(
    tx: &mut Write,
    scope: OrganizationScope,
    ended: Session,
    reason: EndReason,
) -> Result<(), StoreError> {
    ended_session::note(tx.connection(), scope, ended.session_id, LASTING).await?;
    append_session_end(tx, ended, reason);
    Ok(())
}

/// Ends what came of some sessions that were ended. False where none is due.
pub async fn end_derived(context: &Context, granted: &Granted<ClusterScope>) -> Result<bool, StoreError> {
    let mut tx = context.database.upkeep(granted.scope).await?;
    let due = ended_session::take(tx.connection(), PAUSE, AT_ONCE).await?;
    tx.commit().await?;
    for ended in &due {
        let mut tx = context.database.upkeep(granted.scope).await?;
        ended_session::end_intermediate(tx.connection(), ended).await?;
        let derived = ended_session::sessions(tx.connection(), ended).await?;
        tx.commit().await?;
        for (organization, id) in derived {
            let scope = granted.in_organization(ended.project, organization).scope;
            let mut tx = context.database.write(scope, &granted.origin(), None).await?;
            if let Some(gone) = session::delete(tx.connection(), organization, id).await? {
                append_end(&mut tx, scope, gone, EndReason::Revoked).await?;
            }
            tx.commit(()).await?;
        }
    }
    Ok(!due.is_empty())
}
