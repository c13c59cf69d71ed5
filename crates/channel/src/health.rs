//! Whether a replica answers, judged by what became of its calls.
//!
//! Several failures in a row with no answer in between eject it: no more calls go there for a while, which doubles each time. When the
//! while is over it is tried again, and one failure is then enough. A failure is an UNAVAILABLE of its own, a connection that broke under a
//! call, and a call that was given up while nothing whatever was heard from the replica. What it answers otherwise, errors too, is an
//! answer.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// In a row.
const FAILURES: u32 = 3;
const FIRST_EJECTION: Duration = Duration::from_secs(1);
const LONGEST_EJECTION: Duration = Duration::from_secs(30);

/// Microseconds on a clock of our own that only counts up.
pub(crate) fn now() -> u64 {
    static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
    // More than 500,000 years.
    u64::try_from(BEGINNING.elapsed().as_micros()).unwrap_or(u64::MAX)
}

#[derive(Debug, Default)]
pub(crate) struct Health {
    failures: AtomicU32,
    ejections: AtomicU32,
    until: AtomicU64,
}

impl Health {
    pub fn is_ejected(&self) -> bool {
        let until = self.until.load(Relaxed);
        until != 0 && now() < until
    }

    pub fn answered(&self) {
        // Nearly always they are 0, and a cache line that is only read stays where it is.
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
            self.ejections.store(0, Relaxed);
            self.until.store(0, Relaxed);
        }
    }

    /// Whether that was one too many.
    pub fn failed(&self) -> bool {
        self.failures.fetch_add(1, Relaxed) + 1 >= FAILURES && !self.is_ejected()
    }

    /// For how long.
    pub fn eject(&self) -> Duration {
        let before = self.ejections.fetch_add(1, Relaxed).min(16);
        let pause = (FIRST_EJECTION * 2u32.pow(before)).min(LONGEST_EJECTION);
        // Callers who found out together do not come back together.
        let pause = pause.mul_f64(0.75 + 0.5 * rand::random::<f64>());
        self.until.store(now() + u64::try_from(pause.as_micros()).unwrap_or(u64::MAX / 2), Relaxed);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_eject_and_an_answer_in_between_saves() {
        let health = Health::default();
        assert!(!health.failed() && !health.failed());
        health.answered();
        assert!(!health.failed() && !health.failed() && health.failed());
        let first = health.eject();
        assert!(health.is_ejected() && first <= FIRST_EJECTION.mul_f64(1.25), "{first:?}");
        assert!(!health.failed(), "it is out already");
    }

    #[test]
    fn one_failure_is_enough_after_the_return_and_the_pause_has_doubled() {
        let health = Health::default();
        (0..FAILURES).for_each(|_| _ = health.failed());
        health.eject();
        health.until.store(0, Relaxed);
        assert!(!health.is_ejected() && health.failed());
        let second = health.eject();
        assert!(second >= FIRST_EJECTION.mul_f64(1.5), "{second:?}");
        for _ in 0..40 {
            assert!(health.eject() <= LONGEST_EJECTION.mul_f64(1.25));
        }
        health.answered();
        assert!(!health.is_ejected() && !health.failed());
    }
}
