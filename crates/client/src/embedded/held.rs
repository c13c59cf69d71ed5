//! What is held in memory, between the task that follows the stream and those who ask.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicI64, Ordering},
};

use arc_swap::ArcSwap;
use engine::Snapshot;
use tokio::sync::watch;
use tonic::Status;

use super::{clock::Moment, reached::Reached};

/// An organization's authorization at one revision. What it says never changes; what is known of how fresh it is does.
#[derive(Debug)]
pub struct View {
    pub engine: Snapshot,
    pub revision: Arc<str>,
    /// Everything that was committed before is in it.
    proven: AtomicI64,
}

impl View {
    pub fn new(engine: Snapshot, revision: String, proven: Moment) -> Self {
        Self { engine, revision: revision.into(), proven: AtomicI64::new(proven.nanoseconds()) }
    }

    pub fn proven(&self) -> Moment {
        Moment::from_nanoseconds(self.proven.load(Ordering::Acquire))
    }
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of it")]
pub enum State {
    /// Nothing has been told yet, or it is void.
    Empty,
    Holding(View),
    /// Something was told that cannot be taken up.
    NotUnderstood(String),
    /// The caller may not have it, and nothing is answered any more.
    Ended(Status),
}

/// One writer, who follows the stream; many readers.
#[derive(Debug)]
pub struct Held {
    state: ArcSwap<State>,
    reached: Mutex<Reached>,
    changed: watch::Sender<()>,
}

impl Held {
    pub fn new() -> Self {
        Self { state: ArcSwap::from_pointee(State::Empty), reached: Mutex::default(), changed: watch::Sender::new(()) }
    }

    pub fn state(&self) -> arc_swap::Guard<Arc<State>> {
        self.state.load()
    }

    /// Sees every change of the state from now on.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn reached(&self) -> MutexGuard<'_, Reached> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the state that is loaded afterwards holds what the token names. Never the other way round: a view may be replaced, and
    /// what its successor has reached it has not.
    pub fn has_reached(&self, token: &str) -> bool {
        self.reached().has(token)
    }

    pub fn answered(&self, token: &str, revision: &str) {
        self.reached().answered(token, revision);
    }

    /// The view from now on. It is in force before its tokens count as reached.
    pub fn hold(&self, view: View, anew: bool) {
        let revision = view.revision.clone();
        if anew {
            *self.reached() = Reached::default();
        }
        self.state.store(Arc::new(State::Holding(view)));
        self.reached().reach(&revision, anew);
        self.changed.send_replace(());
    }

    /// Nothing has changed, and that is proven anew.
    pub fn prove(&self, view: &View, proven: Moment) {
        view.proven.store(proven.nanoseconds(), Ordering::Release);
    }

    /// Nothing is held from now on.
    pub fn void(&self, state: State) {
        self.state.store(Arc::new(state));
        *self.reached() = Reached::default();
        self.changed.send_replace(());
    }
}
