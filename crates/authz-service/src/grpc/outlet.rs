//! A stream that a task fills no faster than it is read, and no longer than its reader may read it.

use std::{future::Future, time::Duration};

use access::{Access, Granted};
use api::access::v1::ErrorReason;
use futures::{FutureExt as _, future::BoxFuture, stream};
use runtime::{CallContext, Refusal};
use tenancy::OrganizationScope;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tonic::{Code, Response, Status, codegen::BoxStream};

/// How many messages wait to be read where each is small.
pub const WAITING: usize = 64;
/// No message is let out that was not asked for the reader's right within this time before.
const ASK_RIGHT: Duration = Duration::from_secs(1);

/// Where a task puts the messages of its stream.
#[derive(Debug)]
pub struct Outlet<T> {
    sender: mpsc::Sender<Result<T, Status>>,
    deadline: Option<Instant>,
    patience: Duration,
}

/// Why nothing more can be sent.
#[derive(Debug)]
pub enum Ended {
    /// The reader went away: there is nobody to tell.
    Left,
    Refused(Status),
}

impl From<Status> for Ended {
    fn from(status: Status) -> Self {
        Self::Refused(status)
    }
}

impl<T> Outlet<T> {
    /// Waits until there is room. No longer than the caller does, and no longer than `patience`.
    pub async fn send(&self, message: T) -> Result<(), Ended> {
        let message = match self.sender.try_send(Ok(message)) {
            Ok(()) => return self.in_time().map_err(Ended::from),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(Ended::Left),
            Err(mpsc::error::TrySendError::Full(message)) => message,
        };
        let stalled = Instant::now() + self.patience;
        let limit = self.deadline.map_or(stalled, |deadline| deadline.min(stalled));
        match timeout_at(limit, self.sender.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ended::Left),
            Err(_) => Err(too_late("nothing of the stream was read for too long").into()),
        }
    }

    /// Ends when the reader goes away: for what waits long for its next message.
    pub async fn left(&self) {
        self.sender.closed().await;
    }

    /// Whether the caller still waits: for what takes its time between two messages.
    pub fn in_time(&self) -> Result<(), Status> {
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(too_late("the deadline passed before the stream's end"));
        }
        Ok(())
    }
}

fn too_late(message: &'static str) -> Status {
    Refusal::new(Code::DeadlineExceeded, ErrorReason::DeadlineExceeded, message).into()
}

/// Asks again for the right that a stream began with. `self_id` is whom the request named by its rule's `self_field`.
pub fn right(
    access: &Access,
    granted: &Granted<OrganizationScope>,
    self_id: Option<&str>,
) -> impl FnMut() -> BoxFuture<'static, Result<(), Status>> + Send + use<> {
    let (access, granted, self_id) = (access.clone(), granted.clone(), self_id.map(str::to_owned));
    move || {
        let (access, granted, self_id) = (access.clone(), granted.clone(), self_id.clone());
        async move { access.not_taken_back(&granted, self_id.as_deref()).await }.boxed()
    }
}

/// The stream that `fill` fills, in a task of its own, with no more than `waiting` messages that are not read yet. What `fill` holds is
/// let go before its refusal waits to be read. Once `right` refuses, that is the stream's end: what was made before and not read stays
/// unread.
pub fn stream<T, F, R>(
    call: &CallContext,
    waiting: usize,
    patience: Duration,
    right: impl FnMut() -> R + Send + 'static,
    fill: impl FnOnce(Outlet<T>) -> F,
) -> Response<BoxStream<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<(), Ended>> + Send + 'static,
    R: Future<Output = Result<(), Status>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(waiting);
    let filled = fill(Outlet { sender: sender.clone(), deadline: call.deadline(), patience });
    let task = async move {
        if let Err(Ended::Refused(status)) = filled.await {
            let _ = sender.send(Err(status)).await;
        }
    };
    runtime::spawn_in_call(task);
    let reading = Some((receiver, right, Instant::now()));
    Response::new(Box::pin(stream::unfold(reading, |reading| async {
        let (mut receiver, mut right, mut asked) = reading?;
        let message = receiver.recv().await?;
        if asked.elapsed() >= ASK_RIGHT {
            if let Err(status) = right().await {
                return Some((Err(status), None));
            }
            asked = Instant::now();
        }
        Some((message, Some((receiver, right, asked))))
    })))
}

#[cfg(test)]
mod tests {
    use std::future::{Ready, ready};

    use futures::StreamExt as _;
    use tokio::time::sleep;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(8);

    /// Numbers without end, and the number of those that were sent.
    fn numbers(call: &CallContext) -> (BoxStream<usize>, mpsc::Receiver<(usize, Ended)>) {
        numbers_while(call, || ready(Ok(())))
    }

    fn numbers_while(
        call: &CallContext,
        right: impl FnMut() -> Ready<Result<(), Status>> + Send + 'static,
    ) -> (BoxStream<usize>, mpsc::Receiver<(usize, Ended)>) {
        let (tell, told) = mpsc::channel(1);
        let answer = stream(call, WAITING, PATIENCE, right, |outlet| async move {
            for number in 0.. {
                if let Err(ended) = outlet.send(number).await {
                    let _ = tell.send((number, ended)).await;
                    return Err(too_late("ended").into());
                }
            }
            Ok(())
        });
        (answer.into_inner(), told)
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_made_than_is_read_and_who_reads_nothing_is_left() {
        let (mut stream, mut told) = numbers(&CallContext::background());
        assert_eq!(stream.next().await.unwrap().unwrap(), 0);
        let begun = Instant::now();
        let (made, ended) = told.recv().await.unwrap();
        assert!(made <= WAITING + 2, "{made} were made for one that was read");
        assert!(matches!(ended, Ended::Refused(_)) && begun.elapsed() >= PATIENCE);
        // What was made is there, and behind it why there is no more.
        let rest: Vec<_> = stream.collect().await;
        assert_eq!(rest.last().unwrap().as_ref().unwrap_err().code(), Code::DeadlineExceeded);
        assert!(rest.len() > WAITING && rest[..rest.len() - 1].iter().all(Result::is_ok));
    }

    #[tokio::test(start_paused = true)]
    async fn the_callers_deadline_ends_it() {
        let call = CallContext::background().within(Duration::from_secs(1));
        let begun = Instant::now();
        let (stream, mut told) = numbers(&call);
        assert!(matches!(told.recv().await.unwrap().1, Ended::Refused(_)));
        assert!(begun.elapsed() < PATIENCE);
        drop(stream);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_lost_the_right_reads_nothing_more_however_slowly_they_read() {
        let gone = Instant::now() + Duration::from_secs(20);
        let right = move || ready(if Instant::now() < gone { Ok(()) } else { Err(Status::permission_denied("gone")) });
        let (mut stream, mut told) = numbers_while(&CallContext::background(), right);
        let ended = loop {
            // Slow enough to read for hours, quick enough never to be left.
            sleep(Duration::from_secs(3)).await;
            match stream.next().await.unwrap() {
                Ok(_) => assert!(Instant::now() < gone, "read after the right was gone"),
                Err(status) => break status,
            }
        };
        assert_eq!(ended.code(), Code::PermissionDenied);
        assert!(stream.next().await.is_none());
        assert!(matches!(told.recv().await.unwrap().1, Ended::Left));
    }

    #[tokio::test]
    async fn nothing_is_made_for_somebody_who_left() {
        let (stream, mut told) = numbers(&CallContext::background());
        drop(stream);
        assert!(matches!(told.recv().await.unwrap().1, Ended::Left));
    }
}
