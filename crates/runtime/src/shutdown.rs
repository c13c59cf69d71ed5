//! How a process ends, and the background work that ends with it.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Said once: the process should end. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// One that only `begin` begins: for servers inside a test.
    pub fn manual() -> Self {
        Self::default()
    }

    /// One that SIGTERM or SIGINT begins. A second signal ends the process at once, with the exit code 130: somebody is
    /// waiting and has asked twice.
    pub fn on_signals() -> std::io::Result<Self> {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let shutdown = Self::default();
        let begun = shutdown.clone();
        tokio::spawn(async move {
            loop {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                if begun.has_begun() {
                    tracing::warn!(signal = name, "a second signal: ending at once");
                    std::process::exit(130);
                }
                tracing::info!(signal = name, "shutting down");
                begun.begin();
            }
        });
        Ok(shutdown)
    }

    pub fn begin(&self) {
        self.0.cancel();
    }

    pub fn has_begun(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until it has begun.
    pub async fn begun(&self) {
        self.0.cancelled().await;
    }
}

/// Tasks that live as long as the process: they are told to end once the last call has, and are waited for.
#[derive(Clone, Debug, Default)]
pub struct Background {
    tasks: TaskTracker,
    ending: CancellationToken,
}

impl Background {
    /// Runs `task` until it returns or the process ends, whichever is first. At the end it is dropped where it waits, so
    /// work that must not stop half-way belongs in `spawn_to_end`.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let ending = self.ending.clone();
        self.tasks.spawn(async move {
            let _ = ending.run_until_cancelled_owned(task).await;
        })
    }

    /// Runs a task that watches `Background::ending` itself and returns soon after.
    pub fn spawn_to_end(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.tasks.spawn(task)
    }

    /// Cancelled when background work should end.
    pub fn ending(&self) -> CancellationToken {
        self.ending.clone()
    }

    /// Tells every task to end and waits for them.
    pub async fn end(&self) {
        self.ending.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_waits_for_a_task_that_finishes_its_work() {
        let background = Background::default();
        background.spawn(std::future::pending());
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        let ending = background.ending();
        background.spawn_to_end(async move {
            ending.cancelled().await;
            tokio::task::yield_now().await;
            sender.send("finished").expect("the receiver lives");
        });
        background.end().await;
        assert_eq!(receiver.try_recv(), Ok("finished"));
    }
}
