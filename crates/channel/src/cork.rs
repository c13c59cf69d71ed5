//! What is written in one turn of the runtime, sent together.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What waits to be sent. More is sent at once, from where it lies.
const MOST_BYTES: usize = 16 * 1024;
/// What is kept of the memory between two turns.
const KEPT_BYTES: usize = 2 * 1024;

/// A connection on which small messages of many calls go out by one write.
///
/// Whoever has an answer wakes the connection, which the runtime polls next: each answer would be a system call of its own, and
/// cost as much as computing it. So a flush lets everybody who is ready have their turn before it sends what came together.
pub struct Corked<T> {
    inner: T,
    held: Vec<u8>,
    sent: usize,
    /// The others have had their turn since the first of what is held.
    waited: bool,
}

impl<T> Corked<T> {
    pub fn new(inner: T) -> Self {
        Self { inner, held: Vec::new(), sent: 0, waited: false }
    }
}

impl<T: AsyncWrite + Unpin> Corked<T> {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.held.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.inner).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.sent += sent,
            }
        }
        self.held.clear();
        self.held.shrink_to(KEPT_BYTES);
        (self.sent, self.waited) = (0, false);
        Poll::Ready(Ok(()))
    }

    /// Whether so much more can be held; if not, nothing is held any more.
    fn poll_room(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<io::Result<bool>> {
        if self.held.len() + bytes <= MOST_BYTES {
            return Poll::Ready(Ok(true));
        }
        ready!(self.poll_send(cx))?;
        Poll::Ready(Ok(bytes <= MOST_BYTES))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Corked<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Corked<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let bytes = slices.iter().map(|slice| slice.len()).sum();
        if !ready!(this.poll_room(cx, bytes))? {
            return Pin::new(&mut this.inner).poll_write_vectored(cx, slices);
        }
        for slice in slices {
            this.held.extend_from_slice(slice);
        }
        Poll::Ready(Ok(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.held.is_empty() {
            if !self.waited {
                self.waited = true;
                // Who wakes itself is polled after all who are ready now.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            ready!(self.poll_send(cx))?;
        }
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::future::poll_fn;

    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    /// Tells what was written at once.
    #[derive(Default)]
    struct Writes(Vec<Vec<u8>>);

    impl AsyncWrite for Writes {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.0.push(bytes.to_vec());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_comes_before_the_others_have_had_their_turn_goes_along() {
        let mut corked = Corked::new(Writes::default());
        corked.write_all(b"one").await.unwrap();
        let mut turns = 0;
        poll_fn(|cx| {
            turns += 1;
            let flushed = Pin::new(&mut corked).poll_flush(cx);
            if flushed.is_pending() {
                let late = [IoSlice::new(b", "), IoSlice::new(b"two")];
                assert!(Pin::new(&mut corked).poll_write_vectored(cx, &late).is_ready());
            }
            flushed
        })
        .await
        .unwrap();
        assert_eq!((turns, &corked.inner.0), (2, &vec![b"one, two".to_vec()]));
        corked.flush().await.unwrap();
        assert_eq!(corked.inner.0.len(), 1, "there is nothing more to send");
    }

    #[tokio::test]
    async fn what_is_large_goes_at_once_behind_what_waits() {
        let mut corked = Corked::new(Writes::default());
        corked.write_all(b"small").await.unwrap();
        corked.write_all(&vec![7; MOST_BYTES + 1]).await.unwrap();
        assert_eq!(corked.inner.0.iter().map(Vec::len).collect::<Vec<_>>(), [5, MOST_BYTES + 1]);
        corked.write_all(b"the last").await.unwrap();
        corked.shutdown().await.unwrap();
        assert_eq!(corked.inner.0[2], b"the last");
    }

    #[tokio::test]
    async fn a_peer_that_takes_little_at_a_time_gets_all_of_it() {
        let (near, mut far): (_, DuplexStream) = duplex(7);
        let mut corked = Corked::new(near);
        let said: Vec<u8> = (0..=255).cycle().take(3 * MOST_BYTES).collect();
        let expected = said.clone();
        let writing = tokio::spawn(async move {
            for piece in said.chunks(1000) {
                corked.write_all(piece).await.unwrap();
                corked.flush().await.unwrap();
            }
            corked.shutdown().await.unwrap();
        });
        let mut heard = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut far, &mut heard).await.unwrap();
        writing.await.unwrap();
        assert!(heard == expected);
    }
}
