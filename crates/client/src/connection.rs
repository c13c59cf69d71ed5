//! The connection under the generated clients.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use channel::{Asked, Channel, Failure};
use http::{HeaderValue, Request, Response, header::AUTHORIZATION};
use http_body_util::{BodyExt as _, Full};
use tokio::time::{Instant, timeout_at};
use tonic::{Status, body::Body};
use tonic_types::StatusExt as _;
use tower::Service;

use crate::service_account::ServiceAccount;

/// An extension of requests that carry a `request_id` or have no effect when they are repeated: such a call is sent again when no answer
/// came, or UNAVAILABLE. Methods without side effects need no mark.
#[derive(Debug, Clone, Copy)]
pub struct Repeatable;

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

    /// Always ready: waiting happens inside the call, where the deadline bounds it.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Some(token) = self.token.load_full() {
            request.headers_mut().entry(AUTHORIZATION).or_insert_with(|| HeaderValue::clone(&token));
        }
        let account = self.account.clone().filter(|_| !request.headers().contains_key(AUTHORIZATION));
        // `Request::set_timeout` writes the header; the wait here is the same time, for a server that never answers.
        let limit = channel::timeout::read(request.headers()).unwrap_or(self.deadline);
        let deadline = Instant::now() + limit;
        let method = api::method(request.uri().path());
        let single = method.is_some_and(|method| !method.client_streaming);
        let unary = method.is_some_and(|method| !method.client_streaming && !method.server_streaming);
        let harmless = method.is_some_and(|method| method.read_only);
        let repeatable = unary && (harmless || request.extensions().get::<Repeatable>().is_some());
        let asked = Asked { deadline, told: Some(deadline), unary, repeatable };
        let channel = self.channel.clone();
        Box::pin(async move {
            let Some(account) = account else { return channel.call(request, asked).await.map_err(status) };
            if !single {
                let (bearer, answer) = with_account(&account, &channel, request, asked).await?;
                if refuses_credential(&answer) {
                    account.forget(&bearer).await;
                }
                return Ok(answer);
            }
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let request = || Request::from_parts(head.clone(), Body::new(Full::new(body.clone())));
            let (bearer, answer) = with_account(&account, &channel, request(), asked).await?;
            if !refuses_credential(&answer) {
                return Ok(answer);
            }
            // Nothing was begun with it.
            account.forget(&bearer).await;
            with_account(&account, &channel, request(), asked).await.map(|(_, answer)| answer)
        })
    }
}

async fn with_account(
    account: &ServiceAccount,
    channel: &Channel,
    mut request: Request<Body>,
    asked: Asked,
) -> Result<(HeaderValue, Response<Body>), Status> {
    let bearer = account.bearer(channel, asked.deadline);
    let bearer = timeout_at(asked.deadline, bearer).await.map_err(|_| late())??;
    request.headers_mut().insert(AUTHORIZATION, bearer.clone());
    Ok((bearer, channel.call(request, asked).await.map_err(status)?))
}

/// That the token was refused, and not what the call brings of its own, such as a password.
fn refuses_credential(answer: &Response<Body>) -> bool {
    let Some(status) = Status::from_header_map(answer.headers()) else { return false };
    let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
    ["UNAUTHENTICATED", "CREDENTIAL_REVOKED"].contains(&reason.as_str())
}

fn late() -> Status {
    Status::deadline_exceeded("no answer came before the deadline")
}

pub(crate) fn status(failure: Failure) -> Status {
    match failure {
        Failure::DeadlineExceeded => late(),
        Failure::Unreachable => Status::unavailable("the gateway cannot be reached"),
        Failure::Lost { .. } => Status::unavailable("the connection was lost before an answer came"),
        Failure::Crowded => Status::resource_exhausted("too many calls are open"),
        Failure::Request(status) => status,
    }
}
