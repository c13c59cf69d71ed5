use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use access::Known;
use engine::{BindingId, BuiltinRole, RoleId, Snapshot};
use tenancy::{AsOf, Head, Moment, OrganizationScope, OrganizationState, Sealer};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{build, delta::Delta, floor::Floor, heads::Heads, sources::Sources};
use crate::{
    model::{Revision, RoleSource},
    store::organization::Loaded,
};

/// About what a state takes beside the engine's part: itself, and the parts of its sources.
const BYTES: usize = 16 * 1024;
/// And for each role that has a key.
const BYTES_A_KEY: usize = 96;

/// One organization's authorization at one revision, with the names that answers use beside the engine's. What it says never changes;
/// what is known of how fresh it is does.
#[derive(Debug)]
pub struct State {
    pub engine: Snapshot,
    scope: OrganizationScope,
    /// The state in force, and whether the project is archived.
    organization: OrganizationState,
    archived: bool,
    revision: Revision,
    project_incarnation: Option<Uuid>,
    /// The token of `revision`, made once: it is in every answer.
    token: String,
    keys: Arc<HashMap<RoleId, Box<str>>>,
    sources: Sources,
    /// Rows that cannot be read make what it says depend on more than events tell.
    faulty: bool,
    own_floor: Arc<Floor>,
    template_floor: Arc<Floor>,
    /// When what it says had been read.
    made: Moment,
    /// The last moment before which nothing was committed that it does not hold, and the same by the database's clock (microseconds).
    proven: AtomicU64,
    proven_time: AtomicI64,
    /// Whether somebody was answered from it since the sweep last looked.
    asked: AtomicBool,
}

/// What a state stands on: where the tenants were known to be before it was read.
#[derive(Debug, Clone)]
pub struct Ground {
    pub project_incarnation: Option<Uuid>,
    pub own_floor: Arc<Floor>,
    pub template_floor: Arc<Floor>,
}

impl State {
    pub async fn build(head: &Head, loaded: Loaded, scope: OrganizationScope, ground: Ground, sealer: &Sealer) -> Self {
        let revision = Revision { template: loaded.template, ..Revision::of_heads(head, None) };
        let Ground { project_incarnation, own_floor, template_floor } = ground;
        Self {
            engine: build(loaded.data, loaded.rows).await,
            scope,
            organization: head.state,
            archived: head.archived,
            revision,
            project_incarnation,
            token: revision.token(sealer),
            keys: Arc::new(
                loaded.roles.into_iter().map(|role| (role.role_id.uuid().into(), role.key.into())).collect(),
            ),
            sources: Sources::new(loaded.sources.into_iter().map(|(id, source)| (id.into(), source))),
            faulty: loaded.faults.count > 0,
            own_floor,
            template_floor,
            made: Moment::now(),
            proven: AtomicU64::default(),
            proven_time: AtomicI64::default(),
            asked: AtomicBool::default(),
        }
    }

    /// The state that follows on this one by all that happened up to `own` and `template`. It holds whatever this one holds, and so is
    /// as fresh at least.
    pub fn after(&self, delta: Delta<'_>, own: i64, template: i64, sealer: &Sealer) -> Self {
        let revision = Revision { own, template, ..self.revision };
        let mut keys = self.keys.clone();
        for (role, key) in delta.keys {
            match key {
                Some(key) => Arc::make_mut(&mut keys).insert(role, key),
                None => Arc::make_mut(&mut keys).remove(&role),
            };
        }
        let mut sources = self.sources.clone();
        delta.sources.into_iter().for_each(|(binding, source)| sources.set(binding, source));
        Self {
            engine: self.engine.apply(&delta.changes),
            scope: self.scope,
            organization: delta.state.unwrap_or(self.organization),
            archived: self.archived,
            revision,
            project_incarnation: self.project_incarnation,
            token: revision.token(sealer),
            keys,
            sources,
            faulty: self.faulty,
            own_floor: self.own_floor.clone(),
            template_floor: self.template_floor.clone(),
            made: Moment::now(),
            proven: AtomicU64::new(self.proven.load(Ordering::Acquire)),
            proven_time: AtomicI64::new(self.proven_time.load(Ordering::Acquire)),
            asked: AtomicBool::default(),
        }
    }

    pub fn revision(&self) -> Revision {
        self.revision
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    pub(super) fn scope(&self) -> OrganizationScope {
        self.scope
    }

    /// Whether there are rows in it that cannot be read.
    pub fn is_faulty(&self) -> bool {
        self.faulty
    }

    /// What a door may know of the organization.
    pub(super) fn known(&self) -> Known {
        Known { project: self.scope.project_id(), state: self.organization, archived: self.archived }
    }

    /// One may wait on these for news.
    pub fn floors(&self) -> [&Arc<Floor>; 2] {
        [&self.own_floor, &self.template_floor]
    }

    pub(super) fn is_exactly(&self, head: &Head, template: i64) -> bool {
        self.revision == Revision { template, ..Revision::of_heads(head, None) }
    }

    /// Whether it is of the histories that the heads are of.
    pub(super) fn is_of(&self, heads: &Heads) -> bool {
        self.revision.incarnation == heads.organization.incarnation
            && self.project_incarnation == heads.project.as_ref().map(|head| head.incarnation)
    }

    /// Whether it holds all that was committed when the heads were read. A state that was there before they were read and is ahead of
    /// them is of a history that was undone.
    pub(super) fn covers(&self, heads: &Heads) -> bool {
        let now = heads.revision();
        let same = self.revision.own == now.own && self.revision.template == now.template;
        let later = self.revision.own >= now.own && self.revision.template >= now.template;
        self.is_of(heads) && (same || later && self.made > heads.as_of.moment)
    }

    pub(super) fn is_before(&self, other: &Self) -> bool {
        (self.revision.own, self.revision.template) < (other.revision.own, other.revision.template)
            && self.revision.incarnation == other.revision.incarnation
    }

    /// Takes note that it holds all that was committed before.
    pub(super) fn prove_at(&self, moment: Moment) {
        self.proven.fetch_max(moment.nanoseconds(), Ordering::AcqRel);
    }

    /// The same by both clocks.
    pub(super) fn prove(&self, as_of: AsOf) {
        self.prove_at(as_of.moment);
        let micros = i64::try_from(as_of.time.unix_timestamp_nanos() / 1000).unwrap_or(0);
        self.proven_time.fetch_max(micros, Ordering::AcqRel);
    }

    /// Whether everything is in it that was committed up to `bound` ago, and all that this process wrote.
    pub(super) fn is_proven(&self, bound: Duration) -> bool {
        self.own_floor.revision() <= self.revision.own
            && self.template_floor.revision() <= self.revision.template
            && self.age() <= bound
    }

    /// How old the proof is.
    pub(super) fn age(&self) -> Duration {
        Moment::from_nanoseconds(self.proven.load(Ordering::Acquire)).age()
    }

    /// Everything that was committed before, by the database's clock, is in it.
    pub fn proven_time(&self) -> OffsetDateTime {
        let micros = self.proven_time.load(Ordering::Acquire);
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// Whether it holds what the token names, as its own history tells.
    pub(super) fn reached(&self, asked: Revision) -> bool {
        let of_project = Some(asked.incarnation) == self.project_incarnation
            && asked.tenant == self.scope.project_id().into()
            && asked.own == 0;
        let own = asked.tenant == self.revision.tenant && asked.incarnation == self.revision.incarnation;
        (own || of_project) && self.revision.own >= asked.own && self.revision.template >= asked.template
    }

    /// True the first time after the sweep has looked.
    pub(super) fn note_asked(&self) -> bool {
        // Reads first: a line of memory that is only read is shared by all cores.
        !self.asked.load(Ordering::Relaxed) && !self.asked.swap(true, Ordering::Relaxed)
    }

    pub(super) fn look(&self) {
        self.asked.store(false, Ordering::Relaxed);
    }

    /// The key of a role; empty where there is no such role any more.
    pub fn key(&self, role: RoleId) -> &str {
        match BuiltinRole::by_id(role) {
            Some(builtin) => builtin.key,
            None => self.keys.get(&role).map_or("", |key| key),
        }
    }

    /// The role of a key, builtin ones included.
    pub fn role(&self, key: &str) -> Option<RoleId> {
        match BuiltinRole::by_key(key) {
            Some(builtin) => Some(builtin.id),
            None => self.keys.iter().find(|(_, other)| ***other == *key).map(|(id, _)| *id),
        }
    }

    pub fn knows_role(&self, role: RoleId) -> bool {
        engine::is_builtin(role) || self.keys.contains_key(&role)
    }

    /// Why an allow binding at the organization exists.
    pub fn source(&self, binding: BindingId) -> RoleSource {
        self.sources.of(binding)
    }

    pub(super) fn bytes(&self) -> u32 {
        u32::try_from(self.engine.bytes() + BYTES + self.keys.len() * BYTES_A_KEY).unwrap_or(u32::MAX)
    }
}
