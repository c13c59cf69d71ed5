//! A limit for any number of keys in a fixed table.
//!
//! Each key has a place in each of two rows, by hashes that nobody outside can compute, and counts by its lesser place (a count-min
//! sketch of GCRA arrival times). A key is never counted less than it came; it is counted more only when strangers share both of
//! its places. So nobody resets a count by flooding the table, and no flood makes it grow, which a map with eviction cannot have both.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

const PLACES: usize = 1 << 15;
const MINUTE: u64 = 60_000_000_000;

/// One limit: so many a minute for each key, and as many at once.
#[derive(Debug)]
pub struct Buckets {
    /// The time, in nanoseconds since `since`, at which all that came is paid off at the allowed rate.
    rows: [Box<[AtomicU64]>; 2],
    hashers: [RandomState; 2],
    interval: u64,
    since: Instant,
}

impl Buckets {
    /// None: no limit, for a rate of 0.
    pub fn per_minute(rate: u32) -> Option<Self> {
        let row = || (0..PLACES).map(|_| AtomicU64::new(0)).collect();
        (rate > 0).then(|| Self {
            rows: [row(), row()],
            hashers: [RandomState::new(), RandomState::new()],
            interval: MINUTE / u64::from(rate),
            since: Instant::now(),
        })
    }

    /// Counts one more for the key, or says how long until the next is due. A refused one counts nothing.
    pub fn take(&self, key: &impl Hash) -> Result<(), Duration> {
        self.take_at(key, u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX / 2))
    }

    fn take_at(&self, key: &impl Hash, now: u64) -> Result<(), Duration> {
        let [first, second] = [0, 1].map(|row| &self.rows[row][self.hashers[row].hash_one(key) as usize % PLACES]);
        loop {
            let (a, b) = (first.load(Ordering::Relaxed), second.load(Ordering::Relaxed));
            let (lesser, seen, other) = if a <= b { (first, a, second) } else { (second, b, first) };
            let due = seen.max(now);
            let allowed = now + (MINUTE - self.interval);
            if due > allowed {
                return Err(Duration::from_nanos(due - allowed));
            }
            let next = due + self.interval;
            if lesser.compare_exchange(seen, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                other.fetch_max(next, Ordering::Relaxed);
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_at_once_as_in_a_minute_and_then_at_the_rate() {
        let buckets = Buckets::per_minute(10).unwrap();
        for _ in 0..10 {
            assert_eq!(buckets.take_at(&"ada", 0), Ok(()));
        }
        assert_eq!(buckets.take_at(&"ada", 0), Err(Duration::from_secs(6)));
        assert_eq!(buckets.take_at(&"grace", 0), Ok(()), "another key counts apart");
        assert_eq!(buckets.take_at(&"ada", 6_000_000_000), Ok(()));
        assert_eq!(buckets.take_at(&"ada", 6_000_000_001).unwrap_err(), Duration::from_nanos(5_999_999_999));
        for _ in 0..10 {
            assert_eq!(buckets.take_at(&"ada", 10 * MINUTE), Ok(()), "time pays off all of it and no more");
        }
        assert!(buckets.take_at(&"ada", 10 * MINUTE).is_err());
    }

    #[test]
    fn a_flood_of_strangers_neither_resets_nor_stops_anybody() {
        let buckets = Buckets::per_minute(10).unwrap();
        while buckets.take_at(&"ada", 0).is_ok() {}
        for stranger in 0..10_000 {
            let _ = buckets.take_at(&stranger, 0);
        }
        assert!(buckets.take_at(&"ada", 0).is_err());
        let stopped = (100_000..101_000).filter(|new| buckets.take_at(new, 0).is_err()).count();
        assert_eq!(stopped, 0);
    }

    #[test]
    fn many_threads_get_exactly_the_limit() {
        let buckets = Buckets::per_minute(100).unwrap();
        let taken: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..100).filter(|_| buckets.take_at(&"ada", 0).is_ok()).count()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 100);
    }
}
