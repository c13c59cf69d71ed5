//! What of a request is kept, so that it can be sent again.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, Full};
use tonic::Status;
use tonic::body::Body;

/// A larger request is passed on as it comes, and sent once.
const KEPT_BYTES: usize = 64 * 1024;

/// A body that is there: all of it, or of a large one the first 64 KiB.
pub async fn gathered(body: Body) -> Result<Body, Status> {
    let mut load = Load::gather(body).await?;
    Ok(load.take().unwrap_or_default())
}

pub(crate) enum Load {
    Kept(Bytes),
    /// Gone with the attempt that takes it, unless it comes back unsent.
    Once(Option<Body>),
}

impl Load {
    /// Waits for the whole of a small body.
    pub async fn gather(mut body: Body) -> Result<Self, Status> {
        let (mut came, mut size) = (VecDeque::new(), 0);
        while !body.is_end_stream() {
            let Some(frame) = body.frame().await else { break };
            let Ok(data) = frame?.into_data() else { continue };
            size += data.len();
            came.push_back(data);
            if size > KEPT_BYTES {
                return Ok(Self::Once(Some(Body::new(Rest { came, body }))));
            }
        }
        Ok(Self::Kept(match came.len() {
            0 => Bytes::new(),
            1 => came.pop_front().unwrap_or_default(),
            _ => came
                .into_iter()
                .fold(BytesMut::with_capacity(size), |mut all, data| {
                    all.extend_from_slice(&data);
                    all
                })
                .freeze(),
        }))
    }

    pub fn take(&mut self) -> Option<Body> {
        match self {
            Self::Kept(bytes) => Some(Body::new(Full::new(bytes.clone()))),
            Self::Once(body) => body.take(),
        }
    }

    /// It was not sent.
    pub fn give_back(&mut self, unsent: Body) {
        if let Self::Once(body) = self {
            *body = Some(unsent);
        }
    }

    pub fn is_there(&self) -> bool {
        matches!(self, Self::Kept(_) | Self::Once(Some(_)))
    }
}

/// What came before it was too much, and then the rest.
struct Rest {
    came: VecDeque<Bytes>,
    body: Body,
}

impl http_body::Body for Rest {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.came.pop_front() {
            Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
            None => Pin::new(&mut self.body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.came.is_empty() && self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn pieces(pieces: &[usize]) -> Body {
        let frames: Vec<_> = pieces.iter().map(|&size| Ok::<_, Status>(Frame::data(vec![7; size].into()))).collect();
        Body::new(http_body_util::StreamBody::new(futures::stream::iter(frames)))
    }

    #[tokio::test]
    async fn a_small_request_can_be_taken_again_and_a_large_one_once() {
        for (sizes, again) in [(&[][..], true), (&[10, 20][..], true), (&[KEPT_BYTES, 1, 5][..], false)] {
            let mut load = Load::gather(pieces(sizes)).await.unwrap();
            let first = load.take().unwrap().collect().await.unwrap().to_bytes();
            assert_eq!(first.len(), sizes.iter().sum::<usize>());
            assert_eq!(load.is_there(), again);
            assert_eq!(load.take().is_some(), again);
        }
    }

    #[tokio::test]
    async fn what_comes_back_unsent_is_there_again() {
        let mut load = Load::gather(pieces(&[KEPT_BYTES, 1])).await.unwrap();
        let taken = load.take().unwrap();
        load.give_back(taken);
        assert!(load.is_there());
    }
}
