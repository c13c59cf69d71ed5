//! An organization's authorization in memory, at a revision that is proven for every answer.
//!
//! A snapshot is read in one transaction and never changed. It is good as long as both counters that it was read at are still
//! those of the heads: the organization's own, and its project's (catalogue and project roles). Every question reads the heads
//! after it came, so every answer is fully consistent, whatever it asked for: a bound on staleness may later save that read for
//! `minimize_latency`, and changes may later be applied to a snapshot instead of reading all of it again. Both belong behind
//! [`Snapshots::at`].

mod held;
mod state;

use std::sync::Arc;

use engine::Snapshot;
use held::Held;
use moka::{
    future::Cache,
    ops::compute::{CompResult, Op},
};
use tenancy::{Database, Head, OrganizationId, OrganizationScope, Read, Sealer, StoreError, Write};

use crate::{
    model::Revision,
    store::{
        Connection,
        organization::{self, Faults},
    },
};

pub use state::State;

/// How fresh an answer must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    MinimizeLatency,
    AtLeastAsFresh(Revision),
    FullyConsistent,
}

#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("the revision token is of another organization or of another history")]
    Foreign,
    #[error("the organization has not reached this revision")]
    FromFuture,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The snapshots of the organizations that were asked about of late.
#[derive(Debug, Clone)]
pub struct Snapshots {
    database: Database,
    /// Bounded by the bytes that the snapshots take, about.
    cache: Cache<OrganizationId, Arc<State>>,
    /// Beside the cache, with a quarter of its bytes.
    held: Held,
    /// The unreadable rows that the log has been told of: each once, not with every reading.
    told: moka::sync::Cache<(OrganizationId, Faults), ()>,
}

impl Snapshots {
    pub fn new(database: Database, max_bytes: u64) -> Self {
        let cache = Cache::builder().max_capacity(max_bytes).weigher(|_, state: &Arc<State>| state.bytes()).build();
        Self { database, cache, held: Held::new(max_bytes / 4), told: moka::sync::Cache::new(MAX_TOLD) }
    }

    pub fn database(&self) -> &Database {
        &self.database
    }

    pub fn sealer(&self) -> &Sealer {
        self.database.sealer()
    }

    /// Nothing of the organization stays in memory.
    pub async fn forget(&self, organization: OrganizationId) {
        self.held.forget(organization);
        self.cache.invalidate(&organization).await;
    }

    /// Keeps what a list is read from, so that its reader can go on at the same revision.
    pub fn hold(&self, state: &Arc<State>) {
        self.held.hold(state);
    }

    /// What decided at this revision, if it is still held, or is what decides now.
    pub async fn held(
        &self,
        scope: OrganizationScope,
        revision: &Revision,
    ) -> Result<Option<Arc<State>>, SnapshotError> {
        if let Some(state) = self.held.find(revision) {
            return Ok(Some(state));
        }
        let state = self.at(scope, Consistency::FullyConsistent).await?;
        Ok((state.revision() == *revision).then_some(state))
    }

    /// What decides in the organization, as fresh as asked for.
    pub async fn at(&self, scope: OrganizationScope, consistency: Consistency) -> Result<Arc<State>, SnapshotError> {
        let heads = Heads::read(&self.database, scope).await?;
        if let Consistency::AtLeastAsFresh(revision) = consistency {
            heads.reached(revision)?;
        }
        if let Some(state) = self.cache.get(&scope.organization_id()).await
            && heads.are_of(&state)
        {
            return Ok(state);
        }
        Ok(self.load(scope, &heads).await?)
    }

    /// Whether what the database holds by now is as fresh as asked for: for answers that are read there, in a transaction that begins
    /// after this.
    pub async fn reached(&self, scope: OrganizationScope, consistency: Consistency) -> Result<(), SnapshotError> {
        let heads = Heads::read(&self.database, scope).await?;
        match consistency {
            Consistency::AtLeastAsFresh(revision) => heads.reached(revision),
            Consistency::MinimizeLatency | Consistency::FullyConsistent => Ok(()),
        }
    }

    /// Reads the organization anew. Of many who want it at once one reads; the others find what it read.
    async fn load(&self, scope: OrganizationScope, heads: &Heads) -> Result<Arc<State>, StoreError> {
        let entry = self.cache.entry(scope.organization_id());
        let read = entry
            .and_try_compute_with(async |found| match found.map(moka::Entry::into_value) {
                Some(state) if heads.are_of(&state) => Ok(Op::Nop),
                _ => {
                    let mut read = self.database.read(scope).await?;
                    let state = self.read_through(&mut read, scope).await?;
                    read.finish().await?;
                    Ok::<_, StoreError>(Op::Put(state))
                }
            })
            .await?;
        match read {
            CompResult::Inserted(entry) | CompResult::ReplacedWith(entry) | CompResult::Unchanged(entry) => {
                Ok(entry.into_value())
            }
            CompResult::StillNone(_) | CompResult::Removed(_) => Err(StoreError::Corrupt("snapshot cache")),
        }
    }

    /// Reads all of it as the open transaction sees it.
    async fn read(&self, connection: &mut Connection, head: Head) -> Result<Arc<State>, StoreError> {
        let loaded = organization::load(connection, &head).await?;
        let (organization, faults) = (head.organization_id, loaded.faults);
        if faults.count > 0 && self.told.get(&(organization, faults)).is_none() {
            self.told.insert((organization, faults), ());
            let (rows, example) = (faults.count, faults.last);
            tracing::error!(%organization, rows, example, "stored rows cannot be read and grant nothing");
        }
        Ok(Arc::new(State::build(head, loaded, self.sealer()).await))
    }

    async fn read_through(&self, read: &mut Read, scope: OrganizationScope) -> Result<Arc<State>, StoreError> {
        let head = Head::find(read.connection(), scope.organization_id()).await?.ok_or(StoreError::TenantUnknown)?;
        self.read(read.connection(), head).await
    }

    /// The snapshot of exactly what an open reading transaction sees, for answers that also read rows in it.
    pub async fn of_read(&self, read: &mut Read, scope: OrganizationScope) -> Result<Arc<State>, StoreError> {
        let head = Head::find(read.connection(), scope.organization_id()).await?.ok_or(StoreError::TenantUnknown)?;
        let template = crate::store::template::revision(read.connection(), head.project_id).await?;
        if let Some(state) = self.cache.get(&scope.organization_id()).await
            && state.is_exactly(&head, template)
        {
            return Ok(state);
        }
        self.read(read.connection(), head).await
    }

    /// The snapshot of what an open write found, before it changes anything. The head is locked and the templates are held, so the
    /// two counters say it all: usually it is in memory, for the caller's own right was just decided by it.
    pub async fn of_write(&self, write: &mut Write, template: i64) -> Result<Arc<State>, StoreError> {
        let head = write.head().clone();
        if let Some(state) = self.cache.get(&head.organization_id).await
            && state.is_exactly(&head, template)
        {
            return Ok(state);
        }
        self.read(write.connection(), head).await
    }
}

/// Where the organization and its project stand, read after the question came.
struct Heads {
    organization: Head,
    project: Option<Head>,
}

impl Heads {
    async fn read(database: &Database, scope: OrganizationScope) -> Result<Self, StoreError> {
        let [organization, project] = database.heads(scope).await?;
        let organization = organization.filter(|head| head.project_id == scope.project_id());
        Ok(Self { organization: organization.ok_or(StoreError::TenantUnknown)?, project })
    }

    /// Whether the snapshot is of these heads, or of later ones.
    fn are_of(&self, state: &State) -> bool {
        let now = Revision::of_heads(&self.organization, self.project.as_ref());
        state.revision().incarnation == now.incarnation
            && state.revision().own >= now.own
            && state.revision().template >= now.template
            && state.state_revision() >= self.organization.state_revision
    }

    fn reached(&self, asked: Revision) -> Result<(), SnapshotError> {
        let named = [Some(&self.organization), self.project.as_ref()]
            .into_iter()
            .flatten()
            .any(|head| head.organization_id == asked.tenant && head.incarnation == asked.incarnation);
        let now = Revision::of_heads(&self.organization, self.project.as_ref());
        match named {
            false => Err(SnapshotError::Foreign),
            true if asked.own > now.own || asked.template > now.template => Err(SnapshotError::FromFuture),
            true => Ok(()),
        }
    }
}

/// For how many organizations the log remembers what it was told.
const MAX_TOLD: u64 = 10_000;

/// Snapshots of fewer rows are built where they are read; larger ones where they hold up nobody else.
const SMALL: usize = 2_000;

async fn build(data: engine::OrganizationData, rows: usize) -> Snapshot {
    if rows < SMALL {
        return Snapshot::build(&data);
    }
    match tokio::task::spawn_blocking(move || Snapshot::build(&data)).await {
        Ok(snapshot) => snapshot,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
