//! What belongs to one call and must travel with it: its id, its deadline, its place in a trace.
//!
//! It is passed explicitly. A handler takes it from the request once and hands it to whatever calls onward; being a
//! plain value it goes through `tokio::spawn`, which a task-local would not survive. Log lines alone find their call by themselves
//! (`current`).
//!
//! ```ignore
//! let call = CallContext::of(&request);
//! let granted = self.authz.check(call.request(CheckRequest { .. })).await?;
//! ```

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;
use uuid::Uuid;

use crate::contract::Method;

/// Identifies a call in logs, events and answers. 1 to 64 visible ASCII characters: the caller's own, or a UUIDv7.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    pub const HEADER: http::HeaderName = http::HeaderName::from_static("x-request-id");

    /// Takes the caller's id when it is well formed. Anything else is dropped, not refused: it is only a label.
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(Self::HEADER)?;
        let well_formed = (1..=64).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic);
        well_formed.then(|| Self(value.clone()))
    }

    pub fn generate() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid();
        let mut buffer = Uuid::encode_buffer();
        let text: &str = uuid.hyphenated().encode_lower(&mut buffer);
        Self(HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("unknown")))
    }

    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    pub(crate) fn header_value(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A W3C trace context: the trace, and the span in it that what follows is a child of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    pub trace_id: u128,
    pub span_id: u64,
    pub sampled: bool,
    /// `tracestate`, passed on as it came.
    pub state: Option<HeaderValue>,
}

impl TraceContext {
    pub const HEADER: http::HeaderName = http::HeaderName::from_static("traceparent");
    pub const STATE_HEADER: http::HeaderName = http::HeaderName::from_static("tracestate");

    /// A new trace, unsampled: whether it is recorded is for the sampler to say.
    pub fn root() -> Self {
        Self { trace_id: nonzero(rand::random), span_id: nonzero(rand::random), sampled: false, state: None }
    }

    /// The same trace, a new span.
    pub fn child(self) -> Self {
        Self { span_id: nonzero(rand::random), ..self }
    }

    /// Reads `traceparent` and `tracestate`. A malformed one starts a new trace, as the specification asks.
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let bytes: &[u8] = headers.get(Self::HEADER)?.as_bytes();
        let version = hex(bytes.get(..2)?)?;
        // Later versions may append fields after another dash; 255 is forbidden.
        let length_fits =
            if version == 0 { bytes.len() == 55 } else { bytes.len() == 55 || bytes.get(55) == Some(&b'-') };
        let dashes = [2, 35, 52].iter().all(|&at| bytes.get(at) == Some(&b'-'));
        if version == 255 || !length_fits || !dashes {
            return None;
        }
        let trace_id = hex(&bytes[3..35])?;
        let span_id = u64::try_from(hex(&bytes[36..52])?).ok()?;
        let flags = hex(&bytes[53..55])?;
        let state = headers.get(Self::STATE_HEADER).cloned();
        (trace_id != 0 && span_id != 0).then_some(Self { trace_id, span_id, sampled: flags & 1 == 1, state })
    }

    /// Writes both headers, over any that are there.
    pub fn write(&self, headers: &mut HeaderMap) {
        let text = format!("00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled));
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(Self::HEADER, value);
        }
        if let Some(state) = &self.state {
            headers.insert(Self::STATE_HEADER, state.clone());
        }
    }
}

fn nonzero<T: Default + PartialEq>(random: impl Fn() -> T) -> T {
    loop {
        let value = random();
        if value != T::default() {
            return value;
        }
    }
}

/// Lower-case hexadecimal only, as `traceparent` requires.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |value: u128, digit| match digit {
        b'0'..=b'9' => Some(value << 4 | u128::from(digit - b'0')),
        b'a'..=b'f' => Some(value << 4 | u128::from(digit - b'a' + 10)),
        _ => None,
    })
}

/// The call being served, or the piece of background work being done. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CallContext {
    pub(crate) call: Arc<Call>,
    pub(crate) deadline: Option<Instant>,
}

/// What names a call, in its answer, its log lines and its trace.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) request_id: RequestId,
    pub(crate) trace: TraceContext,
    pub(crate) method: Option<Arc<Method>>,
    /// An onward call was repeated in vain: see `channel::PUSHBACK`.
    pub(crate) in_vain: Arc<AtomicBool>,
}

/// Marks an onward call that carries an idempotency key, so that repeating it does no harm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keyed;

impl CallContext {
    /// For work that no caller waits for: new ids and no deadline, so every onward call gets its channel's own.
    pub fn background() -> Self {
        Self::new(RequestId::generate(), TraceContext::root(), None)
    }

    pub(crate) fn new(request_id: RequestId, trace: TraceContext, method: Option<Arc<Method>>) -> Self {
        let in_vain = Arc::default();
        Self { call: Arc::new(Call { request_id, trace, method, in_vain }), deadline: None }
    }

    /// Takes over the place in a trace that a tracer gave the call, before anybody else knows of the call.
    pub(crate) fn adopt(&mut self, trace_id: u128, span_id: u64) {
        if let Some(call) = Arc::get_mut(&mut self.call) {
            call.trace.trace_id = trace_id;
            call.trace.span_id = span_id;
        }
    }

    /// Says whether the call is recorded, before anybody else knows of the call.
    pub(crate) fn sample(&mut self, sampled: bool) {
        if let Some(call) = Arc::get_mut(&mut self.call) {
            call.trace.sampled = sampled;
        }
    }

    /// The context the layers gave this request. Without the layers (a handler called directly) it is a new one.
    pub fn of<T>(request: &tonic::Request<T>) -> Self {
        Self::from_extensions(request.extensions())
    }

    /// The same for a request that is no tonic one yet.
    pub fn from_extensions(extensions: &http::Extensions) -> Self {
        extensions.get::<Self>().cloned().unwrap_or_else(Self::background)
    }

    /// Wraps a message for an onward call through a `runtime::Channel`, which then sends the remaining deadline, the
    /// trace context and the request id with it.
    pub fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.extensions_mut().insert(self.clone());
        request
    }

    /// As `request`, for a write that carries a `request_id`: the channel may send it again when it gets no answer.
    pub fn keyed_request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = self.request(message);
        request.extensions_mut().insert(Keyed);
        request
    }

    /// The same call with no more than `limit` left from now.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        let own = Instant::now() + limit;
        self.deadline = Some(self.deadline.map_or(own, |deadline| deadline.min(own)));
        self
    }

    /// Should this call fail now, its own caller need not ask again: that was done further down.
    pub fn asked_in_vain(&self) {
        self.call.in_vain.store(true, Ordering::Relaxed);
    }

    pub fn request_id(&self) -> &RequestId {
        &self.call.request_id
    }

    /// When the caller stops waiting. `None` for background work and for streams opened without a deadline.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// What is left until the deadline; zero once it has passed.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    pub fn trace(&self) -> &TraceContext {
        &self.call.trace
    }

    /// The method being served, when it came through the layers.
    pub fn method(&self) -> Option<&Method> {
        self.call.method.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        [(http::HeaderName::from_static(name), HeaderValue::from_str(value).expect("a header value"))]
            .into_iter()
            .collect()
    }

    #[test]
    fn a_trace_context_survives_the_wire() {
        let context = TraceContext { sampled: true, ..TraceContext::root() };
        let mut wire = HeaderMap::new();
        context.write(&mut wire);
        assert_eq!(TraceContext::from_headers(&wire), Some(context));
    }

    #[test]
    fn a_malformed_traceparent_is_none() {
        for value in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::from_headers(&headers("traceparent", value)), None, "{value}");
        }
    }

    #[test]
    fn a_request_id_is_short_and_visible_or_not_taken() {
        assert_eq!(RequestId::from_headers(&headers("x-request-id", "a-1")).expect("taken").as_str(), "a-1");
        for value in ["", "two words", &"x".repeat(65)] {
            assert_eq!(RequestId::from_headers(&headers("x-request-id", value)), None);
        }
        assert_eq!(Uuid::parse_str(RequestId::generate().as_str()).expect("a uuid").get_version_num(), 7);
    }
}
