//! A request that is not a message of its method is its caller's fault, and is told like any other.
//!
//! The transport answers it by a status of its own: INTERNAL for bytes that are no message, OUT_OF_RANGE for too many of them, neither
//! with a reason. Whatever is refused further in has its details already and passes through.

use api::access::v1::ErrorReason;
use http::{HeaderMap, Response};
use tonic::{Code, Status};
use tower::util::MapResponseLayer;

use crate::Refusal;

const DETAILS: &str = "grpc-status-details-bin";

pub fn unreadable<B>() -> MapResponseLayer<fn(Response<B>) -> Response<B>> {
    MapResponseLayer::new(told)
}

fn told<B>(mut response: Response<B>) -> Response<B> {
    let Some(refusal) = refusal(response.headers()) else { return response };
    let status: Status = refusal.into();
    // Only a head that already was an answer without a body comes here: what it says is replaced.
    if let Err(fault) = status.add_header(response.headers_mut()) {
        tracing::error!(%fault, "a status cannot be written");
    }
    response
}

fn refusal(head: &HeaderMap) -> Option<Refusal> {
    if head.contains_key(DETAILS) || !head.contains_key("grpc-status") {
        return None;
    }
    let status = Status::from_header_map(head)?;
    match status.code() {
        Code::Internal => {
            let message = format!("the request is not a message of this method: {}", status.message());
            Some(Refusal::new(Code::InvalidArgument, ErrorReason::MalformedMessage, message))
        }
        Code::OutOfRange => Some(Refusal::new(
            Code::ResourceExhausted,
            ErrorReason::MessageTooLarge,
            "the request is larger than this method takes",
        )),
        _ => None,
    }
}
