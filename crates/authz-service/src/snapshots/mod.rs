//! An organization's authorization in memory, and how fresh it is known to be.
//!
//! A snapshot is read in one transaction, or follows on an earlier one by what happened since (`delta`), and never changes. It holds at two
//! counters: the organization's own revision, and its project's (catalogue and project roles). That it holds everything that was
//! committed before a moment is proven by a read of both heads, or of what came after it, that began at that moment (`State::prove`);
//! nothing else proves it. A proof is as old as the moment at which its read began.
//!
//! Questions that must not be old read the heads; the others are answered from memory while there is a proof within the bound. Those are
//! kept proven by a sweep over the heads of what is asked about, four times a second (`follow`). NOTIFY only makes it quicker that
//! news come in. What this process wrote itself takes away every proof that was older, at once (`floor`).

mod catalogs;
mod delta;
mod floor;
mod follow;
mod heads;
mod held;
mod measured;
mod sources;
mod state;
mod watch;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use access::Known;
use catalogs::Catalogs;
use delta::{Delta, Untold};
use engine::{OrganizationData, Snapshot};
use floor::Floors;
use heads::Heads;
use held::Held;
use measured::Measured;
use moka::{
    future::Cache,
    ops::compute::{CompResult, Op},
};
use state::Ground;
use tenancy::{Database, Head, OrganizationId, OrganizationScope, Read, Sealer, StoreError, Write, since};
use uuid::Uuid;

use crate::{
    model::Revision,
    store::{
        Connection,
        organization::{self, Faults},
    },
};

pub use state::State;
pub use watch::{News, Told};

/// How fresh an answer must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    MinimizeLatency,
    AtLeastAsFresh(Revision),
    FullyConsistent,
}

#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("the revision token is of another organization")]
    Foreign,
    #[error("the revision token is from before a restore of the database: drop it")]
    AnotherHistory,
    #[error("the organization has not reached this revision")]
    FromFuture,
    #[error("how fresh the answer would be cannot be proven")]
    Unproven,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The snapshots of the organizations that were asked about of late.
#[derive(Debug, Clone)]
pub struct Snapshots(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    database: Database,
    /// The longest ago that an answer from memory may be proven.
    bound: Duration,
    /// Bounded by the bytes that the snapshots take, about. What is asked about often is not pushed out by what is asked about once.
    cache: Cache<OrganizationId, Arc<State>>,
    /// Beside the cache, with a quarter of its bytes.
    held: Held,
    floors: Floors,
    catalogs: Catalogs,
    /// Who was asked about since the sweep last looked.
    asked: Mutex<Vec<OrganizationScope>>,
    /// The unreadable rows that the log has been told of: each once, not with every reading.
    told: moka::sync::Cache<(OrganizationId, Faults), ()>,
    measured: Measured,
}

/// For how many organizations the log remembers what it was told.
const MAX_TOLD: u64 = 10_000;

/// With more events to catch up on than these, an organization is read anew.
const MAX_FACTS: i64 = 500;

/// A caller waits no longer for an organization to be read.
const LOAD_PATIENCE: Duration = Duration::from_secs(20);

impl Snapshots {
    pub fn new(database: Database, max_bytes: u64, bound: Duration) -> Self {
        let cache = Cache::builder().max_capacity(max_bytes).weigher(|_, state: &Arc<State>| state.bytes()).build();
        Self(Arc::new(Inner {
            measured: Measured::of(&cache),
            database,
            bound,
            cache,
            held: Held::new(max_bytes / 4),
            floors: Floors::default(),
            catalogs: Catalogs::default(),
            asked: Mutex::default(),
            told: moka::sync::Cache::new(MAX_TOLD),
        }))
    }

    pub fn database(&self) -> &Database {
        &self.0.database
    }

    pub fn sealer(&self) -> &Sealer {
        self.0.database.sealer()
    }

    /// Nothing of the organization stays in memory.
    pub async fn forget(&self, organization: OrganizationId) {
        self.0.held.forget(organization);
        self.0.cache.invalidate(&organization).await;
    }

    async fn cached(&self, organization: OrganizationId) -> Option<Arc<State>> {
        self.0.cache.get(&organization).await
    }

    /// The snapshot in memory, if there is one, which the sweep then keeps proven.
    async fn asked(&self, organization: OrganizationId) -> Option<Arc<State>> {
        let state = self.cached(organization).await?;
        if state.note_asked() {
            self.0.asked.lock().unwrap_or_else(PoisonError::into_inner).push(state.scope());
        }
        Some(state)
    }

    /// The snapshot in memory of an organization, and what may be known of it without asking the database: nothing, unless that is
    /// proven within the bound.
    pub async fn at_hand(&self, organization: &str) -> Option<(Arc<State>, Option<Known>)> {
        let state = self.asked(organization.parse().ok()?).await?;
        let known = state.is_proven(self.0.bound).then(|| state.known());
        Some((state, known))
    }

    /// Keeps what a list is read from, so that its reader can go on at the same revision.
    pub fn hold(&self, state: &Arc<State>) {
        self.0.held.hold(state);
    }

    /// What decided at this revision, if it is still held, or is what decides now.
    pub async fn held(
        &self,
        scope: OrganizationScope,
        revision: &Revision,
    ) -> Result<Option<Arc<State>>, SnapshotError> {
        if let Some(state) = self.0.held.find(revision) {
            return Ok(Some(state));
        }
        let state = self.at(scope, Consistency::FullyConsistent).await?;
        Ok((state.revision() == *revision).then_some(state))
    }

    /// What decides in the organization, as fresh as asked for.
    pub async fn at(&self, scope: OrganizationScope, consistency: Consistency) -> Result<Arc<State>, SnapshotError> {
        let cached = self.asked(scope.organization_id()).await;
        self.no_older(cached, scope, consistency).await
    }

    /// The same for who has looked into memory already: that, if it is fresh enough.
    pub async fn no_older(
        &self,
        at_hand: Option<Arc<State>>,
        scope: OrganizationScope,
        consistency: Consistency,
    ) -> Result<Arc<State>, SnapshotError> {
        match (consistency, at_hand.filter(|state| state.scope() == scope)) {
            (Consistency::MinimizeLatency, Some(state)) if state.is_proven(self.0.bound) => {
                self.0.measured.hits.increment(1);
                return Ok(state);
            }
            (Consistency::AtLeastAsFresh(asked), Some(state)) if state.reached(asked) => {
                self.0.measured.hits.increment(1);
                return Ok(state);
            }
            (_, Some(_)) => self.0.measured.unproven.increment(1),
            (_, None) => self.0.measured.misses.increment(1),
        }
        Box::pin(self.proven(scope, consistency)).await
    }

    /// What decides in the organization as the database has it now.
    async fn proven(&self, scope: OrganizationScope, consistency: Consistency) -> Result<Arc<State>, SnapshotError> {
        let heads = match Heads::read(&self.0.database, scope).await {
            Err(StoreError::Busy) => return Err(SnapshotError::Unproven),
            heads => heads?,
        };
        if let Consistency::AtLeastAsFresh(asked) = consistency {
            heads.reached(asked)?;
        }
        self.bring(scope, &heads).await
    }

    /// The organization at these heads, or later ones. Of many who want it at once one reads; the others find what it read.
    async fn bring(&self, scope: OrganizationScope, heads: &Heads) -> Result<Arc<State>, SnapshotError> {
        let fit = |state: &Arc<State>| state.scope() == scope && state.covers(heads);
        let state = match self.cached(scope.organization_id()).await.filter(fit) {
            Some(state) => state,
            None => {
                let entry = self.0.cache.entry(scope.organization_id());
                let brought = entry.and_try_compute_with(async |found| match found.map(moka::Entry::into_value) {
                    Some(state) if fit(&state) => Ok(Op::Nop),
                    Some(state) if state.scope() == scope => self.forward(&state, heads).await.map(Op::Put),
                    _ => self.load(scope, heads).await.map(Op::Put),
                });
                let brought = tokio::time::timeout(LOAD_PATIENCE, brought).await;
                match brought.map_err(|_| SnapshotError::Unproven)?? {
                    CompResult::Inserted(entry) | CompResult::ReplacedWith(entry) | CompResult::Unchanged(entry) => {
                        entry.into_value()
                    }
                    CompResult::StillNone(_) | CompResult::Removed(_) => {
                        return Err(StoreError::Corrupt("snapshot cache").into());
                    }
                }
            }
        };
        // Between the heads and the state lay another history: neither proves anything of the other.
        if !fit(&state) {
            return Err(SnapshotError::Unproven);
        }
        state.prove(heads.as_of);
        Ok(state)
    }

    /// The state that follows on this one by what happened since, or the organization read anew where that cannot be told.
    async fn forward(&self, state: &State, heads: &Heads) -> Result<Arc<State>, StoreError> {
        let behind =
            state.revision().own <= heads.revision().own && state.revision().template <= heads.revision().template;
        if behind
            && state.is_of(heads)
            && !state.is_faulty()
            && let Some(state) = self.follow_on(state).await?
        {
            return Ok(state);
        }
        self.load(state.scope(), heads).await
    }

    /// Whether what the database holds by now is as fresh as asked for: for answers that are read there, in a transaction that begins
    /// after this.
    pub async fn reached(&self, scope: OrganizationScope, consistency: Consistency) -> Result<(), SnapshotError> {
        let heads = Heads::read(&self.0.database, scope).await?;
        match consistency {
            Consistency::AtLeastAsFresh(revision) => heads.reached(revision),
            Consistency::MinimizeLatency | Consistency::FullyConsistent => Ok(()),
        }
    }

    /// None where it cannot be told.
    async fn follow_on(&self, state: &State) -> Result<Option<Arc<State>>, StoreError> {
        let Revision { own, template, .. } = state.revision();
        let since = since::since(&self.0.database, state.scope(), own, template, MAX_FACTS).await?;
        let since = since.ok_or(StoreError::TenantUnknown)?;
        let heads = Heads {
            organization: since.organization.head.clone(),
            project: since.project.as_ref().map(|news| news.head.clone()),
            as_of: since.as_of,
        };
        let Ok(delta) = self.told(&since, state.revision()) else { return Ok(None) };
        if !state.is_of(&heads) {
            return Ok(None);
        }
        let Revision { own, template, .. } = heads.revision();
        let state = Arc::new(state.after(delta, own, template, self.sealer()));
        state.prove(since.as_of);
        Ok(Some(state))
    }

    /// What came after a revision, of both tenants.
    fn told(&self, since: &since::Since, after: Revision) -> Result<Delta<'_>, Untold> {
        let since::Since { organization, project, .. } = since;
        let mut delta = Delta::of(&self.0.catalogs, organization.head.project_id);
        if let Some(project) = project {
            delta.take(project.facts.as_deref().ok_or(Untold)?, after.template, project.head.revision)?;
        }
        delta.take(organization.facts.as_deref().ok_or(Untold)?, after.own, organization.head.revision)?;
        if delta.state.is_some() {
            delta.in_force(organization.head.state);
        }
        Ok(delta)
    }

    /// Reads all of the organization, in one transaction that sees one moment.
    async fn load(&self, scope: OrganizationScope, heads: &Heads) -> Result<Arc<State>, StoreError> {
        self.0.measured.loads.increment(1);
        let ground = self.ground(scope, heads.organization.incarnation, heads.project.as_ref());
        let mut read = self.0.database.read(scope).await?;
        let head = Head::find(read.connection(), scope.organization_id()).await?.ok_or(StoreError::TenantUnknown)?;
        let state = self.read(read.connection(), scope, &head, ground).await?;
        read.finish();
        Ok(state)
    }

    fn ground(&self, scope: OrganizationScope, incarnation: Uuid, project: Option<&Head>) -> Ground {
        let project_incarnation = project.map(|head| head.incarnation);
        Ground {
            project_incarnation,
            own_floor: self.0.floors.of(scope.organization_id(), incarnation),
            template_floor: self.0.floors.of(scope.project_id().into(), project_incarnation.unwrap_or_default()),
        }
    }

    /// Reads all of it as the open transaction sees it.
    async fn read(
        &self,
        connection: &mut Connection,
        scope: OrganizationScope,
        head: &Head,
        ground: Ground,
    ) -> Result<Arc<State>, StoreError> {
        let loaded =
            organization::load(connection, head, |stored| self.0.catalogs.of(head.project_id, stored).ok()).await?;
        let (organization, faults) = (head.organization_id, loaded.faults);
        if faults.count > 0 && self.0.told.get(&(organization, faults)).is_none() {
            self.0.told.insert((organization, faults), ());
            let (rows, example) = (faults.count, faults.last);
            tracing::error!(%organization, rows, example, "stored rows cannot be read and grant nothing");
        }
        Ok(Arc::new(State::build(head, loaded, scope, ground, self.sealer()).await))
    }

    /// The snapshot of exactly what an open reading transaction sees, for answers that also read rows in it.
    pub async fn of_read(&self, read: &mut Read, scope: OrganizationScope) -> Result<Arc<State>, StoreError> {
        let head = Head::find(read.connection(), scope.organization_id()).await?.ok_or(StoreError::TenantUnknown)?;
        let template = crate::store::template::revision(read.connection(), head.project_id).await?;
        self.exactly(read.connection(), scope, &head, template).await
    }

    /// The snapshot of what an open write found, before it changes anything. The head is locked and the templates are held, so the
    /// two counters say it all: usually it is in memory, for the caller's own right was just decided by it.
    pub async fn of_write(&self, write: &mut Write, template: i64) -> Result<Arc<State>, StoreError> {
        let (head, scope) = (write.head().clone(), write.scope());
        self.exactly(write.connection(), scope, &head, template).await
    }

    async fn exactly(
        &self,
        connection: &mut Connection,
        scope: OrganizationScope,
        head: &Head,
        template: i64,
    ) -> Result<Arc<State>, StoreError> {
        match self.cached(head.organization_id).await {
            Some(state) if state.is_exactly(head, template) => Ok(state),
            // It is for this one answer, and proves nothing to another.
            _ => self.read(connection, scope, head, self.ground(scope, head.incarnation, None)).await,
        }
    }
}

/// Snapshots of fewer rows are built where they are read; larger ones where they hold up nobody else.
const SMALL: usize = 2_000;

async fn build(data: OrganizationData, rows: usize) -> Snapshot {
    if rows < SMALL {
        return Snapshot::build(&data);
    }
    match tokio::task::spawn_blocking(move || Snapshot::build(&data)).await {
        Ok(snapshot) => snapshot,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
