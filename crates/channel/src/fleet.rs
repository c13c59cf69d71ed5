//! The replicas that are known, and which of them gets the next call.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use hyper::client::conn::http2::SendRequest;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

use crate::address::Origin;
use crate::health::{Health, now};

/// A replica: an address, as one name of it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub address: SocketAddr,
    pub origin: Arc<Origin>,
    pub health: Health,
    /// Calls that have not ended.
    pub open: AtomicUsize,
    /// When it last answered anything.
    pub answered: AtomicU64,
    /// When the last attempt to connect began, if it failed.
    failed: AtomicU64,
    /// A call waits for it.
    pub wake: Notify,
    /// Cancelled when the names do not lead to it any more.
    pub gone: CancellationToken,
}

impl Endpoint {
    pub fn new(address: SocketAddr, origin: Arc<Origin>, gone: CancellationToken) -> Self {
        Self {
            address,
            origin,
            health: Health::default(),
            open: AtomicUsize::new(0),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            wake: Notify::new(),
            gone,
        }
    }
}

/// One that is connected.
#[derive(Clone)]
struct Up {
    endpoint: Arc<Endpoint>,
    sender: SendRequest<Body>,
}

/// What there is for a call.
pub(crate) enum Picked {
    Up(Arc<Endpoint>, SendRequest<Body>),
    /// Somebody may be there soon.
    Wait,
    /// Since the call came, everybody was tried and nobody is there.
    Nobody,
}

pub(crate) struct Fleet {
    up: ArcSwap<Vec<Up>>,
    all: Mutex<Vec<Arc<Endpoint>>>,
    /// When the last look-up of all names began that has ended.
    looked: AtomicU64,
    wanted: watch::Sender<bool>,
    changed: watch::Sender<()>,
    look: Notify,
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fleet").field("all", &self.all).finish_non_exhaustive()
    }
}

impl Fleet {
    pub fn new() -> Self {
        Self {
            up: ArcSwap::default(),
            all: Mutex::default(),
            looked: AtomicU64::new(0),
            wanted: watch::Sender::new(false),
            changed: watch::Sender::new(()),
            look: Notify::new(),
        }
    }

    fn all(&self) -> MutexGuard<'_, Vec<Arc<Endpoint>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the first call.
    pub async fn wanted(&self) {
        // The sender is ours: it does not end while we wait.
        let _ = self.wanted.subscribe().wait_for(|wanted| *wanted).await;
    }

    pub fn look_again(&self) {
        self.look.notify_one();
    }

    /// Waits until somebody wants the names looked up.
    pub async fn is_looked_for(&self) {
        self.look.notified().await;
    }

    /// All names were looked up; it `began` then.
    pub fn looked(&self, began: u64) {
        self.looked.store(began, Relaxed);
        self.changed.send_replace(());
    }

    pub fn add(&self, endpoint: &Arc<Endpoint>) {
        self.all().push(Arc::clone(endpoint));
        self.changed.send_replace(());
    }

    /// Calls that it has go on.
    pub fn remove(&self, endpoint: &Arc<Endpoint>) {
        let mut all = self.all();
        all.retain(|other| !Arc::ptr_eq(other, endpoint));
        self.replace(endpoint, None);
        // While nobody else can connect it.
        endpoint.gone.cancel();
        drop(all);
        self.changed.send_replace(());
    }

    pub fn connected(&self, endpoint: &Arc<Endpoint>, sender: SendRequest<Body>) {
        let all = self.all();
        endpoint.failed.store(0, Relaxed);
        // It may have been removed while it connected.
        if !endpoint.gone.is_cancelled() {
            self.replace(endpoint, Some(sender));
        }
        drop(all);
        self.changed.send_replace(());
    }

    pub fn disconnected(&self, endpoint: &Arc<Endpoint>) {
        let all = self.all();
        self.replace(endpoint, None);
        drop(all);
        self.changed.send_replace(());
    }

    /// Its attempt to connect that `began` then failed.
    pub fn failed(&self, endpoint: &Arc<Endpoint>, began: u64) {
        endpoint.failed.store(began, Relaxed);
        self.changed.send_replace(());
    }

    /// Under the lock of `all`, or two at once would lose one.
    fn replace(&self, endpoint: &Arc<Endpoint>, sender: Option<SendRequest<Body>>) {
        let up = self.up.load();
        let others = up.iter().filter(|up| !Arc::ptr_eq(&up.endpoint, endpoint)).cloned();
        let new = sender.map(|sender| Up { endpoint: Arc::clone(endpoint), sender });
        self.up.store(Arc::new(others.chain(new).collect()));
    }

    /// A failure too many: no calls for a while, unless as many as the others are out already. Half of the replicas keep their calls
    /// whatever happens, so that what makes all of them fail does not send everything to the last.
    pub fn eject(&self, endpoint: &Arc<Endpoint>) {
        let all = self.all();
        let out = all.iter().filter(|other| other.health.is_ejected()).count();
        if (out + 1) * 2 > all.len() {
            return;
        }
        let pause = endpoint.health.eject();
        drop(all);
        meters::EJECTIONS.count();
        let (address, seconds) = (endpoint.address, pause.as_secs_f64());
        tracing::warn!(%address, seconds, "a replica fails and gets no calls for a while");
    }

    /// For a call that came at `since`. `avoid` is where it was tried last.
    pub fn pick(&self, since: u64, avoid: Option<&Arc<Endpoint>>) -> Picked {
        let up = self.up.load();
        if let Some(chosen) = choose(&up, avoid) {
            return Picked::Up(Arc::clone(&chosen.endpoint), chosen.sender.clone());
        }
        self.wanted.send_if_modified(|wanted| !std::mem::replace(wanted, true));
        let all = self.all();
        if all.is_empty() {
            // What the names led to before the call came says nothing: somebody may have become ready since.
            self.look_again();
            return if self.looked.load(Relaxed) < since { Picked::Wait } else { Picked::Nobody };
        }
        let mut hopeless = true;
        for endpoint in all.iter() {
            if endpoint.failed.load(Relaxed) < since {
                hopeless = false;
                endpoint.wake.notify_one();
            }
        }
        if hopeless { Picked::Nobody } else { Picked::Wait }
    }

    /// A replica with a connection; none when there is none, by evidence that is younger than the call.
    pub async fn connection(&self, avoid: Option<&Arc<Endpoint>>) -> Option<(Arc<Endpoint>, SendRequest<Body>)> {
        let since = now().max(1);
        if let Picked::Up(endpoint, sender) = self.pick(since, avoid) {
            return Some((endpoint, sender));
        }
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            match self.pick(since, avoid) {
                Picked::Up(endpoint, sender) => return Some((endpoint, sender)),
                Picked::Nobody => return None,
                Picked::Wait => changed.changed().await.ok()?,
            }
        }
    }
}

/// Of two at random the one with fewer calls open. Ejected ones, and where the call has just failed, only when there is nobody else.
fn choose<'a>(up: &'a [Up], avoid: Option<&Arc<Endpoint>>) -> Option<&'a Up> {
    let open = |up: &&Up| !up.sender.is_closed();
    let fresh = |up: &&Up| open(up) && avoid.is_none_or(|avoid| !Arc::ptr_eq(avoid, &up.endpoint));
    two(up, |up| fresh(up) && !up.endpoint.health.is_ejected()).or_else(|| two(up, fresh)).or_else(|| two(up, open))
}

fn two(up: &[Up], may: impl Fn(&&Up) -> bool) -> Option<&Up> {
    let from = |start: usize| up[start..].iter().chain(&up[..start]).find(&may);
    let first = match up {
        [] => return None,
        [only] => return Some(only).filter(&may),
        _ => from(rand::random_range(0..up.len()))?,
    };
    let second = from(rand::random_range(0..up.len()))?;
    Some(if second.endpoint.open.load(Relaxed) < first.endpoint.open.load(Relaxed) { second } else { first })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn nobody_is_there_only_by_a_look_up_that_began_after_the_call_came() {
        let fleet = Fleet::new();
        fleet.looked(now().max(1));
        tokio::time::sleep(Duration::from_millis(2)).await;
        let mut call = Box::pin(fleet.connection(None));
        assert!(call.as_mut().now_or_never().is_none(), "somebody may be ready by now");
        fleet.is_looked_for().now_or_never().expect("the names are looked up again");
        fleet.looked(0);
        assert!(call.as_mut().now_or_never().is_none(), "that look-up began before the call");
        fleet.looked(now() + 1);
        assert!(call.now_or_never().is_some_and(|found| found.is_none()));
    }
}
