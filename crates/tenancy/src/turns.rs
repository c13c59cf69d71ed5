//! Turns: a tenant's writes wait for each other here, before they take a connection.
//!
//! All writes of a tenant wait for the lock of its head. Were they to wait for it in the database, each would hold a connection
//! meanwhile, and one busy tenant would soon hold them all.
//!
//! Scans of a tenant's log take turns too, and of all tenants' together only so many are under way: each is a caller's word and a
//! database's work.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{OrganizationId, StoreError};

/// The tenants that are at it.
#[derive(Debug, Clone)]
pub(crate) struct Turns {
    gates: Arc<Mutex<HashMap<OrganizationId, Arc<Semaphore>>>>,
    /// How many of one tenant go at once.
    at_once: usize,
    /// Who waited for longer is refused, and may try again.
    patience: Duration,
}

/// The right to write a tenant. Dropped, the next has it.
#[derive(Debug)]
pub(crate) struct Turn {
    permit: Option<OwnedSemaphorePermit>,
    tenant: OrganizationId,
    turns: Turns,
}

impl Turns {
    fn new(at_once: usize, patience: Duration) -> Self {
        Self { gates: Arc::default(), at_once, patience }
    }

    /// One writes while the next has already begun its transaction, so that the head's lock goes from hand to hand without a pause.
    pub(crate) fn of_writes() -> Self {
        Self::new(2, Duration::from_secs(2))
    }

    /// Waits for the tenant's turn, first come first served.
    pub(crate) async fn take(&self, tenant: OrganizationId) -> Result<Turn, StoreError> {
        let gate = {
            let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
            gates.entry(tenant).or_insert_with(|| Arc::new(Semaphore::new(self.at_once))).clone()
        };
        // Before the wait, so that a caller who gives up leaves no gate behind either.
        let mut turn = Turn { permit: None, tenant, turns: self.clone() };
        turn.permit = timeout(self.patience, gate.acquire_owned()).await.ok().and_then(Result::ok);
        if turn.permit.is_some() { Ok(turn) } else { Err(StoreError::Busy) }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.permit = None;
        let mut gates = self.turns.gates.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever waits holds the gate too.
        if gates.get(&self.tenant).is_some_and(|gate| Arc::strong_count(gate) == 1) {
            gates.remove(&self.tenant);
        }
    }
}

/// Scans of one kind, of all tenants.
#[derive(Debug, Clone)]
pub(crate) struct Scans {
    turns: Turns,
    places: Arc<Semaphore>,
}

/// A scan that is under way.
#[derive(Debug)]
pub(crate) struct Scan {
    _turn: Turn,
    _place: OwnedSemaphorePermit,
}

impl Scans {
    fn new(places: usize, turns: Turns) -> Self {
        Self { turns, places: Arc::new(Semaphore::new(places)) }
    }

    /// Pages of the audit log: short, so they wait for each other a little.
    pub(crate) fn of_log_pages() -> Self {
        Self::new(6, Turns::new(2, Duration::from_millis(500)))
    }

    /// Walks over a whole chain: as long as the chain, so nobody waits for one.
    pub(crate) fn of_chain_walks() -> Self {
        Self::new(2, Turns::new(1, Duration::ZERO))
    }

    /// Refused as busy where the tenant or all of them have enough under way.
    pub(crate) async fn enter(&self, tenant: OrganizationId) -> Result<Scan, StoreError> {
        let turn = self.turns.take(tenant).await?;
        let place = self.places.clone().try_acquire_owned().map_err(|_| StoreError::Busy)?;
        Ok(Scan { _turn: turn, _place: place })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreError;

    #[tokio::test(start_paused = true)]
    async fn a_tenant_waits_for_itself_alone_and_leaves_nothing_behind() {
        let (turns, busy, other) = (Turns::of_writes(), OrganizationId::new(), OrganizationId::new());
        let first = turns.take(busy).await.unwrap();
        let second = turns.take(busy).await.unwrap();
        assert!(matches!(turns.take(busy).await, Err(StoreError::Busy)));
        drop(turns.take(other).await.unwrap());
        let waiting = tokio::spawn({
            let turns = turns.clone();
            async move { turns.take(busy).await }
        });
        tokio::task::yield_now().await;
        drop(first);
        let third = waiting.await.unwrap().unwrap();
        drop((second, third));
        assert!(turns.gates.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_tenant_walks_once_and_all_of_them_only_so_often() {
        let (scans, busy) = (Scans::of_chain_walks(), OrganizationId::new());
        let first = scans.enter(busy).await.unwrap();
        assert!(matches!(scans.enter(busy).await, Err(StoreError::Busy)));
        let other = scans.enter(OrganizationId::new()).await.unwrap();
        assert!(matches!(scans.enter(OrganizationId::new()).await, Err(StoreError::Busy)), "two are all");
        drop((first, other));
        drop(scans.enter(busy).await.unwrap());
        assert!(scans.turns.gates.lock().unwrap().is_empty());
    }
}
