//! Calls to other services: balanced over their replicas (crate `channel`), always bounded in time, and carrying onward what belongs to the
//! call.
//!
//! A generated client is put on top: `OrganizationServiceClient::new(channel)`. Its requests come from
//! `CallContext::request`, so that the remaining deadline, the trace context and the request id go with them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use channel::{Asked, Failure, PUSHBACK};
use clap::Args;
use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response};
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use crate::call::{CallContext, Keyed, RequestId};
use crate::contract::Contract;
use crate::layers::{Onward, PROMPT};
use crate::options::seconds;
use crate::refusal::Refusal;

pub use channel::AddressError as ChannelError;

/// For a call without a deadline of its own.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(10);
/// And for one whose request streams: whoever serves it says how long that may take.
const LONGEST_REQUEST: Duration = Duration::from_secs(3600);
/// Told to whoever has too many calls open.
const COME_AGAIN: Duration = Duration::from_millis(100);

/// How the services of the installation are called, by the gateway and by each other.
///
/// Every address behind the name of a service is one of its replicas, and so is every entry of a list with commas. A call goes to the one
/// of two at random that has fewer calls open. A replica that fails three calls in a row (UNAVAILABLE, a broken connection, silence
/// until the caller gave up) gets none for a second, then two, up to half a minute, for as long as others do better; at most half of
/// them are out at a time. A call that no replica has begun is sent to another. One that may have been begun is sent again at most twice,
/// if its method has no side effects or it carries a request_id, and repetitions stay below a fifth of all calls; an
/// answer that has been asked for again in vain says so (`grpc-retry-pushback-ms: -1`), and nobody asks again for it.
#[derive(Args, Clone, Copy, Debug)]
pub struct ChannelOptions {
    /// Seconds that connecting to one address of a service may take, until its first word. Others serve meanwhile.
    #[arg(long, env = "GUILDHALL_CONNECT_TIMEOUT", value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub connect_timeout: Duration,
    /// Seconds without a word from a service after which its connection is asked for a sign of life.
    #[arg(long, env = "GUILDHALL_KEEPALIVE_INTERVAL", value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub keepalive_interval: Duration,
    /// Seconds that it has for that sign. A connection whose other end is gone without a word is given up within the sum of both.
    #[arg(long, env = "GUILDHALL_KEEPALIVE_TIMEOUT", value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub keepalive_timeout: Duration,
    /// Seconds between two look-ups of a service's name. It is also looked up when a connection fails, at most twice a second. Addresses
    /// that are gone get no new calls; while there is no answer, those known before stay.
    #[arg(long, env = "GUILDHALL_LOOK_UP_INTERVAL", value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub look_up_interval: Duration,
    /// The name server that is asked for the services' names, A and AAAA, over UDP and TCP: `10.0.0.10:8600`. Without it the machine's
    /// own resolver is asked, hosts file and search list included.
    #[arg(long, env = "GUILDHALL_NAME_SERVER", value_name = "ADDRESS")]
    pub name_server: Option<SocketAddr>,
    /// Calls that may be open at once to one service, of which half may be streams. The next is refused with RESOURCE_EXHAUSTED. No more than
    /// the services' own `--max-streams`.
    #[arg(long, env = "GUILDHALL_MAX_ONWARD_CALLS", value_name = "CALLS", default_value_t = 4096)]
    pub max_onward_calls: usize,
}

impl Default for ChannelOptions {
    fn default() -> Self {
        let own = channel::Options::default();
        Self {
            connect_timeout: own.connect_timeout,
            keepalive_interval: own.keepalive_interval,
            keepalive_timeout: own.keepalive_timeout,
            look_up_interval: own.look_up_interval,
            name_server: None,
            max_onward_calls: own.max_calls,
        }
    }
}

impl ChannelOptions {
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (option, holds) in [
            ("--connect-timeout (GUILDHALL_CONNECT_TIMEOUT)", !self.connect_timeout.is_zero()),
            ("--keepalive-interval (GUILDHALL_KEEPALIVE_INTERVAL)", !self.keepalive_interval.is_zero()),
            ("--keepalive-timeout (GUILDHALL_KEEPALIVE_TIMEOUT)", !self.keepalive_timeout.is_zero()),
            ("--look-up-interval (GUILDHALL_LOOK_UP_INTERVAL)", !self.look_up_interval.is_zero()),
            ("--max-onward-calls (GUILDHALL_MAX_ONWARD_CALLS)", self.max_onward_calls > 0),
        ] {
            if !holds {
                faults.push(format!("{option}: must be more than 0"));
            }
        }
        faults
    }
}

/// The replicas of one service; cheap to clone, all clones are one. Connects when first used.
#[derive(Clone, Debug)]
pub struct Channel {
    inner: channel::Channel,
    contract: Contract,
}

/// Opens a channel to `url`: `http://host:port` or `https://host:port`, or several with commas in between. Must be called inside the tokio
/// runtime. `contract` says which methods may be repeated; so may a call that carries a key (`CallContext::keyed_request`). With
/// `mutual_tls` it must be `https://`.
pub fn connect(
    url: &str,
    contract: Contract,
    options: &ChannelOptions,
    mutual_tls: Option<&tls::Mutual>,
) -> Result<Channel, ChannelError> {
    let options = channel::Options {
        connect_timeout: options.connect_timeout,
        keepalive_interval: options.keepalive_interval,
        keepalive_timeout: options.keepalive_timeout,
        look_up_interval: options.look_up_interval,
        name_server: options.name_server,
        mutual_tls: mutual_tls.cloned(),
        max_calls: options.max_onward_calls,
        lost: || unavailable().into(),
    };
    Ok(Channel { inner: channel::Channel::open(url, options)?, contract })
}

fn unavailable() -> Refusal {
    Refusal::unavailable("a service that this call needs")
}

impl Channel {
    async fn send(self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let call = CallContext::from_extensions(request.extensions());
        let method = Arc::clone(self.contract.method(request.uri().path()));
        let asked = channel::timeout::read(request.headers()).and_then(|timeout| Instant::now().checked_add(timeout));
        let own = call.deadline().into_iter().chain(asked).min();
        // A stream goes on after its head has come; only the head is waited for. Where the caller streams, it comes with the end of that.
        let limit = if method.takes_stream() { LONGEST_REQUEST } else { DEFAULT_DEADLINE };
        let deadline = own.unwrap_or_else(|| Instant::now() + limit);
        let told = if method.is_streaming() { own } else { Some(deadline) };
        let unary = method.index() != 0 && !method.is_streaming();
        let repeatable = unary && (method.is_repeatable() || request.extensions().get::<Keyed>().is_some());

        let (mut parts, body) = request.into_parts();
        let (onward, trace) = Onward::begin(&call, method.name());
        trace.write(&mut parts.headers);
        parts.headers.insert(RequestId::HEADER, call.request_id().header_value());
        parts.headers.insert(PROMPT, HeaderValue::from_static("1"));
        let request = Request::from_parts(parts, body);
        let answer = self.inner.call(request, Asked { deadline, told, unary, repeatable }).await;
        let in_vain = match &answer {
            Ok(response) => response.headers().contains_key(PUSHBACK),
            Err(failure) => matches!(failure, Failure::Unreachable | Failure::Lost { in_vain: true }),
        };
        if in_vain {
            call.asked_in_vain();
        }
        let answer = answer.map_err(|failure| match failure {
            Failure::DeadlineExceeded => Refusal::deadline_exceeded().into(),
            Failure::Unreachable | Failure::Lost { .. } => unavailable().into(),
            Failure::Crowded => Refusal::overloaded(COME_AGAIN.mul_f64(1.0 + rand::random::<f64>())).into(),
            Failure::Request(status) => status,
        });
        onward.answered(answer)
    }
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
