//! A stream that a task fills no faster than it is read, and no longer than its reader may read it.

use std::{
    future::{Future, pending},
    time::Duration,
};

use access::{Access, Granted};
use api::access::v1::ErrorReason;
use futures::stream;
use runtime::{CallContext, Refusal};
use tenancy::OrganizationScope;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout_at},
};
use tonic::{Code, Response, Status, codegen::BoxStream};

/// How many messages wait to be read.
const WAITING: usize = 64;
/// Whether the caller may still read is asked this often, as of a stream that has no end.
const ASK_RIGHT: Duration = Duration::from_secs(1);

/// Where a task puts the messages of its stream.
#[derive(Debug)]
pub struct Outlet<T> {
    sender: mpsc::Sender<Result<T, Status>>,
    deadline: Option<Instant>,
    patience: Duration,
    /// How the call would be refused now, once it would be.
    lost: watch::Receiver<Option<Status>>,
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
        let lost = self.lost.borrow().clone();
        if let Some(status) = lost {
            return Err(status.into());
        }
        let message = match self.sender.try_send(Ok(message)) {
            Ok(()) => return self.in_time().map_err(Ended::from),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(Ended::Left),
            Err(mpsc::error::TrySendError::Full(message)) => message,
        };
        let stalled = Instant::now() + self.patience;
        let limit = self.deadline.map_or(stalled, |deadline| deadline.min(stalled));
        tokio::select! {
            sent = timeout_at(limit, self.sender.send(message)) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(Ended::Left),
                Err(_) => Err(too_late("nothing of the stream was read for too long").into()),
            },
            status = lost_later(self.lost.clone()) => Err(status.into()),
        }
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

async fn lost_later(mut lost: watch::Receiver<Option<Status>>) -> Status {
    match lost.wait_for(Option::is_some).await.map(|status| status.clone()) {
        Ok(Some(status)) => status,
        _ => pending().await,
    }
}

/// Waits until the caller may go on no longer: how the call would be refused then.
pub async fn lost(access: Access, granted: Granted<OrganizationScope>, self_id: Option<String>) -> Status {
    loop {
        sleep(ASK_RIGHT).await;
        if let Err(status) = access.not_taken_back(&granted, self_id.as_deref()).await {
            return status;
        }
    }
}

/// The stream that `fill` fills, in a task of its own, until `lost` says how it is refused. What `fill` holds is let go before its refusal
/// waits to be read; it is never dropped at work, only told at its next message.
pub fn stream<T, F>(
    call: &CallContext,
    patience: Duration,
    lost: impl Future<Output = Status> + Send + 'static,
    fill: impl FnOnce(Outlet<T>) -> F,
) -> Response<BoxStream<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<(), Ended>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(WAITING);
    let (tell, told) = watch::channel(None);
    let filled = fill(Outlet { sender: sender.clone(), deadline: call.deadline(), patience, lost: told });
    let task = async move {
        let ask = async {
            let _ = tell.send(Some(lost.await));
            pending::<std::convert::Infallible>().await
        };
        let ended = tokio::select! {
            ended = filled => ended,
            never = ask => match never {},
        };
        if let Err(Ended::Refused(status)) = ended {
            let _ = sender.send(Err(status)).await;
        }
    };
    runtime::spawn_in_call(task);
    Response::new(Box::pin(stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|message| (message, receiver))
    })))
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(8);

    /// Numbers without end, and the number of those that were sent.
    fn numbers(call: &CallContext) -> (BoxStream<usize>, mpsc::Receiver<(usize, Ended)>) {
        numbers_until(call, pending())
    }

    fn numbers_until(
        call: &CallContext,
        lost: impl Future<Output = Status> + Send + 'static,
    ) -> (BoxStream<usize>, mpsc::Receiver<(usize, Ended)>) {
        let (tell, told) = mpsc::channel(1);
        let answer = stream(call, PATIENCE, lost, |outlet| async move {
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
    async fn whoever_lost_the_right_gets_no_more_however_slowly_they_read() {
        let (gone, begun) = (Duration::from_secs(20), Instant::now());
        let lost = async move {
            sleep(gone).await;
            Status::permission_denied("gone")
        };
        let (mut stream, mut told) = numbers_until(&CallContext::background(), lost);
        let mut read = 0;
        let ended = loop {
            // Slow enough to read for hours, quick enough never to be left.
            sleep(Duration::from_secs(5)).await;
            match stream.next().await.unwrap() {
                Ok(_) => read += 1,
                Err(status) => break status,
            }
        };
        assert_eq!(ended.code(), Code::PermissionDenied);
        let (made, _) = told.recv().await.unwrap();
        assert_eq!(read, made, "what was made before is all there is");
        assert!(made <= WAITING + 6, "{made} were made, of which the last after {:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn nothing_is_made_for_somebody_who_left() {
        let (stream, mut told) = numbers(&CallContext::background());
        drop(stream);
        assert!(matches!(told.recv().await.unwrap().1, Ended::Left));
    }
}
