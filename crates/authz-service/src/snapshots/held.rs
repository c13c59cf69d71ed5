//! Snapshots that lists are being read from. The organization goes on meanwhile; whoever reads a list does not see it.

use std::{sync::Arc, time::Duration};

use moka::sync::Cache;
use tenancy::OrganizationId;

use super::State;
use crate::model::Revision;

/// For how long after it was last read from. The contract says so.
const KEPT: Duration = Duration::from_secs(600);

/// By the revision that each is of. Bounded by the bytes that they take, about: what nobody has read from for longest goes.
#[derive(Debug, Clone)]
pub(super) struct Held(Cache<Revision, Arc<State>>);

impl Held {
    pub(super) fn new(max_bytes: u64) -> Self {
        let cache = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|_, state: &Arc<State>| state.bytes())
            .time_to_idle(KEPT)
            .support_invalidation_closures();
        Self(cache.build())
    }

    /// From now on, for as long as the time and the memory allow.
    pub(super) fn hold(&self, state: &Arc<State>) {
        if self.0.get(&state.revision()).is_none() {
            self.0.insert(state.revision(), Arc::clone(state));
        }
    }

    pub(super) fn find(&self, revision: &Revision) -> Option<Arc<State>> {
        self.0.get(revision)
    }

    pub(super) fn forget(&self, organization: OrganizationId) {
        // An error would say that closures are not supported, which they are.
        let _ = self.0.invalidate_entries_if(move |revision, _| revision.tenant == organization);
    }
}
