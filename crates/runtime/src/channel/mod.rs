//! Calls to other services: balanced over the addresses behind a name, always bounded in time, and carrying onward what
//! belongs to the call.
//!
//! A generated client is put on top: `OrganizationServiceClient::new(channel)`. Its requests come from
//! `CallContext::request`, so that the remaining deadline, the trace context and the request id go with them.

mod addresses;

use std::error::Error as _;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::request::Parts;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;
use tonic::{Code, ConnectError, Status, TimeoutExpired};
use tower::retry::budget::{Budget, TpsBudget};
use tower::{Service, ServiceExt};

use crate::call::{CallContext, Keyed, RequestId};
use crate::contract::{Contract, Method};
use crate::layers::{code_in, grpc_timeout};
use crate::refusal::{Chain, Refusal};

pub use addresses::ChannelError;

/// For a call without a deadline of its own.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(10);
const ATTEMPTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// A client connection to one service; cheap to clone, all clones are one. Connects when first used.
#[derive(Clone, Debug)]
pub struct Channel {
    inner: tonic::transport::Channel,
    /// How many addresses are known; `None` before the first look-up has ended.
    known: watch::Receiver<Option<usize>>,
    contract: Contract,
    /// Beside the calls of the last ten seconds a fifth may be retries, or ten a second where there are few: when a service
    /// is down its callers do not multiply the load. Absent: no retries.
    budget: Option<Arc<TpsBudget>>,
}

/// Opens a channel to `url`, `http://host:port` or `https://host:port`. The host is looked up every five seconds, so that
/// replicas behind headless DNS come and go. Must be called inside the tokio runtime.
///
/// A call is attempted up to three times: when no connection could be made, and, if its method is repeatable by the
/// contract or it carries a key (`CallContext::keyed_request`), when the answer is UNAVAILABLE. `contract` says which.
pub fn connect(url: &str, contract: Contract) -> Result<Channel, ChannelError> {
    let (inner, known) = addresses::balance(url)?;
    let budget = Some(Arc::new(TpsBudget::new(Duration::from_secs(10), 10, 0.2)));
    Ok(Channel { inner, known, contract, budget })
}

impl Channel {
    /// For callers whose own caller retries: one layer of retries is enough.
    #[must_use]
    pub fn without_retries(mut self) -> Self {
        self.budget = None;
        self
    }

    async fn send(mut self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let call = CallContext::from_extensions(request.extensions());
        let method = Arc::clone(self.contract.method(request.uri().path()));
        let asked = grpc_timeout(request.headers()).map(|timeout| Instant::now() + timeout);
        let own = call.deadline().into_iter().chain(asked).min();
        // A stream goes on after its head has come; only the head is waited for.
        let wait = own.unwrap_or_else(|| Instant::now() + DEFAULT_DEADLINE);
        let told = if method.is_streaming() { own } else { Some(wait) };

        let (mut parts, body) = request.into_parts();
        call.trace().write(&mut parts.headers);
        parts.headers.insert(RequestId::HEADER, call.request_id().header_value());
        let answered = timeout_at(wait, async {
            self.await_addresses().await?;
            match self.budget.take() {
                Some(budget) if method.index() != 0 && !method.is_streaming() => {
                    let body = body.collect().await?.to_bytes();
                    self.attempts(parts, body, told, &method, &budget).await
                }
                _ => self.attempt(parts, body, told).await.map_err(Failure::into_status),
            }
        });
        answered.await.unwrap_or_else(|_| Err(Refusal::deadline_exceeded().into()))
    }

    /// A balancer without addresses would wait for ever.
    async fn await_addresses(&mut self) -> Result<(), Status> {
        match self.known.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(0)) | Err(_) => Err(Refusal::unavailable("a service that this call needs").into()),
            Ok(_) => Ok(()),
        }
    }

    async fn attempts(
        &self,
        parts: Parts,
        body: Bytes,
        deadline: Option<Instant>,
        method: &Method,
        budget: &TpsBudget,
    ) -> Result<Response<Body>, Status> {
        let repeatable = method.is_repeatable() || parts.extensions.get::<Keyed>().is_some();
        budget.deposit();
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            let outcome = self.attempt(parts.clone(), Body::new(Full::new(body.clone())), deadline).await;
            let again = match &outcome {
                Ok(response) => repeatable && code_in(response.headers()) == Some(Code::Unavailable),
                Err(failure) => !failure.timed_out && (repeatable || !failure.sent),
            };
            if !again || attempt == ATTEMPTS || !budget.withdraw() {
                return outcome.map_err(Failure::into_status);
            }
            metrics::counter!("rpc_client_retries_total").increment(1);
            tokio::time::sleep(pause.mul_f64(0.5 + rand::random::<f64>())).await;
            pause *= 4;
        }
        Err(Refusal::fault().into())
    }

    async fn attempt(
        &self,
        mut parts: Parts,
        body: Body,
        deadline: Option<Instant>,
    ) -> Result<Response<Body>, Failure> {
        if let Some(deadline) = deadline {
            parts.headers.insert("grpc-timeout", timeout_header(deadline.saturating_duration_since(Instant::now())));
        }
        let mut inner = self.inner.clone();
        let service = inner.ready().await.map_err(Failure::new)?;
        service.call(Request::from_parts(parts, body)).await.map_err(Failure::new)
    }
}

/// An attempt without an answer.
struct Failure {
    error: tonic::transport::Error,
    /// Whether the request may have reached a server.
    sent: bool,
    /// The transport reads `grpc-timeout` too, and its clock may ring in the same millisecond as ours.
    timed_out: bool,
}

impl Failure {
    fn new(error: tonic::transport::Error) -> Self {
        let (mut sent, mut timed_out) = (true, false);
        let mut source = error.source();
        while let Some(error) = source {
            sent &= !error.is::<ConnectError>();
            timed_out |= error.is::<TimeoutExpired>();
            source = error.source();
        }
        Self { error, sent, timed_out }
    }

    fn into_status(self) -> Status {
        tracing::debug!(error = %Chain(&self.error), "an onward call got no answer");
        match self.timed_out {
            true => Refusal::deadline_exceeded().into(),
            false => Refusal::unavailable("a service that this call needs").into(),
        }
    }
}

/// `grpc-timeout` has eight digits: the finest unit that fits.
fn timeout_header(left: Duration) -> HeaderValue {
    const DIGITS: u128 = 100_000_000;
    let text = match (left.as_micros(), left.as_millis()) {
        (micros, _) if micros < DIGITS => format!("{micros}u"),
        (_, millis) if millis < DIGITS => format!("{millis}m"),
        _ => format!("{}S", left.as_secs().min(99_999_999)),
    };
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("1S"))
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    /// Always ready: waiting happens inside the call, where the deadline bounds it.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_has_at_most_eight_digits() {
        for (left, header) in [
            (Duration::ZERO, "0u"),
            (Duration::from_millis(1500), "1500000u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(1_000_000), "1000000S"),
        ] {
            assert_eq!(timeout_header(left), header);
        }
    }
}
