//! Turns: a tenant's writes wait for each other here, before they take a connection.
//!
//! All writes of a tenant wait for the lock of its head. Were they to wait for it in the database, each would hold a connection
//! meanwhile, and one busy tenant would soon hold them all.

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

/// One writes while the next has already begun its transaction, so that the head's lock goes from hand to hand without a pause.
const AT_ONCE: usize = 2;
/// A write that waited for longer is refused: its caller may try again.
const PATIENCE: Duration = Duration::from_secs(2);

/// The tenants that are being written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns(Arc<Mutex<HashMap<OrganizationId, Arc<Semaphore>>>>);

/// The right to write a tenant. Dropped, the next has it.
#[derive(Debug)]
pub(crate) struct Turn {
    permit: Option<OwnedSemaphorePermit>,
    tenant: OrganizationId,
    turns: Turns,
}

impl Turns {
    /// Waits for the tenant's turn, first come first served.
    pub(crate) async fn take(&self, tenant: OrganizationId) -> Result<Turn, StoreError> {
        let gate = {
            let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            gates.entry(tenant).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))).clone()
        };
        // Before the wait, so that a caller who gives up leaves no gate behind either.
        let mut turn = Turn { permit: None, tenant, turns: self.clone() };
        turn.permit = timeout(PATIENCE, gate.acquire_owned()).await.ok().and_then(Result::ok);
        if turn.permit.is_some() { Ok(turn) } else { Err(StoreError::Busy) }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.permit = None;
        let mut gates = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever waits holds the gate too.
        if gates.get(&self.tenant).is_some_and(|gate| Arc::strong_count(gate) == 1) {
            gates.remove(&self.tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreError;

    #[tokio::test(start_paused = true)]
    async fn a_tenant_waits_for_itself_alone_and_leaves_nothing_behind() {
        let (turns, busy, other) = (Turns::default(), OrganizationId::new(), OrganizationId::new());
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
        assert!(turns.0.lock().unwrap().is_empty());
    }
}
