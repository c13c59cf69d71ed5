//! The connection under the generated clients.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use http::{HeaderValue, Request, Response, header::AUTHORIZATION};
use tokio::time::timeout;
use tonic::{Status, TimeoutExpired, body::Body, transport::Channel};
use tower::Service;

use crate::service_account::ServiceAccount;

const TIMEOUT: &str = "grpc-timeout";

/// Adds the credential and the deadline to every call, and ends a call whose time is up.
#[derive(Debug, Clone)]
pub struct Connection {
    channel: Channel,
    deadline: Duration,
    token: Arc<ArcSwapOption<HeaderValue>>,
    account: Option<Arc<ServiceAccount>>,
}

impl Connection {
    pub(crate) fn new(channel: Channel, deadline: Duration, token: Arc<ArcSwapOption<HeaderValue>>) -> Self {
        Self { channel, deadline, token, account: None }
    }

    /// Of a call that sets none.
    pub(crate) fn deadline(&self) -> Duration {
        self.deadline
    }

    pub(crate) fn set_account(&mut self, account: ServiceAccount) {
        self.account = Some(Arc::new(account));
    }
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.channel.poll_ready(context).map_err(|error| Status::from_error(error.into()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Some(token) = self.token.load_full() {
            request.headers_mut().entry(AUTHORIZATION).or_insert_with(|| HeaderValue::clone(&token));
        }
        let account = self.account.clone().filter(|_| !request.headers().contains_key(AUTHORIZATION));
        // `Request::set_timeout` writes the header; the wait here is the same time, for a server that never answers.
        let limit = match request.headers().get(TIMEOUT) {
            Some(asked) => parse(asked).unwrap_or(self.deadline),
            None => {
                request.headers_mut().insert(TIMEOUT, header(self.deadline));
                self.deadline
            }
        };
        // The channel that was asked whether it is ready makes the call; its clone takes the next.
        let next = self.channel.clone();
        let mut channel = std::mem::replace(&mut self.channel, next);
        Box::pin(async move {
            let answer = async {
                if let Some(account) = account {
                    let bearer = account.bearer(channel.clone()).await?;
                    request.headers_mut().insert(AUTHORIZATION, bearer);
                }
                channel.call(request).await.map_err(status)
            };
            timeout(limit, answer).await.map_err(|_| late())?
        })
    }
}

fn late() -> Status {
    Status::deadline_exceeded("no answer came before the deadline")
}

/// The channel keeps the deadline of the header too, and which of the two waits ends first is chance; its own says CANCELLED.
fn status(error: tonic::transport::Error) -> Status {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(inner) = cause {
        if inner.is::<TimeoutExpired>() {
            return late();
        }
        cause = inner.source();
    }
    Status::from_error(error.into())
}

/// At most eight digits, in the finest unit that they reach.
fn header(limit: Duration) -> HeaderValue {
    let micros = limit.as_micros();
    let text =
        if micros < 100_000_000 { format!("{micros}u") } else { format!("{}m", limit.as_millis().min(99_999_999)) };
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("1S"))
}

fn parse(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_survives_its_header() {
        for limit in [Duration::from_millis(1), Duration::from_secs(5), Duration::from_secs(3600)] {
            assert_eq!(parse(&header(limit)), Some(limit));
        }
        assert_eq!(parse(&HeaderValue::from_static("")), None);
        assert_eq!(parse(&HeaderValue::from_static("5")), None);
    }
}
