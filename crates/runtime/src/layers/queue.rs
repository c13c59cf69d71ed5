//! Calls that have come and wait for a core to begin on: the queue that nobody sees, since it is the runtime's.
//!
//! A call that only computes, like Check, waits nowhere else. While the queue runs empty again and again, a burst is best served: it is
//! over in a moment. A queue that stands makes every call late and none the sooner (Nichols and Jacobson, "Controlling Queue Delay",
//! 2012). So when calls of the last moment have waited too long in the mean, only a few are let into it, and the rest is refused until
//! nobody has to be. Calls with a credential and calls without are counted apart: a flood of sign-ins has nobody refused who is in.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tonic::body::Body;
use tower::{Layer, Service};

use super::refuse::{KEPT_BACK, Refusals, Refusing};

/// How long calls may wait in the mean.
const LONG: Duration = Duration::from_millis(5);
/// Over what time.
const WINDOW: Duration = Duration::from_millis(100);
/// How many are let in for each core, while the queue stands, from one pass of the runtime over all that is ready to the next. A core that
/// has so many is never without work, and the callers of one busy process, who are about as many, are not refused whatever they call.
const FEW: usize = 64;

/// The queue of one server.
#[derive(Debug)]
pub struct Queue {
    /// Without a credential, and with one.
    waiting: [AtomicUsize; 2],
    /// How many of either may wait.
    most: usize,
    stands: AtomicBool,
    /// How many of either were let in in this pass, and how many may be while it stands.
    let_in: [AtomicUsize; 2],
    few: usize,
    /// Whether it is known when this pass ends.
    passing: AtomicBool,
    seen: Mutex<Seen>,
    refusals: Refusals,
}

/// What was seen in this window.
#[derive(Debug)]
struct Seen {
    since: Instant,
    begun: u32,
    waited: Duration,
    /// When somebody was refused last. Before they come again, the queue is short for want of them.
    refused: Option<Instant>,
}

impl Queue {
    /// Of a server that serves its calls on so many cores, at a door to the outside or not.
    pub fn new(max_in_flight: usize, cores: usize, door: bool) -> Arc<Self> {
        let seen = Mutex::new(Seen { since: Instant::now(), begun: 0, waited: Duration::ZERO, refused: None });
        Arc::new(Self {
            waiting: Default::default(),
            most: max_in_flight,
            stands: AtomicBool::new(false),
            let_in: Default::default(),
            few: FEW.saturating_mul(cores).min(max_in_flight),
            passing: AtomicBool::new(false),
            seen,
            refusals: Refusals::new(max_in_flight, door),
        })
    }

    /// How whoever finds no place is refused.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// A call has come, with a credential or without, and is read off its connection. None: it is to be refused.
    pub fn comes(self: &Arc<Self>, credential: bool) -> Option<Waiting> {
        let at = usize::from(credential);
        if self.stands.load(Ordering::Relaxed) && !self.passes(at) {
            return None;
        }
        let waiting = &self.waiting[at];
        (waiting.load(Ordering::Relaxed) < self.most).then(|| {
            waiting.fetch_add(1, Ordering::Relaxed);
            Waiting { since: Instant::now(), at, queue: Arc::clone(self) }
        })
    }

    /// Whether one more of its kind may come in this pass. What has come is not all in the queue: the most of it lies unread in the sockets
    /// of connections that wait there themselves. All of them have had their turn when somebody who went to the end of the queue has his.
    fn passes(self: &Arc<Self>, at: usize) -> bool {
        if !self.passing.swap(true, Ordering::Relaxed) {
            tokio::spawn(Pass { queue: Arc::clone(self), begun: false });
        }
        self.let_in[at].fetch_add(1, Ordering::Relaxed) < self.few
    }

    /// A call begins that has waited so long.
    fn begins(&self, waited: Duration, now: Instant) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(seen.since);
        if passed >= WINDOW {
            // What is long past says nothing of now.
            let long = passed < 2 * WINDOW && seen.begun > 0 && seen.waited / seen.begun > LONG;
            let refused = seen.refused.filter(|at| now.saturating_duration_since(*at) < 2 * KEPT_BACK);
            self.stands.store(long || refused.is_some(), Ordering::Relaxed);
            self.refusals.reckon(passed);
            *seen = Seen { since: now, begun: 0, waited: Duration::ZERO, refused };
        }
        seen.begun = seen.begun.saturating_add(1);
        seen.waited += waited;
    }

    /// One was refused.
    fn refused(&self, now: Instant) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).refused = Some(now);
    }
}

#[derive(Clone)]
pub struct QueueLayer {
    queue: Arc<Queue>,
}

pub fn queue(queue: Arc<Queue>) -> QueueLayer {
    QueueLayer { queue }
}

impl<S> Layer<S> for QueueLayer {
    type Service = QueueService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        QueueService { inner, queue: Arc::clone(&self.queue) }
    }
}

#[derive(Clone)]
pub struct QueueService<S> {
    inner: S,
    queue: Arc<Queue>,
}

impl<S, A> Service<Request<A>> for QueueService<S>
where
    S: Service<Request<A>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = QueueFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        if request.extensions().get::<TooMany>().is_none() {
            return QueueFuture::In { call: self.inner.call(request) };
        }
        self.queue.refused(Instant::now());
        QueueFuture::Out { refusing: self.queue.refusals.refuse(&request) }
    }
}

/// Marks a call that is to be refused.
#[derive(Clone, Copy, Debug)]
pub struct TooMany;

/// Goes to the end of the queue, once.
#[derive(Debug)]
struct Pass {
    queue: Arc<Queue>,
    begun: bool,
}

impl Future for Pass {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.begun {
            self.begun = true;
            // Who wakes himself goes to the end; who yields is woken next.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.queue.let_in.iter().for_each(|let_in| let_in.store(0, Ordering::Relaxed));
        self.queue.passing.store(false, Ordering::Relaxed);
        Poll::Ready(())
    }
}

/// A call that has not begun.
#[derive(Debug)]
pub struct Waiting {
    since: Instant,
    at: usize,
    queue: Arc<Queue>,
}

impl Waiting {
    pub fn begins(self) {
        let now = Instant::now();
        self.queue.begins(now.saturating_duration_since(self.since), now);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.queue.waiting[self.at].fetch_sub(1, Ordering::Relaxed);
    }
}

pin_project! {
    #[project = QueueProjection]
    pub enum QueueFuture<F> {
        In {
            #[pin]
            call: F,
        },
        Out {
            #[pin]
            refusing: Refusing,
        },
    }
}

impl<F, E> Future for QueueFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            QueueProjection::In { call } => call.poll(cx),
            QueueProjection::Out { refusing } => refusing.poll(cx).map(Ok),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORES: usize = 1;

    fn fill(queue: &Arc<Queue>) -> Vec<Waiting> {
        (0..1000).map_while(|_| queue.comes(true)).collect()
    }

    /// Calls begin for so long, one a millisecond, each after a wait.
    fn pass(queue: &Queue, now: &mut Instant, lasting: Duration, waited: Duration) {
        let end = *now + lasting;
        while *now < end {
            *now += Duration::from_millis(1);
            queue.begins(waited, *now);
        }
    }

    #[tokio::test]
    async fn a_burst_is_let_in_and_of_a_standing_queue_a_few_in_each_pass() {
        let (queue, mut now) = (Queue::new(1024, CORES, false), Instant::now());
        assert_eq!(fill(&queue).len(), 1000, "a burst");
        pass(&queue, &mut now, WINDOW / 2, 20 * LONG);
        assert!(queue.comes(true).is_some(), "it has not stood for long");
        pass(&queue, &mut now, 2 * WINDOW, 2 * LONG);
        assert_eq!(fill(&queue).len(), FEW);
        assert!(queue.comes(false).is_some(), "those without a credential are others");
        assert!(
            queue.comes(true).is_none(),
            "those who were let in have begun, and still the others have not had their turn"
        );
        // It is short now because it is kept short.
        queue.refused(now);
        pass(&queue, &mut now, WINDOW, LONG / 5);
        queue_passes(&queue).await;
        assert_eq!(fill(&queue).len(), FEW, "in the next pass");
        // Nobody had to be refused, for long enough that all of them could come again.
        pass(&queue, &mut now, 2 * KEPT_BACK + WINDOW, LONG / 5);
        assert_eq!(fill(&queue).len(), 1000);
    }

    #[tokio::test]
    async fn a_pass_is_over_when_all_that_was_ready_has_had_its_turn() {
        let (queue, mut now) = (Queue::new(1024, CORES, false), Instant::now());
        pass(&queue, &mut now, 2 * WINDOW, 2 * LONG);
        pass(&queue, &mut now, WINDOW, 2 * LONG);
        assert_eq!(fill(&queue).len(), FEW);
        let connection = |queue: Arc<Queue>| tokio::spawn(async move { queue.comes(true).is_none() });
        let ready: Vec<_> = (0..10).map(|_| connection(Arc::clone(&queue))).collect();
        for refused in ready {
            assert!(refused.await.unwrap(), "who was ready before the end belongs to this pass");
        }
        queue_passes(&queue).await;
        assert!(queue.comes(true).is_some());
    }

    async fn queue_passes(queue: &Queue) {
        while queue.passing.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn what_was_long_ago_says_nothing_of_now() {
        let (queue, mut now) = (Queue::new(1024, CORES, false), Instant::now());
        pass(&queue, &mut now, WINDOW / 2, 20 * LONG);
        now += 10 * WINDOW;
        pass(&queue, &mut now, WINDOW, LONG / 5);
        assert_eq!(fill(&queue).len(), 1000);
    }

    #[test]
    fn no_more_wait_than_have_a_place() {
        assert_eq!(fill(&Queue::new(7, CORES, false)).len(), 7);
    }
}
