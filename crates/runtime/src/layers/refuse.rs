//! Refusing calls when there are too many of them.
//!
//! Callers who do not stay away when they are told to would keep the server at refusing them. So the later they are to come, the later
//! they are told: what waits to be told costs nothing meanwhile, and whoever calls again as soon as they are answered does so less often.
//! Not so a process of the installation: its own caller keeps a place there meanwhile, and is told what it is told.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::{HeaderName, Request, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tonic::body::Body;

use super::pause::{Pause, SOON};
use crate::answer::{Wire, answer};
use crate::call::CallContext;
use crate::refusal::Refusal;

/// Says that the caller is to be refused at once. At a door to the outside it says nothing, and does not go on from there.
pub const PROMPT: HeaderName = HeaderName::from_static("x-internal-prompt");
/// How long a refusal is kept back at most, and at least half of it, or all would return at the same moment.
pub const KEPT_BACK: Duration = Duration::from_millis(800);
/// How many are kept back, for each place of a call in flight. More are told at once.
const MANY: usize = 8;
/// A timer cannot tell less.
const TIMER: Duration = Duration::from_millis(1);
/// Of those that are refused, one comes again for so many calls that are served: refusing costs up to as much as serving.
const SERVED_FOR_EACH: u32 = 10;
/// How far apart they come at most.
const APART: Duration = Duration::from_millis(10);

/// Those of one server.
#[derive(Debug)]
pub struct Refusals {
    /// Whether callers are from outside.
    door: bool,
    pause: Pause,
    served: AtomicU32,
    /// In nanoseconds.
    apart: AtomicU32,
    kept_back: Arc<Semaphore>,
}

impl Refusals {
    pub fn new(max_in_flight: usize, door: bool) -> Self {
        let kept_back = Arc::new(Semaphore::new(max_in_flight.saturating_mul(MANY).min(Semaphore::MAX_PERMITS)));
        Self { pause: Pause::new(), served: AtomicU32::new(0), apart: nanoseconds(APART).into(), kept_back, door }
    }

    /// One more call was served.
    pub fn served(&self) {
        self.served.fetch_add(1, Ordering::Relaxed);
    }

    /// So long has passed since this was called last.
    pub fn reckon(&self, passed: Duration) {
        let refused = self.served.swap(0, Ordering::Relaxed) / SERVED_FOR_EACH;
        let apart = passed.checked_div(refused).map_or(APART, |apart| apart.min(APART));
        self.apart.store(nanoseconds(apart), Ordering::Relaxed);
    }

    pub fn refuse<A>(&self, request: &Request<A>) -> Refusing {
        let apart = Duration::from_nanos(self.apart.load(Ordering::Relaxed).into());
        let pause = self.pause.next(Instant::now(), apart);
        let left = request.extensions().get::<CallContext>().and_then(CallContext::remaining);
        let at_once = !self.door && request.headers().contains_key(PROMPT);
        let kept = if at_once { None } else { self.keep_back(pause, left) };
        let retry_after = kept.as_ref().map_or(pause, |kept| pause.saturating_sub(kept.lasting));
        Refusing { kept, retry_after, wire: Wire::of(request.headers()) }
    }

    /// For a part of the pause, where the caller has so long left. None: it is told at once.
    fn keep_back(&self, pause: Duration, left: Option<Duration>) -> Option<Kept> {
        // Nobody is kept until they give up.
        let most = left.map_or(KEPT_BACK, |left| KEPT_BACK.min(left / 2));
        let lasting = pause.saturating_sub(SOON).min(most).mul_f64(0.5 + rand::random::<f64>() / 2.0);
        if lasting < TIMER {
            return None;
        }
        let place = Arc::clone(&self.kept_back).try_acquire_owned().ok()?;
        Some(Kept { lasting, sleep: Box::pin(sleep(lasting)), _place: place })
    }
}

fn nanoseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_nanos()).unwrap_or(u32::MAX)
}

/// A refusal that is kept back.
#[derive(Debug)]
struct Kept {
    lasting: Duration,
    sleep: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

/// The answer to a call that is refused.
#[derive(Debug)]
pub struct Refusing {
    kept: Option<Kept>,
    retry_after: Duration,
    wire: Wire,
}

impl Future for Refusing {
    type Output = Response<Body>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(kept) = &mut self.kept {
            ready!(kept.sleep.as_mut().poll(cx));
        }
        meters::SHED.count();
        Poll::Ready(answer(Refusal::overloaded(self.retry_after).into(), self.wire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_few_are_refused_at_once_and_many_are_told_late() {
        let (refusals, now) = (Refusals::new(100, false), Instant::now());
        let pause = refusals.pause.next(now, APART);
        assert!(pause == SOON && refusals.keep_back(pause, None).is_none());
        let bound = KEPT_BACK / 2..=KEPT_BACK;
        let pause = (0..400).map(|_| refusals.pause.next(now, APART)).last().unwrap();
        let kept: Vec<_> = (0..1000).map_while(|_| refusals.keep_back(pause, None)).collect();
        assert_eq!(kept.len(), 100 * MANY, "what is kept back is bounded");
        assert!(kept.iter().all(|kept| bound.contains(&kept.lasting)), "{bound:?}");
        drop(kept);
        let left = Duration::from_millis(100);
        assert!(refusals.keep_back(pause, Some(left)).is_some_and(|kept| kept.lasting <= left / 2));
        let request = |prompt| {
            let request = Request::builder();
            if prompt { request.header(PROMPT, "1") } else { request }.body(()).unwrap()
        };
        assert!(refusals.refuse(&request(false)).kept.is_some() && refusals.refuse(&request(true)).kept.is_none());
        let door = Refusals { door: true, ..refusals };
        assert!(door.refuse(&request(true)).kept.is_some(), "anybody can say so outside");
    }

    #[tokio::test]
    async fn the_more_are_served_the_sooner_the_others_come_again() {
        let paused = |served: u32| {
            let refusals = Refusals::new(100, false);
            (0..served).for_each(|_| refusals.served());
            refusals.reckon(Duration::from_millis(100));
            let request = Request::new(());
            (0..101).for_each(|_| drop(refusals.refuse(&request)));
            let now = Instant::now();
            refusals.pause.next(now, APART) - SOON
        };
        let about = |paused: Duration, of: Duration| paused > of.mul_f64(0.8) && paused < of.mul_f64(1.2);
        let (busy, slow) = (paused(20_000), paused(5));
        assert!(about(busy, Duration::from_millis(5)) && about(slow, Duration::from_secs(1)), "{busy:?} {slow:?}");
    }
}
