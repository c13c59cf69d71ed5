//! What of a request is kept, so that it can be sent again.

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
        // Copied from the second frame on: a frame of one byte would hold what it was read with, and a place in a list.
        let (mut first, mut more) = (Bytes::new(), BytesMut::new());
        while !body.is_end_stream() {
            let Some(frame) = body.frame().await else { break };
            let Ok(data) = frame?.into_data() else { continue };
            match (first.is_empty(), more.is_empty()) {
                (true, _) => first = data,
                (false, true) => {
                    more.extend_from_slice(&first);
                    more.extend_from_slice(&data);
                }
                (false, false) => more.extend_from_slice(&data),
            }
            if first.len().max(more.len()) > KEPT_BYTES {
                return Ok(Self::Once(Some(Body::new(Rest { came: joined(first, more), body }))));
            }
        }
        Ok(Self::Kept(joined(first, more)))
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

fn joined(first: Bytes, more: BytesMut) -> Bytes {
    if more.is_empty() { first } else { more.freeze() }
}

/// What came before it was too much, and then the rest.
struct Rest {
    came: Bytes,
    body: Body,
}

impl http_body::Body for Rest {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.came.is_empty() {
            false => Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.came))))),
            true => Pin::new(&mut self.body).poll_frame(cx),
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
        for (sizes, again) in
            [(&[][..], true), (&[10, 20][..], true), (&[0, 3, 0, 4][..], true), (&[KEPT_BYTES, 1, 5][..], false)]
        {
            let mut load = Load::gather(pieces(sizes)).await.unwrap();
            let first = load.take().unwrap().collect().await.unwrap().to_bytes();
            assert_eq!(first.len(), sizes.iter().sum::<usize>());
            assert_eq!(load.is_there(), again);
            assert_eq!(load.take().is_some(), again);
        }
    }

    #[tokio::test]
    async fn a_request_of_tiny_frames_is_kept_as_one_piece() {
        let mut load = Load::gather(pieces(&vec![1; KEPT_BYTES + 10])).await.unwrap();
        let mut sizes = Vec::new();
        let mut body = load.take().unwrap();
        while let Some(frame) = body.frame().await {
            sizes.push(frame.unwrap().into_data().unwrap().len());
        }
        assert_eq!(sizes, [vec![KEPT_BYTES + 1], vec![1; 9]].concat());
    }

    #[tokio::test]
    async fn what_comes_back_unsent_is_there_again() {
        let mut load = Load::gather(pieces(&[KEPT_BYTES, 1])).await.unwrap();
        let taken = load.take().unwrap();
        load.give_back(taken);
        assert!(load.is_there());
    }
}
