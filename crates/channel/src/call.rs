//! A call: attempts at one replica after the other, as far as that is safe.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, USER_AGENT};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Response, Uri, Version};
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::retry::budget::Budget as _;

use crate::address::Origin;
use crate::answer::{Answer, Ticket};
use crate::connect::chain;
use crate::gather::Load;
use crate::{Channel, Inner, NOT_BEGUN, PUSHBACK, timeout};

/// Of a call that a server may have begun.
const ATTEMPTS: u32 = 3;
/// Of one that no server has begun: it adds nothing to anybody's load.
const FREE_ATTEMPTS: u32 = 10;
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// What the caller asks for.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// When the head of the answer is not waited for any more.
    pub deadline: Instant,
    /// What the server is told, as `grpc-timeout`.
    pub told: Option<Instant>,
    /// One message there and one back: it can be kept, and sent again.
    pub unary: bool,
    /// Doing it twice is as doing it once.
    pub repeatable: bool,
}

/// No answer came.
#[derive(Debug)]
pub enum Failure {
    DeadlineExceeded,
    /// Nobody has begun with it: no replica can be reached.
    Unreachable,
    /// It may have been done. `in_vain`: it was sent again as often as it may be.
    Lost {
        in_vain: bool,
    },
    /// Too many calls are open.
    Crowded,
    /// The caller's own body broke off.
    Request(Status),
}

enum Attempt {
    Answer(Response<Incoming>, Ticket),
    /// The connection ended before it was written, or the server says that it did not look at it.
    NotBegun,
    /// Anything may have become of it.
    Broken,
}

impl Channel {
    /// Sends a request. What of its URI counts is the path.
    pub async fn call(&self, request: Request<Body>, asked: Asked) -> Result<Response<Body>, Failure> {
        let place = self.0.place(asked.unary).ok_or(Failure::Crowded)?;
        let answer = self.0.attempts(request, asked, place);
        timeout_at(asked.deadline, answer).await.unwrap_or(Err(Failure::DeadlineExceeded))
    }
}

/// A call while it is open.
pub(crate) struct Place {
    _of_all: OwnedSemaphorePermit,
    _of_streams: Option<OwnedSemaphorePermit>,
}

impl Inner {
    fn place(&self, unary: bool) -> Option<Place> {
        let from = |places: &Arc<Semaphore>| Arc::clone(places).try_acquire_owned().ok();
        let of_streams = if unary { None } else { Some(from(&self.streams)?) };
        Some(Place { _of_all: from(&self.places)?, _of_streams: of_streams })
    }

    async fn attempts(&self, request: Request<Body>, asked: Asked, place: Place) -> Result<Response<Body>, Failure> {
        let (mut parts, body) = request.into_parts();
        parts.version = Version::HTTP_2;
        parts.extensions.clear();
        parts
            .headers
            .entry(USER_AGENT)
            .or_insert(HeaderValue::from_static(concat!("guildhall/", env!("CARGO_PKG_VERSION"))));
        let mut load = match asked.unary {
            true => Load::gather(body).await.map_err(Failure::Request)?,
            false => Load::Once(Some(body)),
        };
        if asked.repeatable {
            self.budget.deposit();
        }
        let (mut begun, mut free, mut pause, mut avoid) = (1, 1, FIRST_PAUSE, None);
        loop {
            let Some((endpoint, mut sender)) = self.fleet.connection(avoid.as_ref()).await else {
                return Err(Failure::Unreachable);
            };
            avoid = Some(Arc::clone(&endpoint));
            let ticket = Ticket::new(endpoint, Arc::clone(&self.fleet));
            let Some(body) = load.take() else { return Err(Failure::Lost { in_vain: false }) };
            let request = request_to(&ticket.endpoint().origin, &parts, body, asked.told);
            let attempt = match sender.try_send_request(request).await {
                Ok(response) => Attempt::Answer(response, ticket),
                Err(mut error) => {
                    let unsent = error.take_message();
                    judge(ticket, error.into_error(), unsent, &mut load)
                }
            };
            match attempt {
                Attempt::Answer(response, mut ticket) => {
                    let own = is_unavailable(&response);
                    match own {
                        true => ticket.failed(),
                        false => ticket.answered(),
                    }
                    // It knows too little yet to take any call; another replica may.
                    if own && response.headers().contains_key(NOT_BEGUN) && load.is_there() && free < FREE_ATTEMPTS {
                        free += 1;
                        meters::RETRIES.count();
                        sleep(pause.mul_f64(0.5 + rand::random::<f64>())).await;
                        continue;
                    }
                    if !own || !asked.repeatable || !load.is_there() {
                        return Ok(self.answer(response, ticket, place));
                    }
                    if begun == ATTEMPTS || !self.budget.withdraw() {
                        let mut response = self.answer(response, ticket, place);
                        response.headers_mut().insert(PUSHBACK, HeaderValue::from_static("-1"));
                        return Ok(response);
                    }
                    begun += 1;
                }
                // Not again at once: who refuses is busy with something.
                Attempt::NotBegun if load.is_there() && free < FREE_ATTEMPTS => {
                    free += 1;
                    if free < 4 {
                        continue;
                    }
                }
                Attempt::Broken if asked.repeatable && load.is_there() => {
                    if begun == ATTEMPTS || !self.budget.withdraw() {
                        return Err(Failure::Lost { in_vain: true });
                    }
                    begun += 1;
                }
                Attempt::NotBegun | Attempt::Broken => return Err(Failure::Lost { in_vain: false }),
            }
            meters::RETRIES.count();
            sleep(pause.mul_f64(0.5 + rand::random::<f64>())).await;
            pause = (pause * 4).min(Duration::from_millis(200));
        }
    }

    fn answer(&self, response: Response<Incoming>, ticket: Ticket, place: Place) -> Response<Body> {
        let lost = is_grpc(response.headers()).then_some(self.lost);
        let mut response = response;
        // Said to us: whoever is told of it further up must not take it for theirs.
        response.headers_mut().remove(NOT_BEGUN);
        response.map(|inner| Body::new(Answer::new(inner, lost, ticket, place)))
    }
}

fn judge(mut ticket: Ticket, error: hyper::Error, unsent: Option<Request<Body>>, load: &mut Load) -> Attempt {
    let unsent = unsent.map(|request| load.give_back(request.into_body()));
    if unsent.is_some() || was_refused(&error) {
        ticket.void();
        return Attempt::NotBegun;
    }
    tracing::debug!(error = %chain(&error), address = %ticket.endpoint().address, "a call got no answer");
    // A body that its caller breaks off is no fault of the server's.
    if error.is_user() {
        ticket.void();
    } else {
        ticket.failed();
    }
    Attempt::Broken
}

/// The server says that it has not looked at the request: its stream was refused, or came after the last that it named when it went away.
fn was_refused(error: &hyper::Error) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
            return error.is_remote() && (refused || error.is_go_away());
        }
        source = error.source();
    }
    false
}

fn request_to(origin: &Origin, parts: &Parts, body: Body, told: Option<Instant>) -> Request<Body> {
    let mut parts = parts.clone();
    let path = parts.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    let mut uri = http::uri::Parts::default();
    (uri.scheme, uri.authority) = (Some(origin.scheme.clone()), Some(origin.authority.clone()));
    uri.path_and_query = Some(path);
    if let Ok(uri) = Uri::from_parts(uri) {
        parts.uri = uri;
    }
    if let Some(told) = told {
        let left = told.saturating_duration_since(Instant::now());
        parts.headers.insert(timeout::HEADER, timeout::value(left));
    }
    Request::from_parts(parts, body)
}

/// UNAVAILABLE of the replica's own. Where it has asked again in vain itself, the fault lies further down, and so did the retries.
fn is_unavailable(response: &Response<Incoming>) -> bool {
    let code = response.headers().get(Status::GRPC_STATUS).map(|code| Code::from_bytes(code.as_bytes()));
    code == Some(Code::Unavailable) && !response.headers().contains_key(PUSHBACK)
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}
