//! A stream of requests: JSON objects, one on a line, each sent on when it has come.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use http_body::{Body, Frame};
use prost_reflect::DynamicMessage;
use tonic::Status;

use super::{call, frames::frame};

/// What was wrong with a line. It goes before whatever the service makes of a request that breaks off.
pub type Fault = Arc<OnceLock<Status>>;

/// From a line, and how many messages came before it, to its message.
pub type Reader = Box<dyn Fn(&[u8], usize) -> Result<DynamicMessage, Status> + Send + Sync>;

/// The lines of a body as gRPC messages.
pub struct Lines {
    inner: tonic::body::Body,
    reader: Reader,
    buffer: BytesMut,
    /// How much of the buffer holds no end of a line.
    searched: usize,
    messages: usize,
    ended: bool,
    fault: Fault,
}

impl Lines {
    pub fn new(inner: tonic::body::Body, fault: Fault, reader: Reader) -> Self {
        Self { inner, reader, buffer: BytesMut::new(), searched: 0, messages: 0, ended: false, fault }
    }

    /// The next line; the last one may do without its end.
    fn line(&mut self) -> Option<Bytes> {
        let end = self.buffer[self.searched..].iter().position(|&byte| byte == b'\n').map(|at| self.searched + at);
        match end {
            Some(end) => {
                let line = self.buffer.split_to(end).freeze();
                self.buffer.advance(1);
                self.searched = 0;
                Some(line)
            }
            None if self.ended && !self.buffer.is_empty() => {
                self.searched = 0;
                Some(self.buffer.split().freeze())
            }
            None => {
                self.searched = self.buffer.len();
                None
            }
        }
    }

    fn read(&mut self, line: &[u8]) -> Result<Option<Bytes>, Status> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let message = (self.reader)(line, self.messages)?;
        self.messages += 1;
        Ok(Some(frame(&message)))
    }

    fn fail<T>(&mut self, status: Status) -> Poll<Option<Result<T, Status>>> {
        // The first fault alone is told.
        let _ = self.fault.set(status.clone());
        self.ended = true;
        self.buffer.clear();
        self.searched = 0;
        Poll::Ready(Some(Err(status)))
    }
}

impl Body for Lines {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        loop {
            while let Some(line) = this.line() {
                match this.read(&line) {
                    Ok(None) => {}
                    Ok(Some(message)) => return Poll::Ready(Some(Ok(Frame::data(message)))),
                    Err(status) => return this.fail(status),
                }
            }
            if this.ended {
                return Poll::Ready(None);
            }
            if this.buffer.len() > call::MAX_BYTES {
                return this.fail(call::too_large(call::MAX_BYTES));
            }
            match ready!(Pin::new(&mut this.inner).poll_frame(context)) {
                None => this.ended = true,
                Some(Err(status)) => return this.fail(status),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        this.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}
