//! A connection's bytes, looked at as they come.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep_until};

use super::frames::{Frames, Rates};

/// Ends a connection that floods us, or does not finish what it has begun to say.
pub(super) struct Guard<T> {
    inner: T,
    frames: Frames,
    accepted: Instant,
    header_timeout: Duration,
    /// For what the peer owes since the moment given.
    timer: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<T> Guard<T> {
    pub fn new(inner: T, rates: Rates, header_timeout: Duration) -> Self {
        let now = Instant::now();
        Self { inner, frames: Frames::new(rates, now), accepted: now, header_timeout, timer: None }
    }

    fn cut(reason: &'static str) -> io::Error {
        meters::CONNECTIONS_CUT.count_of("reason", reason);
        tracing::debug!(reason, "a connection is cut");
        io::Error::new(io::ErrorKind::ConnectionAborted, reason)
    }

    fn poll_owed(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let Some(since) = self.frames.owing_since(self.accepted) else {
            self.timer = None;
            return Poll::Pending;
        };
        let timer = match &mut self.timer {
            Some((armed, timer)) if *armed == since => timer,
            _ => {
                let end = tokio::time::Instant::from_std(since + self.header_timeout);
                &mut self.timer.insert((since, Box::pin(sleep_until(end)))).1
            }
        };
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Self::cut("slow_headers"))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Guard<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.inner).poll_read(cx, buffer);
        if let Poll::Ready(Ok(())) = read
            && let Some(came) = buffer.filled().get(before..)
            && let Err(abuse) = this.frames.came(came, Instant::now())
        {
            return Poll::Ready(Err(Self::cut(abuse.name())));
        }
        // A peer that trickles is not silent: the timer is looked at whether something came or not.
        match this.poll_owed(cx) {
            Poll::Ready(error) => Poll::Ready(Err(error)),
            Poll::Pending => read,
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Guard<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
