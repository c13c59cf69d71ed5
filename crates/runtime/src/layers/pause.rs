//! How long a caller that is refused stays away.
//!
//! A refusal is cheap but not free: its way through HTTP/2 is half of what a small call costs. Were all who are refused told to come again
//! soon, then under ten times the load the server would do little else than refuse them. So each is given a moment of their own, one
//! behind the other: close enough that somebody is always there, and no closer than can be refused beside the calls that are served.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Nobody is told to come again sooner.
pub const SOON: Duration = Duration::from_millis(100);
/// Nor later.
pub const LATE: Duration = Duration::from_secs(10);

/// The moments that are given away.
#[derive(Debug)]
pub struct Pause {
    next: Mutex<Instant>,
}

impl Pause {
    pub fn new() -> Self {
        Self { next: Mutex::new(Instant::now()) }
    }

    /// One more is refused. The moments are so far apart.
    pub fn next(&self, now: Instant, apart: Duration) -> Duration {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let moment = (*next).max(now + SOON);
        if moment > now + LATE {
            // Too many for moments of their own.
            return LATE.mul_f64(0.5 + rand::random::<f64>() / 2.0);
        }
        *next = moment + apart;
        moment - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APART: Duration = Duration::from_micros(400);

    /// Callers who come back when they are told to; nobody is let in.
    fn refused_a_second(callers: usize, seconds: u64) -> Vec<u32> {
        let (pause, begun) = (Pause::new(), Instant::now());
        let mut due: Vec<Duration> = (0..callers).map(|n| Duration::from_micros(n as u64 % 1000)).collect();
        let mut refused = vec![0; usize::try_from(seconds).unwrap()];
        for tick in 0..seconds * 1000 {
            let now = Duration::from_millis(tick);
            for due in due.iter_mut().filter(|due| **due <= now) {
                refused[usize::try_from(tick / 1000).unwrap()] += 1;
                *due = now + pause.next(begun + now, APART);
            }
        }
        refused
    }

    #[test]
    fn no_more_come_than_can_be_refused_and_somebody_always_does() {
        for callers in [2_000, 10_000] {
            let refused = refused_a_second(callers, 8);
            assert!(refused[1..].iter().all(|refused| (2_000..=2_800).contains(refused)), "{refused:?}");
        }
        // So many that nobody could be told a moment of their own.
        let refused = refused_a_second(50_000, 8);
        assert!(refused[4..].iter().all(|refused| *refused < 25_000), "{refused:?}");
        // A few are not kept away.
        let refused = refused_a_second(5, 3);
        assert!(refused[1..].iter().all(|refused| *refused > 40), "{refused:?}");
    }

    #[test]
    fn what_was_told_in_a_flood_is_forgotten_when_it_is_over() {
        let (pause, now) = (Pause::new(), Instant::now());
        for _ in 0..100_000 {
            assert!((SOON..=LATE).contains(&pause.next(now, APART)));
        }
        assert!(pause.next(now, APART) >= LATE / 2);
        assert_eq!(pause.next(now + LATE, APART), SOON);
    }
}
