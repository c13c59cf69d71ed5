//! What came of a connection that is no more, or no more what it was.
//!
//! A sign-in may be on its way while its connection ends: looked at by the provider already, not a session yet. So what came of it is
//! looked for again for as long as that may take. Whatever began after the end came by what the connection is by then, and stays.

use std::collections::BTreeSet;

use access::{Granted, Tenant};
use tenancy::{ClusterScope, OrganizationId, StoreError};
use time::{Duration, OffsetDateTime};

use crate::{
    model::EndReason,
    ops::{
        Context,
        member::{ReviewError, settle_group_roles},
        session::append_end,
    },
    store::{
        ended_connection::{self, Ended},
        member::{self, Key},
        provider_account, session,
    },
};

/// As long as a call, and then an intermediate session, may last.
const LASTING: Duration = Duration::minutes(15);
const PAUSE: Duration = Duration::seconds(3);
/// How far the clocks of two processes may be apart. Who signs in so soon after the end may have to do so again.
const SKEW: Duration = Duration::seconds(2);
const AT_ONCE: i64 = 100;

/// Takes note that a connection ended at a moment.
pub async fn note_end(context: &Context, tenant: Tenant, ended: &Ended) -> Result<(), StoreError> {
    let mut tx = context.database.upkeep(tenant).await?;
    ended_connection::note(tx.connection(), tenant, ended, LASTING).await?;
    tx.commit().await
}

/// Ends some of what came of a connection. False where none is due.
pub async fn end_some(context: &Context, granted: &Granted<ClusterScope>) -> Result<bool, ReviewError> {
    let mut tx = context.database.upkeep(granted.scope).await?;
    let taken = ended_connection::take(tx.connection(), PAUSE).await?;
    tx.commit().await?;
    let Some(ended) = taken else { return Ok(false) };
    let until = ended.end_time + SKEW;
    while end_sessions(context, granted, &ended, until).await? {}
    if !ended.is_of_project() {
        while take_roles(context, granted, &ended, until).await? {}
    }
    if ended.is_deleted {
        let mut tx = context.database.upkeep(granted.scope).await?;
        while provider_account::forget(tx.connection(), ended.tenant, ended.connection, AT_ONCE).await? > 0 {}
        tx.commit().await?;
    }
    Ok(true)
}

/// A page of them, one write for each organization. Whether there may be more.
async fn end_sessions(
    context: &Context,
    granted: &Granted<ClusterScope>,
    ended: &Ended,
    until: OffsetDateTime,
) -> Result<bool, StoreError> {
    let mut tx = context.database.upkeep(granted.scope).await?;
    ended_connection::end_intermediate(tx.connection(), ended, until).await?;
    let sessions = ended_connection::sessions(tx.connection(), ended, until, AT_ONCE).await?;
    tx.commit().await?;
    let organizations: BTreeSet<OrganizationId> = sessions.iter().map(|(organization, _)| *organization).collect();
    for organization in organizations {
        let scope = granted.in_organization(ended.project, organization).scope;
        let mut tx = context.database.write(scope, &granted.origin(), None).await?;
        for (_, id) in sessions.iter().filter(|(of, _)| *of == organization) {
            if let Some(gone) = session::delete(tx.connection(), organization, *id).await? {
                append_end(&mut tx, scope, gone, EndReason::ConnectionEnded).await?;
            }
        }
        tx.commit(()).await?;
    }
    Ok(i64::try_from(sessions.len()).is_ok_and(|count| count == AT_ONCE))
}

/// A page of members. Whether there may be more.
async fn take_roles(
    context: &Context,
    cluster: &Granted<ClusterScope>,
    ended: &Ended,
    until: OffsetDateTime,
) -> Result<bool, ReviewError> {
    let granted = cluster.in_organization(ended.project, ended.tenant);
    let mut read = context.database.read(granted.scope).await?;
    let found = provider_account::with_roles(read.connection(), ended.tenant, ended.connection, until, AT_ONCE).await?;
    let mut members = Vec::with_capacity(found.len());
    for id in &found {
        members.extend(member::find(read.connection(), ended.tenant, &Key::Id(*id)).await?);
    }
    read.finish();
    for member in &members {
        settle_group_roles(context, &granted, member, Vec::new()).await?;
        let mut tx = context.database.upkeep(granted.scope).await?;
        let (id, tenant) = (member.member_id, ended.tenant);
        provider_account::forget_roles(tx.connection(), tenant, id, ended.connection, until).await?;
        tx.commit().await?;
    }
    Ok(!members.is_empty() && i64::try_from(found.len()).is_ok_and(|count| count == AT_ONCE))
}
