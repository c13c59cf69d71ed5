use std::{sync::Arc, time::Duration};

use metrics::{Counter, Gauge};
use moka::future::Cache;
use tenancy::OrganizationId;

use super::State;

/// What is counted of the snapshots. The handles are kept: a look into memory is too quick to search for one.
#[derive(Debug)]
pub struct Measured {
    pub hits: Counter,
    pub unproven: Counter,
    pub misses: Counter,
    pub loads: Counter,
    staleness: Gauge,
}

impl Measured {
    pub fn of(cache: &Cache<OrganizationId, Arc<State>>) -> Self {
        let (count, bytes) =
            (meters::SNAPSHOT_COUNT.gauge(meters::NO_LABELS), meters::SNAPSHOT_BYTES.gauge(meters::NO_LABELS));
        let cache = cache.clone();
        #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 bytes nobody reads the last one")]
        meters::observe(move || {
            count.set(cache.entry_count() as f64);
            bytes.set(cache.weighted_size() as f64);
        });
        let looked = |outcome| meters::SNAPSHOT_LOOKUPS.counter(&[("outcome", outcome)]);
        Self {
            hits: looked("hit"),
            unproven: looked("unproven"),
            misses: looked("miss"),
            loads: meters::SNAPSHOT_LOADS.counter(meters::NO_LABELS),
            staleness: meters::SNAPSHOT_STALENESS.gauge(meters::NO_LABELS),
        }
    }

    /// What the sweep found: the age of the oldest proof.
    pub fn found(&self, oldest: Duration) {
        self.staleness.set(oldest.as_secs_f64());
    }
}
