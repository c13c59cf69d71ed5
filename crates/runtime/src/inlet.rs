//! A stream that a caller sends, read no longer than it may take: what is done for it meanwhile waits, and is held, no longer either.

use std::time::Duration;

use api::access::v1::ErrorReason;
use futures::{Stream, StreamExt as _};
use tokio::time::{Instant, timeout_at};
use tonic::{Code, Status};

use crate::refusal::Refusal;

/// Until the next message has to be there.
const NEXT: Duration = Duration::from_secs(10);

/// Where the messages of a stream come in.
#[derive(Debug)]
pub struct Inlet<S> {
    stream: S,
    end: Instant,
}

impl<T, S: Stream<Item = Result<T, Status>> + Unpin> Inlet<S> {
    /// The last message is there within `longest`.
    pub fn new(stream: S, longest: Duration) -> Self {
        Self { stream, end: Instant::now() + longest }
    }

    /// None at the stream's end.
    pub async fn next(&mut self) -> Result<Option<T>, Status> {
        let now = Instant::now();
        // A message that is there already would be taken however late it is.
        if now >= self.end {
            return Err(too_late("the stream's last message did not come"));
        }
        let next = timeout_at(self.end.min(now + NEXT), self.stream.next()).await;
        next.map_err(|_| too_late("the stream's next message did not come"))?.transpose()
    }
}

fn too_late(message: &'static str) -> Status {
    Refusal::new(Code::DeadlineExceeded, ErrorReason::DeadlineExceeded, message).into()
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use tokio::time::sleep;

    use super::*;

    const LONGEST: Duration = Duration::from_secs(180);

    #[tokio::test(start_paused = true)]
    async fn what_has_come_is_taken_until_nothing_more_comes_in_time() {
        let mut inlet = Inlet::new(stream::iter([Ok(1), Ok(2)]).chain(stream::pending()), LONGEST);
        assert_eq!([inlet.next().await.unwrap(), inlet.next().await.unwrap()], [Some(1), Some(2)]);
        let begun = Instant::now();
        assert_eq!(inlet.next().await.unwrap_err().code(), Code::DeadlineExceeded);
        assert_eq!(begun.elapsed(), NEXT);
    }

    #[tokio::test(start_paused = true)]
    async fn no_message_is_taken_behind_the_last_moment_even_if_it_is_there() {
        let begun = Instant::now();
        let mut inlet = Inlet::new(stream::repeat_with(|| Ok(())), LONGEST);
        let refused = loop {
            match inlet.next().await {
                Ok(message) => assert_eq!(message, Some(())),
                Err(refused) => break refused,
            }
            // Each is worked on for a while.
            sleep(NEXT).await;
        };
        assert_eq!((refused.code(), begun.elapsed()), (Code::DeadlineExceeded, LONGEST));
    }

    #[tokio::test]
    async fn the_end_of_a_stream_is_no_fault() {
        assert_eq!(Inlet::new(stream::iter([Ok(1); 0]), LONGEST).next().await.unwrap(), None);
    }
}
