//! At the limit of calls in flight the next one is refused at once, with the time to come again. A queue would only make
//! every caller late.
//!
//! A refusal is cheap but not free: half of what a small call costs is its way through HTTP/2. Were all who are refused told to come again
//! soon, then under ten times the load the server would do little else than refuse them. So the more are refused the later they are told to
//! come, until no more come than can be refused beside the calls that are served.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::body::Body;
use tower::{Layer, Service};

use crate::answer::{Wire, answer};
use crate::refusal::Refusal;

/// What a shed caller is told at least and at most. It is spread between one and two of these, or all would return at the same moment.
const SOON: Duration = Duration::from_millis(100);
const LATE: Duration = Duration::from_millis(3_200);
/// How often that is thought over.
const WINDOW: Duration = Duration::from_millis(100);

/// How long those that are refused now are told to stay away.
#[derive(Debug)]
struct Pause {
    /// In one window: if more are refused, they come too often.
    many: u32,
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    window: Instant,
    refused: u32,
    pause: Duration,
}

impl Pause {
    fn new(places: usize) -> Self {
        let many = u32::try_from(places / 2).unwrap_or(u32::MAX).max(16);
        Self { many, now: Mutex::new(Now { window: Instant::now(), refused: 0, pause: SOON }) }
    }

    /// One more is refused.
    fn next(&self, at: Instant) -> Duration {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = at.saturating_duration_since(now.window);
        if passed >= WINDOW {
            // While nobody was refused, nobody was told to stay away.
            let quiet = (passed.as_millis() / WINDOW.as_millis()).saturating_sub(1).min(8);
            now.pause = match now.refused {
                refused if refused > self.many => now.pause * 2,
                refused if refused < self.many / 4 => now.pause / 2,
                _ => now.pause,
            };
            now.pause = (now.pause / (1 << quiet)).clamp(SOON, LATE);
            (now.window, now.refused) = (at, 0);
        }
        now.refused = now.refused.saturating_add(1);
        now.pause
    }
}

#[derive(Clone)]
pub struct ShedLayer {
    places: Arc<Semaphore>,
    pause: Arc<Pause>,
}

/// A call holds its place until its response begins: streams that wait for news hold none.
pub fn shed(max_in_flight: usize) -> ShedLayer {
    let places = max_in_flight.min(Semaphore::MAX_PERMITS);
    ShedLayer { places: Arc::new(Semaphore::new(places)), pause: Arc::new(Pause::new(places)) }
}

impl<S> Layer<S> for ShedLayer {
    type Service = ShedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ShedService { inner, places: Arc::clone(&self.places), pause: Arc::clone(&self.pause) }
    }
}

#[derive(Clone)]
pub struct ShedService<S> {
    inner: S,
    places: Arc<Semaphore>,
    pause: Arc<Pause>,
}

impl<S, A> Service<Request<A>> for ShedService<S>
where
    S: Service<Request<A>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = ShedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => ShedFuture {
                inner: Some(self.inner.call(request)),
                place: Some(place),
                pause: Duration::ZERO,
                wire: Wire::Grpc,
            },
            Err(_) => ShedFuture {
                inner: None,
                place: None,
                pause: self.pause.next(Instant::now()),
                wire: Wire::of(request.headers()),
            },
        }
    }
}

pin_project! {
    pub struct ShedFuture<F> {
        #[pin]
        inner: Option<F>,
        place: Option<OwnedSemaphorePermit>,
        pause: Duration,
        wire: Wire,
    }
}

impl<F, E> Future for ShedFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(inner) = this.inner.as_pin_mut() else {
            meters::SHED.count();
            let retry_after = this.pause.mul_f64(1.0 + rand::random::<f64>());
            return Poll::Ready(Ok(answer(Refusal::overloaded(retry_after).into(), *this.wire)));
        };
        let result = ready!(inner.poll(cx));
        this.place.take();
        Poll::Ready(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Callers who come back when they are told to, between one and two pauses later; nobody is let in.
    fn refused_a_second(callers: usize, seconds: u64) -> Vec<u32> {
        let (pause, begun) = (Pause::new(100), Instant::now());
        let mut due: Vec<Duration> = (0..callers).map(|n| Duration::from_micros(n as u64 % 1000)).collect();
        let mut refused = vec![0; usize::try_from(seconds).unwrap()];
        for tick in 0..seconds * 1000 {
            let now = Duration::from_millis(tick);
            for (n, due) in due.iter_mut().enumerate().filter(|(_, due)| **due <= now) {
                refused[usize::try_from(tick / 1000).unwrap()] += 1;
                *due = now + pause.next(begun + now).mul_f64(1.0 + (n * 37 % 100) as f64 / 100.0);
            }
        }
        refused
    }

    #[test]
    fn the_more_are_refused_the_later_they_come() {
        // At first a tenth of a second after another; soon no more than half as many as there are places in that time.
        let many = refused_a_second(1_000, 12);
        assert!(many[0] > 2_000, "{many:?}");
        assert!(many[6..].iter().all(|refused| *refused < 600), "{many:?}");
        // A few are not kept away.
        let few = refused_a_second(5, 6);
        assert!(few[3..].iter().all(|refused| *refused > 20), "{few:?}");
    }

    #[test]
    fn what_was_told_in_a_flood_is_forgotten_soon() {
        let (pause, mut now) = (Pause::new(1_000), Instant::now());
        for _ in 0..10 {
            now += WINDOW;
            (0..1_000).for_each(|_| _ = pause.next(now));
        }
        assert_eq!(pause.next(now), LATE);
        assert_eq!(pause.next(now + Duration::from_secs(1)), SOON);
    }
}
