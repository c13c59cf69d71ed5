use std::cell::RefCell;
use std::future::Future;
use std::ops::Range;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, TryStreamExt as _};
use nix::time::{ClockId, clock_gettime};
use tokio::runtime;

use super::Times;
use crate::Failure;
use crate::place::hold_this_thread;

/// A closed loop: each worker calls again as soon as it was answered. Tells the most that can be had, and nothing of how long
/// callers wait who do not wait for each other; that is [`super::Open`].
#[derive(Debug, Clone)]
pub struct Closed {
    /// A thread on each, with its share of the workers.
    pub cores: Vec<usize>,
    pub workers: usize,
    pub warm_up: Duration,
    pub lasting: Duration,
}

/// What a loop has seen.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub times: Times,
    pub per_s: f64,
    /// Those of the warm-up too: what the servers' time went into.
    pub calls: u64,
    /// The share of their cores that the clients used. Near 1 it is they that could give no more.
    pub client_busy: f64,
}

impl Seen {
    pub(super) fn join(&mut self, other: &Self, threads: usize) {
        self.times.add(&other.times);
        self.per_s += other.per_s;
        self.calls += other.calls;
        self.client_busy += other.client_busy / threads as f64;
    }
}

impl Closed {
    /// `seat` makes the workers of these numbers, in the thread that will run them.
    pub fn run<S, F, W>(&self, seat: S) -> Result<Seen, Failure>
    where
        S: Fn(Range<usize>) -> F + Sync,
        F: Future<Output = Result<Vec<W>, Failure>>,
        W: AsyncFnMut() -> Result<(), Failure>,
    {
        on_each(&self.cores, self.workers, &seat, |runtime, workers| {
            let begun = Instant::now() + self.warm_up;
            let end = begun + self.lasting;
            let spent = thread_time();
            // One for all of them: thousands of histograms would fill the caches with themselves.
            let seen = RefCell::new(Seen::default());
            let looped = async |mut call: W| {
                loop {
                    let sent = Instant::now();
                    if sent >= end {
                        return Ok::<_, Failure>(());
                    }
                    call().await?;
                    let answered = Instant::now();
                    let mut seen = seen.borrow_mut();
                    seen.calls += 1;
                    if answered >= begun && answered < end {
                        seen.times.record(answered - sent);
                    }
                }
            };
            let all: FuturesUnordered<_> = workers.into_iter().map(looped).collect();
            runtime.block_on(all.try_collect::<()>())?;
            let mut seen = seen.into_inner();
            seen.per_s = seen.times.count() as f64 / self.lasting.as_secs_f64();
            seen.client_busy = (thread_time() - spent).as_secs_f64() / (self.warm_up + self.lasting).as_secs_f64();
            Ok(seen)
        })
    }
}

/// Runs `measure` on a thread for each core, once all of them have their workers.
pub(super) fn on_each<S, F, W>(
    cores: &[usize],
    workers: usize,
    seat: &S,
    measure: impl Fn(&runtime::Runtime, Vec<W>) -> Result<Seen, Failure> + Sync,
) -> Result<Seen, Failure>
where
    S: Fn(Range<usize>) -> F + Sync,
    F: Future<Output = Result<Vec<W>, Failure>>,
{
    let threads = cores.len().min(workers).max(1);
    let barrier = Barrier::new(threads);
    let one = |thread: usize| {
        let prepared = hold_this_thread(&cores[thread..=thread])
            .and_then(|()| runtime::Builder::new_current_thread().enable_all().build())
            .map_err(Failure::system("cannot start a client"))
            .and_then(|runtime| {
                let range = workers * thread / threads..workers * (thread + 1) / threads;
                let seated = runtime.block_on(seat(range))?;
                Ok((runtime, seated))
            });
        barrier.wait();
        let (runtime, seated) = prepared?;
        measure(&runtime, seated)
    };
    let each: Vec<Result<Seen, Failure>> = thread::scope(|scope| {
        let started: Vec<_> = (0..threads).map(|thread| scope.spawn(move || one(thread))).collect();
        started
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(Failure::Unmeasurable("a client panicked".to_owned()))))
            .collect()
    });
    let mut whole = Seen::default();
    for seen in each {
        whole.join(&seen?, threads);
    }
    Ok(whole)
}

/// The CPU time of the calling thread.
pub(super) fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn every_worker_has_a_seat_once_and_works_until_the_end() {
        let cores = crate::place::Cores::of_this_machine().all;
        let seats = std::sync::Mutex::new(Vec::new());
        let worked = AtomicU64::new(0);
        let closed =
            Closed { cores, workers: 7, warm_up: Duration::from_millis(20), lasting: Duration::from_millis(100) };
        let worked = &worked;
        let seen = closed
            .run(async |range| {
                seats.lock().unwrap().extend(range.clone());
                let work = |_| {
                    async move || {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                        worked.fetch_add(1, Ordering::Relaxed);
                        Ok(())
                    }
                };
                Ok(range.map(work).collect())
            })
            .unwrap();
        seats.lock().unwrap().sort_unstable();
        assert_eq!(*seats.lock().unwrap(), (0..7).collect::<Vec<_>>());
        assert_eq!(seen.calls, worked.load(Ordering::Relaxed));
        assert!(seen.times.count() > 0 && seen.times.count() < seen.calls, "the warm-up is not counted");
        assert!(seen.times.ms(0.0) >= 5.0 - 0.01);
    }

    #[test]
    fn one_refusal_ends_it() {
        let closed = Closed {
            cores: crate::place::Cores::of_this_machine().client,
            workers: 3,
            warm_up: Duration::ZERO,
            lasting: Duration::from_secs(60),
        };
        let refuse = |number: usize| {
            async move || {
                tokio::time::sleep(Duration::from_millis(1)).await;
                if number == 2 { Err(Failure::Unmeasurable("refused".to_owned())) } else { Ok(()) }
            }
        };
        let ended = closed.run(async |range| Ok(range.map(refuse).collect()));
        assert_eq!(ended.unwrap_err().to_string(), "refused");
    }
}
