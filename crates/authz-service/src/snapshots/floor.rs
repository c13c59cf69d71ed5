use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use tenancy::OrganizationId;
use tokio::sync::Notify;
use uuid::Uuid;

/// The revision that one tenant is known to have reached, in one incarnation. A snapshot below it proves nothing any more, whatever was
/// proven of it before: what this process wrote it never forgets, not for an instant.
#[derive(Debug, Default)]
pub struct Floor {
    revision: AtomicI64,
    raised: Notify,
}

impl Floor {
    pub fn revision(&self) -> i64 {
        self.revision.load(Ordering::Acquire)
    }

    fn raise(&self, revision: i64) {
        if self.revision.fetch_max(revision, Ordering::AcqRel) < revision {
            self.raised.notify_waiters();
        }
    }

    /// Ends when it is raised after this call.
    pub async fn raised(&self) {
        self.raised.notified().await;
    }
}

/// The floors that somebody holds.
#[derive(Debug, Default)]
pub struct Floors(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    floors: HashMap<(OrganizationId, Uuid), Arc<Floor>>,
    /// Those that nobody holds any more are dropped when there are as many.
    limit: usize,
}

const FEW: usize = 1024;

impl Floors {
    /// Must be taken before what stands on it is read: a write between the two then shows.
    pub fn of(&self, tenant: OrganizationId, incarnation: Uuid) -> Arc<Floor> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.floors.len() >= held.limit.max(FEW) {
            held.floors.retain(|_, floor| Arc::strong_count(floor) > 1);
            held.limit = held.floors.len() * 2;
        }
        held.floors.entry((tenant, incarnation)).or_default().clone()
    }

    /// Nothing where nobody holds it.
    pub fn raise(&self, tenant: OrganizationId, incarnation: Uuid, revision: i64) {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Who stands on a tenant that was not there yet stands on the nil incarnation.
        for incarnation in [incarnation, Uuid::nil()] {
            if let Some(floor) = held.floors.get(&(tenant, incarnation)) {
                floor.raise(revision);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_is_one_for_all_who_hold_it_and_never_sinks() {
        let (floors, tenant, incarnation) = (Floors::default(), OrganizationId::new(), Uuid::from_u128(1));
        floors.raise(tenant, incarnation, 9);
        let floor = floors.of(tenant, incarnation);
        assert_eq!(floor.revision(), 0, "nobody held it");
        floors.raise(tenant, incarnation, 7);
        floors.raise(tenant, incarnation, 5);
        floors.raise(tenant, Uuid::from_u128(2), 11);
        assert_eq!((floor.revision(), floors.of(tenant, incarnation).revision()), (7, 7));
        let not_there_yet = floors.of(tenant, Uuid::nil());
        floors.raise(tenant, incarnation, 3);
        assert_eq!((not_there_yet.revision(), floor.revision()), (3, 7), "it has come to be");
    }

    #[test]
    fn floors_that_nobody_holds_go() {
        let floors = Floors::default();
        let kept = floors.of(OrganizationId::new(), Uuid::nil());
        for _ in 0..FEW * 8 {
            floors.of(OrganizationId::new(), Uuid::nil());
        }
        let held = floors.0.lock().unwrap();
        assert!(held.floors.len() <= FEW * 2 && held.floors.values().any(|floor| Arc::ptr_eq(floor, &kept)));
    }
}
