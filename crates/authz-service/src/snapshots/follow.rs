//! What keeps snapshots fresh in the background.
//!
//! The sweep is the guarantee: four times a second it reads the heads of what was asked about of late, proves what is still true and brings
//! the rest forward. Hints make it quicker: of this process's own writes, which its snapshots follow without a read, and of the
//! writes of others, by NOTIFY. A hint proves nothing, and one that is lost costs a quarter of a second.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    mem,
    sync::{Arc, PoisonError, Weak},
    time::Duration,
};

use tenancy::{
    Head, OrganizationId, OrganizationScope, StoreError,
    hints::{Committed, Heard},
};
use tokio::{
    sync::{Semaphore, mpsc},
    time::{MissedTickBehavior, interval},
};
use uuid::Uuid;

use super::{Inner, Snapshots, State, delta::Delta, heads::Heads};

const SWEEP: Duration = Duration::from_millis(250);
/// A sweep reads the heads of at most so many organizations, and of their projects. Of more, each has its turn less often.
const SWEPT_AT_ONCE: usize = 4096;
/// More than these are not swept: whoever asks about one of the others waits for its head to be read.
const MAX_SWEPT: usize = 4 * SWEPT_AT_ONCE;
/// After so many sweeps in which nobody asked, an organization is left out.
const IDLE_SWEEPS: u32 = 40;
/// Organizations that are brought forward at one time in the background, each with a connection of the pool.
const BROUGHT_AT_ONCE: usize = 4;
/// Writes and hints that wait; of more, the sweep tells.
const WAITING: usize = 4096;
const CHANNEL: &str = "guildhall_authz";
/// Hints that go out in one statement.
const HINTS_AT_ONCE: usize = 256;

/// Who was asked about of late, in the order of their turns.
#[derive(Debug, Default)]
struct Swept {
    turns: VecDeque<OrganizationScope>,
    /// For how many of its turns nobody has asked.
    idle: HashMap<OrganizationId, u32>,
}

impl Swept {
    fn take(&mut self, asked: Vec<OrganizationScope>) {
        for scope in asked {
            if self.idle.len() >= MAX_SWEPT && !self.idle.contains_key(&scope.organization_id()) {
                continue;
            }
            if self.idle.insert(scope.organization_id(), 0).is_none() {
                self.turns.push_back(scope);
            }
        }
    }

    /// Whose turn it is.
    fn turn(&mut self) -> Vec<OrganizationScope> {
        let mut turn = Vec::with_capacity(self.turns.len().min(SWEPT_AT_ONCE));
        for scope in self.turns.drain(..self.turns.len().min(SWEPT_AT_ONCE)).collect::<Vec<_>>() {
            let idle = self.idle.entry(scope.organization_id()).or_default();
            *idle += 1;
            if *idle > IDLE_SWEEPS {
                self.idle.remove(&scope.organization_id());
            } else {
                self.turns.push_back(scope);
                turn.push(scope);
            }
        }
        turn
    }
}

/// The background work on snapshots.
#[derive(Debug)]
pub struct Follower {
    snapshots: Snapshots,
    committed: mpsc::Receiver<Committed>,
    bringing: Arc<Semaphore>,
}

impl Snapshots {
    /// Once in the life of a process.
    pub fn follower(&self) -> Follower {
        let (sender, committed) = mpsc::channel(WAITING);
        let inner: Weak<Inner> = Arc::downgrade(&self.0);
        self.database().on_commit(move |word| {
            let Some(inner) = inner.upgrade() else { return };
            // Before the writer's caller hears of it: none of this process's answers forgets it.
            inner.floors.raise(word.head.organization_id, word.head.incarnation, word.revision);
            let _ = sender.try_send(word);
        });
        Follower { snapshots: self.clone(), committed, bringing: Arc::new(Semaphore::new(BROUGHT_AT_ONCE)) }
    }

    /// What a write of this process made of the snapshot that it found.
    async fn carry(&self, committed: &Committed) {
        let head = &committed.head;
        let Some(state) = self.cached(head.organization_id).await else { return };
        let found = committed.beside.is_some_and(|template| state.is_exactly(head, template));
        if !found || state.is_faulty() || head.archived {
            return;
        }
        let mut delta = Delta::of(&self.0.catalogs, head.project_id);
        if committed.events.iter().any(|event| delta.tell(event.kind, &event.payload).is_err()) {
            return;
        }
        let template = state.revision().template;
        let next = state.after(delta, committed.revision, template, self.sealer());
        next.prove_at(committed.moment);
        let newest = self.cached(head.organization_id).await;
        if newest.is_some_and(|newest| newest.is_before(&next)) {
            self.0.cache.insert(head.organization_id, Arc::new(next)).await;
        }
    }
}

impl Follower {
    /// Ends only with the task.
    pub async fn run(self) {
        let Self { snapshots, mut committed, bringing } = self;
        let (sender, hints) = mpsc::channel(WAITING);
        let carry = async {
            while let Some(committed) = committed.recv().await {
                snapshots.carry(&committed).await;
                let Head { organization_id, incarnation, .. } = &committed.head;
                let _ = sender.try_send(format!("{} {incarnation} {}", organization_id.uuid(), committed.revision));
            }
        };
        let heard = |heard: Heard<'_>| {
            if let Heard::Hint(hint) = heard
                && let Some(hint) = read_hint(hint)
            {
                tokio::spawn(follow_hint(snapshots.clone(), bringing.clone(), hint));
            }
        };
        let lost = |error: &StoreError| {
            tracing::warn!(error = %runtime::Chain(error), "other processes' writes are learnt of by the sweep alone");
        };
        tokio::join!(
            carry,
            send(&snapshots, hints),
            snapshots.database().listen(CHANNEL, heard, lost),
            sweep(&snapshots, &bringing)
        );
    }
}

type Hint = (OrganizationId, Uuid, i64);

fn read_hint(text: &str) -> Option<Hint> {
    let mut parts = text.split(' ');
    let (tenant, incarnation) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some((OrganizationId::from_uuid(tenant), incarnation, parts.next()?.parse().ok()?))
}

async fn follow_hint(snapshots: Snapshots, bringing: Arc<Semaphore>, (tenant, incarnation, revision): Hint) {
    let Some(state) = snapshots.cached(tenant).await else { return };
    if state.revision().incarnation == incarnation && state.revision().own >= revision {
        return;
    }
    // The sweep finds what there is no room for.
    if let Ok(_permit) = bringing.try_acquire() {
        bring(&snapshots, state.scope(), None).await;
    }
}

async fn bring(snapshots: &Snapshots, scope: OrganizationScope, heads: Option<Heads>) {
    let heads = match heads {
        Some(heads) => Ok(heads),
        None => Heads::read(snapshots.database(), scope).await,
    };
    let brought = match heads {
        Ok(heads) => snapshots.bring(scope, &heads).await.map(|_| ()),
        Err(error) => Err(error.into()),
    };
    if let Err(error) = brought {
        tracing::debug!(error = %runtime::Chain(&error), "a snapshot is not brought forward");
    }
}

/// Tells the other processes what this one wrote. One that does not hear it has the sweep.
async fn send(snapshots: &Snapshots, mut hints: mpsc::Receiver<String>) {
    let mut batch = Vec::with_capacity(HINTS_AT_ONCE);
    while hints.recv_many(&mut batch, HINTS_AT_ONCE).await > 0 {
        if let Err(error) = snapshots.database().hint(CHANNEL, &batch).await {
            tracing::debug!(error = %runtime::Chain(&error), "hints are not sent");
        }
        batch.clear();
    }
}

async fn sweep(snapshots: &Snapshots, bringing: &Arc<Semaphore>) {
    let mut ticks = interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut swept = Swept::default();
    let mut failing = false;
    loop {
        ticks.tick().await;
        swept.take(mem::take(&mut *snapshots.0.asked.lock().unwrap_or_else(PoisonError::into_inner)));
        let mut states = Vec::new();
        for scope in swept.turn() {
            if let Some(state) = snapshots.cached(scope.organization_id()).await {
                state.look();
                states.push(state);
            }
        }
        snapshots.0.measured.found(states.iter().map(|state| state.age()).max().unwrap_or_default());
        let outcome = look(snapshots, bringing, states).await;
        match &outcome {
            Err(error) if !failing => {
                tracing::warn!(error = %runtime::Chain(error), "snapshots cannot be proven fresh by the sweep");
            }
            Ok(()) if failing => tracing::info!("snapshots are proven fresh again"),
            _ => {}
        }
        failing = outcome.is_err();
    }
}

/// Proves those that are as their heads are, and has the others brought forward.
async fn look(snapshots: &Snapshots, bringing: &Arc<Semaphore>, states: Vec<Arc<State>>) -> Result<(), StoreError> {
    if states.is_empty() {
        return Ok(());
    }
    let scopes = states.iter().map(|state| state.scope());
    let tenants: HashSet<OrganizationId> =
        scopes.flat_map(|scope| [scope.organization_id(), scope.project_id().into()]).collect();
    let tenants: Vec<OrganizationId> = tenants.into_iter().collect();
    let (found, Some(as_of)) = snapshots.database().many_heads(&tenants).await? else { return Ok(()) };
    for state in states {
        let scope = state.scope();
        let Some(organization) = found.get(&scope.organization_id()).cloned() else { continue };
        let heads = Heads { organization, project: found.get(&scope.project_id().into()).cloned(), as_of };
        if state.covers(&heads) {
            state.prove(as_of);
        } else if let Ok(permit) = bringing.clone().try_acquire_owned() {
            let snapshots = snapshots.clone();
            tokio::spawn(async move {
                bring(&snapshots, scope, Some(heads)).await;
                drop(permit);
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tenancy::ProjectId;

    use super::*;

    #[test]
    fn a_hint_is_read_or_passed_over() {
        let (tenant, incarnation) = (Uuid::from_u128(7), Uuid::from_u128(8));
        let hint = format!("{tenant} {incarnation} 9");
        assert_eq!(read_hint(&hint), Some((OrganizationId::from_uuid(tenant), incarnation, 9)));
        for other in ["", "x", &hint[..73], &hint[..40], "7 8 9", &hint.replace(" 9", " nine")] {
            assert_eq!(read_hint(other), None, "{other}");
        }
    }

    fn scopes(count: usize) -> Vec<OrganizationScope> {
        let project = ProjectId::new();
        (0..count).map(|_| OrganizationScope::granted(project, OrganizationId::new())).collect()
    }

    #[test]
    fn who_is_asked_about_is_swept_and_who_is_not_any_more_is_left_out() {
        let mut swept = Swept::default();
        let all = scopes(3);
        swept.take(all.clone());
        swept.take(all.clone());
        for turn in 0..IDLE_SWEEPS * 2 {
            let due = if turn < IDLE_SWEEPS { 3 } else { 1 };
            assert_eq!(swept.turn().len(), due, "turn {turn}");
            swept.take(all[..1].to_vec());
        }
    }

    #[test]
    fn a_sweep_is_bounded_and_everybody_has_their_turn() {
        let mut swept = Swept::default();
        let all = scopes(MAX_SWEPT + 1000);
        swept.take(all.clone());
        let mut seen = HashSet::new();
        for _ in 0..MAX_SWEPT / SWEPT_AT_ONCE {
            let turn = swept.turn();
            assert_eq!(turn.len(), SWEPT_AT_ONCE);
            seen.extend(turn);
        }
        assert_eq!(seen.len(), MAX_SWEPT);
    }
}
