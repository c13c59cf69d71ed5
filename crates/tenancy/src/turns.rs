//! Turns: what must not be done by many at once for one key waits here, each key for itself alone, and for a bounded time.
//!
//! A tenant's writes wait here for the lock of its head, before they take a connection: were they to wait for it in the database,
//! each would hold a connection meanwhile, and one busy tenant would soon hold them all.
//!
//! Where each is a caller's word and takes long, such as a scan of a tenant's log or a question to a server of the tenant's own, there are
//! places besides: of all tenants' together only so many are under way.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{OrganizationId, StoreError};

/// How many have their turn at once for one key, and how long the others wait at most.
#[derive(Debug)]
pub struct Turns<K: Eq + Hash> {
    at_once: usize,
    patience: Duration,
    gates: Gates<K>,
}

/// The keys that somebody has a turn for, or waits for one.
type Gates<K> = Arc<Mutex<HashMap<K, Arc<Semaphore>>>>;

/// The right to go ahead. Dropped, the next has it.
#[derive(Debug)]
pub struct Turn<K: Eq + Hash> {
    permit: Option<OwnedSemaphorePermit>,
    key: K,
    gates: Gates<K>,
}

impl<K: Eq + Hash> Clone for Turns<K> {
    fn clone(&self) -> Self {
        Self { at_once: self.at_once, patience: self.patience, gates: self.gates.clone() }
    }
}

impl<K: Eq + Hash + Clone> Turns<K> {
    pub fn new(at_once: usize, patience: Duration) -> Self {
        Self { at_once, patience, gates: Gates::default() }
    }

    /// Waits for the key's turn, first come first served. Whoever waited for too long is refused as Busy, and may try again.
    pub async fn take(&self, key: K) -> Result<Turn<K>, StoreError> {
        let gate = {
            let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
            gates.entry(key.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.at_once))).clone()
        };
        // Before the wait, so that a caller who gives up leaves no gate behind either.
        let mut turn = Turn { permit: None, key, gates: self.gates.clone() };
        turn.permit = timeout(self.patience, gate.acquire_owned()).await.ok().and_then(Result::ok);
        if turn.permit.is_some() { Ok(turn) } else { Err(StoreError::Busy) }
    }
}

impl<K: Eq + Hash> Drop for Turn<K> {
    fn drop(&mut self) {
        self.permit = None;
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever waits holds the gate too.
        if gates.get(&self.key).is_some_and(|gate| Arc::strong_count(gate) == 1) {
            gates.remove(&self.key);
        }
    }
}

/// Places for what takes long, of all tenants.
#[derive(Debug, Clone)]
pub struct Places {
    turns: Turns<OrganizationId>,
    places: Arc<Semaphore>,
}

/// The right to be under way.
#[derive(Debug)]
pub struct Place {
    _turn: Turn<OrganizationId>,
    _place: OwnedSemaphorePermit,
}

impl Places {
    pub fn new(places: usize, turns: Turns<OrganizationId>) -> Self {
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

    /// Refused as Busy where the tenant or all of them have enough under way.
    pub async fn enter(&self, tenant: OrganizationId) -> Result<Place, StoreError> {
        let turn = self.turns.take(tenant).await?;
        let place = self.places.clone().try_acquire_owned().map_err(|_| StoreError::Busy)?;
        Ok(Place { _turn: turn, _place: place })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_waits_for_itself_alone_and_leaves_nothing_behind() {
        let (turns, busy, other) = (Turns::new(2, Duration::from_secs(2)), "busy", "other");
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
        let (places, busy) = (Places::of_chain_walks(), OrganizationId::new());
        let first = places.enter(busy).await.unwrap();
        assert!(matches!(places.enter(busy).await, Err(StoreError::Busy)));
        let other = places.enter(OrganizationId::new()).await.unwrap();
        assert!(matches!(places.enter(OrganizationId::new()).await, Err(StoreError::Busy)), "two are all");
        drop((first, other));
        drop(places.enter(busy).await.unwrap());
        assert!(places.turns.gates.lock().unwrap().is_empty());
    }
}
