//! All connections of a listener: how many there may be, which of them are idle, and which have a reader that has stopped reading.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio_util::sync::CancellationToken;

/// How many connections are looked at for the one that has been idle for longest. More find a slightly better one, at the cost of
/// every connection that comes while the house is full.
const SAMPLE: usize = 16;

/// What is handed to a connection at once.
const PART_BYTES: usize = 16 * 1024;

/// Milliseconds on a clock that only counts up; never 0.
fn now() -> u64 {
    static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(BEGINNING.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
}

#[derive(Debug)]
pub(super) struct Crowd {
    max: usize,
    present: Mutex<Vec<Arc<Peer>>>,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Peer {
    /// Calls that have not ended, their answers' bodies included. Those of health and reflection are not counted.
    calls: AtomicUsize,
    idle_since: AtomicU64,
    /// When a part of each answer was handed to the connection, until the next is asked for: 0.
    handed: Mutex<Vec<u64>>,
    /// It is ended at once.
    pub cut: CancellationToken,
    /// It is asked to end when its calls have.
    pub leave: CancellationToken,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Crowd {
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, present: Mutex::default() })
    }

    /// In a full house one that is idle leaves for the newcomer; if none seems to be, the newcomer is refused.
    pub fn enter(self: &Arc<Self>, cut: CancellationToken) -> Option<Present> {
        let mut present = lock(&self.present);
        if present.len() >= self.max {
            let longest = (0..SAMPLE)
                .filter_map(|_| present.get(rand::random_range(0..present.len())))
                .filter(|peer| peer.calls.load(Relaxed) == 0)
                .min_by_key(|peer| peer.idle_since.load(Relaxed))?;
            longest.cut.cancel();
            let gone = Arc::clone(longest);
            present.retain(|peer| !Arc::ptr_eq(peer, &gone));
            meters::CONNECTIONS_CUT.count_of("reason", "full");
        }
        let peer = Arc::new(Peer {
            calls: AtomicUsize::new(0),
            idle_since: AtomicU64::new(now()),
            handed: Mutex::default(),
            cut,
            leave: CancellationToken::new(),
        });
        present.push(Arc::clone(&peer));
        Some(Present { crowd: Arc::clone(self), peer })
    }

    /// Sends the idle away and cuts those that read nothing of what they asked for.
    pub fn sweep(&self, idle_timeout: Duration, read_timeout: Duration) {
        let before = |limit: Duration| now().saturating_sub(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
        let (idle, stalled) = (before(idle_timeout), before(read_timeout));
        for peer in lock(&self.present).iter() {
            if peer.calls.load(Relaxed) == 0 && peer.idle_since.load(Relaxed) < idle {
                peer.leave.cancel();
            }
            if lock(&peer.handed).iter().any(|&since| since != 0 && since < stalled) && !peer.cut.is_cancelled() {
                meters::CONNECTIONS_CUT.count_of("reason", "slow_reader");
                peer.cut.cancel();
            }
        }
    }
}

/// A connection while it is there.
pub(super) struct Present {
    crowd: Arc<Crowd>,
    pub peer: Arc<Peer>,
}

impl Drop for Present {
    fn drop(&mut self) {
        let mut present = lock(&self.crowd.present);
        // Linear, at the end of a connection's life; the lock is held for microseconds.
        if let Some(at) = present.iter().position(|peer| Arc::ptr_eq(peer, &self.peer)) {
            present.swap_remove(at);
        }
    }
}

impl Peer {
    /// It calls, and is not kept for it.
    pub fn stirs(&self) {
        self.idle_since.store(now(), Relaxed);
    }

    pub fn call(self: &Arc<Self>) -> Call {
        self.calls.fetch_add(1, Relaxed);
        Call(Arc::clone(self))
    }
}

/// A call while it goes on.
pub(super) struct Call(Arc<Peer>);

impl Drop for Call {
    fn drop(&mut self) {
        if self.0.calls.fetch_sub(1, Relaxed) == 1 {
            self.0.idle_since.store(now(), Relaxed);
        }
    }
}

pin_project! {
    /// The body of an answer, with a note of when a part of it was handed over and the next was not yet asked for.
    ///
    /// What is handed over is out of sight, and asked for as soon as a single byte can be sent: so it goes in small parts, and that the last
    /// was the last is only said when one more is asked for.
    pub(super) struct Watched<B> {
        #[pin]
        inner: B,
        rest: Bytes,
        note: Note,
    }
}

impl<B> Watched<B> {
    pub fn new(inner: B, call: Option<Call>) -> Self {
        Self { inner, rest: Bytes::new(), note: Note { call, at: None } }
    }
}

struct Note {
    call: Option<Call>,
    at: Option<usize>,
}

/// A slot whose answer waits for news, not for its reader.
const WAITS: u64 = u64::MAX;

impl Note {
    fn write(&mut self, since: u64) {
        let Some(call) = &self.call else { return };
        let mut handed = lock(&call.0.handed);
        let at = match self.at {
            Some(at) => at,
            None => {
                let free = handed.iter().position(|&slot| slot == 0).unwrap_or(handed.len());
                if free == handed.len() {
                    handed.push(0);
                }
                *self.at.insert(free)
            }
        };
        if let Some(slot) = handed.get_mut(at) {
            *slot = since;
        }
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        if self.at.is_some() {
            self.write(0);
        }
    }
}

impl<B: http_body::Body<Data = Bytes>> http_body::Body for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        if this.note.at.is_some() {
            this.note.write(WAITS);
        }
        if this.rest.is_empty() {
            match ready!(this.inner.poll_frame(cx)).map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => *this.rest = data,
                Some(Ok(Err(other))) => return Poll::Ready(Some(Ok(other))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        this.note.write(now());
        let part = this.rest.split_to(this.rest.len().min(PART_BYTES));
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.note.at.is_none() && self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.inner.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(inner.lower().saturating_add(rest));
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_full_house_the_idle_make_room_and_the_busy_stay() {
        let crowd = Crowd::new(2);
        let enter = || crowd.enter(CancellationToken::new());
        let (busy, idle) = (enter().expect("room"), enter().expect("room"));
        let call = busy.peer.call();
        let newcomer = enter().expect("the idle one's place");
        assert!(idle.peer.cut.is_cancelled() && !busy.peer.cut.is_cancelled());
        drop(idle);
        let _other = newcomer.peer.call();
        assert!(enter().is_none(), "all are busy");
        drop((call, busy));
        assert!(enter().is_some());
    }

    #[test]
    fn who_reads_nothing_is_cut_and_who_waits_for_news_is_not() {
        let crowd = Crowd::new(8);
        let (slow, patient, idle) = (
            crowd.enter(CancellationToken::new()),
            crowd.enter(CancellationToken::new()),
            crowd.enter(CancellationToken::new()),
        );
        let (slow, patient, idle) = (slow.expect("room"), patient.expect("room"), idle.expect("room"));
        let mut unread = Note { call: Some(slow.peer.call()), at: None };
        unread.write(now());
        let mut waiting = Note { call: Some(patient.peer.call()), at: None };
        waiting.write(now());
        waiting.write(WAITS);
        std::thread::sleep(Duration::from_millis(5));
        crowd.sweep(Duration::from_secs(60), Duration::from_secs(60));
        assert!(!slow.peer.cut.is_cancelled());
        crowd.sweep(Duration::from_millis(1), Duration::from_millis(1));
        assert!(slow.peer.cut.is_cancelled() && !patient.peer.cut.is_cancelled());
        assert!(idle.peer.leave.is_cancelled() && !patient.peer.leave.is_cancelled(), "its call goes on");
        drop((unread, waiting));
        assert_eq!((lock(&slow.peer.handed)[0], lock(&patient.peer.handed)[0]), (0, 0));
    }
}
