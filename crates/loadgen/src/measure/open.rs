use std::future::Future;
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, TryStreamExt as _};
use tokio::sync::{Mutex, mpsc};

use super::Times;
use super::closed::{Seen, on_each, thread_time};
use crate::Failure;

/// How long what was due in time is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// An open loop: calls come at a rate, whether or not those before were answered, as from callers who know nothing of each other.
/// A call's time counts from the moment at which it was to be sent: a server that stalls is told every call that it kept
/// waiting, and not the one alone that was on its way (coordinated omission).
#[derive(Debug, Clone)]
pub struct Open {
    /// A thread on each, with its share of the workers and of the rate.
    pub cores: Vec<usize>,
    /// As many may be on their way at once; those beyond wait, and their waiting counts.
    pub workers: usize,
    pub per_s: f64,
    pub warm_up: Duration,
    pub lasting: Duration,
}

/// When calls are due: evenly spaced, each counted from the beginning, so that no rounding and no delay adds up.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    pub begin: Instant,
    pub per_s: f64,
}

impl Schedule {
    pub fn due(&self, call: u64) -> Instant {
        self.begin + Duration::from_secs_f64(call as f64 / self.per_s)
    }
}

impl Open {
    /// `seat` makes the workers of these numbers, in the thread that will run them.
    pub fn run<S, F, W>(&self, seat: S) -> Result<Seen, Failure>
    where
        S: Fn(Range<usize>) -> F + Sync,
        F: Future<Output = Result<Vec<W>, Failure>>,
        W: AsyncFnMut() -> Result<(), Failure>,
    {
        let threads = self.cores.len().min(self.workers).max(1);
        on_each(&self.cores, self.workers, &seat, |runtime, workers| {
            let schedule = Schedule { begin: Instant::now(), per_s: self.per_s / threads as f64 };
            let begun = schedule.begin + self.warm_up;
            let end = begun + self.lasting;
            let spent = thread_time();
            let (send, due) = mpsc::unbounded_channel();
            thread::scope(|scope| {
                // A thread of its own, for the timers of an asynchronous runtime are a millisecond coarse.
                scope.spawn(move || tick(schedule, end, &send));
                let due = Mutex::new(due);
                let due = &due;
                let looped = async |mut call: W| {
                    let (mut times, mut calls) = (Times::default(), 0);
                    loop {
                        let Some(intended) = due.lock().await.recv().await else {
                            return Ok::<_, Failure>((times, calls));
                        };
                        // Given up: told by its age, for it would have taken longer still.
                        if end.elapsed() < PATIENCE {
                            call().await?;
                            calls += 1;
                        }
                        if intended >= begun {
                            times.record(intended.elapsed());
                        }
                    }
                };
                let all: Vec<(Times, u64)> =
                    runtime.block_on(workers.into_iter().map(looped).collect::<FuturesUnordered<_>>().try_collect())?;
                let mut seen = Seen::default();
                for (times, calls) in &all {
                    seen.times.add(times);
                    seen.calls += calls;
                }
                seen.per_s = seen.times.count() as f64 / end.max(Instant::now()).duration_since(begun).as_secs_f64();
                seen.client_busy = (thread_time() - spent).as_secs_f64() / schedule.begin.elapsed().as_secs_f64();
                Ok(seen)
            })
        })
    }
}

/// Sends each call's moment when it has come; those that were slept through at once, with their own moments.
fn tick(schedule: Schedule, end: Instant, send: &mpsc::UnboundedSender<Instant>) {
    for call in 0.. {
        let due = schedule.due(call);
        if due >= end {
            return;
        }
        if let Some(pause) = due.checked_duration_since(Instant::now()) {
            thread::sleep(pause);
        }
        if send.send(due).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn the_millionth_call_is_due_as_exactly_as_the_first() {
        let schedule = Schedule { begin: Instant::now(), per_s: 3_000.0 };
        assert_eq!(schedule.due(0), schedule.begin);
        let last = schedule.due(3_000_000) - schedule.begin;
        assert!(last.abs_diff(Duration::from_secs(1000)) < Duration::from_micros(1), "{last:?}");
    }

    /// The server stalls once, for 100 ms. A closed loop of one would see one slow call in a hundred; whoever came meanwhile
    /// waited too.
    #[test]
    fn a_stall_counts_for_everybody_who_came_meanwhile() {
        let open = Open {
            cores: crate::place::Cores::of_this_machine().client,
            workers: 1,
            per_s: 200.0,
            warm_up: Duration::ZERO,
            lasting: Duration::from_millis(500),
        };
        let stalled = AtomicBool::new(false);
        let stalled = &stalled;
        let seen = open
            .run(async |range| {
                let call = |_| {
                    async move || {
                        if !stalled.swap(true, Ordering::Relaxed) {
                            tokio::time::sleep(Duration::from_millis(100)).await;
                        }
                        Ok(())
                    }
                };
                Ok(range.map(call).collect())
            })
            .unwrap();
        assert_eq!(seen.times.count(), 100, "each call that was due was made");
        // Twenty came in these 100 ms, one each 5 ms: the tenth of them waited for about 50.
        assert!(seen.times.ms(0.90) > 30.0, "{}", seen.times.ms(0.90));
        assert!(seen.times.ms(1.0) >= 99.0, "{}", seen.times.ms(1.0));
    }
}
