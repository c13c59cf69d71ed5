//! Every call ends in time: the smaller of the caller's `grpc-timeout` and our own maximum, answered DEADLINE_EXCEEDED.
//!
//! The time covers the handler until its response begins, which for a unary call is all of its work. A streaming method
//! has no maximum of ours, only the caller's.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::body::Body;
use tower::{Layer, Service};

use crate::answer::{Wire, answer};
use crate::call::CallContext;
use crate::refusal::Refusal;

#[derive(Clone, Copy)]
pub struct DeadlineLayer {
    max: Duration,
}

/// Sets `CallContext::deadline` and enforces it.
pub fn deadline(max: Duration) -> DeadlineLayer {
    DeadlineLayer { max }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DeadlineService { inner, max: self.max }
    }
}

#[derive(Clone)]
pub struct DeadlineService<S> {
    inner: S,
    max: Duration,
}

impl<S, A> Service<Request<A>> for DeadlineService<S>
where
    S: Service<Request<A>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = DeadlineFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        let wire = Wire::of(request.headers());
        let asked = grpc_timeout(request.headers());
        let call = request.extensions_mut().get_mut::<CallContext>();
        let streaming = call.as_ref().and_then(|call| call.method()).is_some_and(|method| method.is_streaming());
        let limit = match asked {
            Some(asked) if streaming => Some(asked),
            None if streaming => None,
            asked => Some(asked.map_or(self.max, |asked| asked.min(self.max))),
        };
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        if let Some(call) = call {
            call.deadline = deadline;
        }
        DeadlineFuture { inner: self.inner.call(request), sleep: deadline.map(sleep_until), wire }
    }
}

pin_project! {
    pub struct DeadlineFuture<F> {
        #[pin]
        inner: F,
        #[pin]
        sleep: Option<Sleep>,
        wire: Wire,
    }
}

impl<F, E> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(result) = this.inner.poll(cx) {
            return Poll::Ready(result);
        }
        let Some(sleep) = this.sleep.as_pin_mut() else { return Poll::Pending };
        ready!(sleep.poll(cx));
        Poll::Ready(Ok(answer(Refusal::deadline_exceeded().into(), *this.wire)))
    }
}

/// `grpc-timeout`: at most eight digits and a unit. A malformed one counts as absent, so our maximum applies.
pub(crate) fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let (unit, digits) = headers.get("grpc-timeout")?.as_bytes().split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Some(Duration::from_secs(value * 3600)),
        b'M' => Some(Duration::from_secs(value * 60)),
        b'S' => Some(Duration::from_secs(value)),
        b'm' => Some(Duration::from_millis(value)),
        b'u' => Some(Duration::from_micros(value)),
        b'n' => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: &'static str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", http::HeaderValue::from_static(value));
        grpc_timeout(&headers)
    }

    #[test]
    fn a_timeout_is_at_most_eight_digits_and_a_unit() {
        assert_eq!(parsed("1H"), Some(Duration::from_secs(3600)));
        assert_eq!(parsed("99999999n"), Some(Duration::from_nanos(99_999_999)));
        assert_eq!(parsed("250m"), Some(Duration::from_millis(250)));
        for malformed in ["", "S", "1", "1s", "-1S", "123456789S", "1 S"] {
            assert_eq!(parsed(malformed), None, "{malformed:?}");
        }
    }
}
