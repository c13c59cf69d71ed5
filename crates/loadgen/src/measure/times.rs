use std::time::Duration;

use hdrhistogram::Histogram;

/// Three digits: no time is told more than 0.1 % wrong.
const DIGITS: u8 = 3;

/// How long things took, from a nanosecond up. Each thread has its own, and they are added up at the end.
#[derive(Debug, Clone)]
pub struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        // Fails for more than five digits only.
        #[expect(clippy::expect_used, reason = "a constant that the crate accepts")]
        Self(Histogram::new(DIGITS).expect("three digits"))
    }
}

impl Times {
    pub fn record(&mut self, time: Duration) {
        self.record_ns(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    pub fn record_ns(&mut self, nanoseconds: u64) {
        self.0 += nanoseconds.max(1);
    }

    pub fn add(&mut self, others: &Self) {
        // Both resize as needed, so that nothing is out of range.
        let _ = self.0.add(&others.0);
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time that this share of all stays within; 0 where there are none.
    pub fn ns(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64
    }

    pub fn us(&self, share: f64) -> f64 {
        self.ns(share) / 1e3
    }

    pub fn ms(&self, share: f64) -> f64 {
        self.ns(share) / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_threads_measured_apart_adds_up_to_what_one_would_have_measured() {
        let (mut whole, mut left, mut right) = (Times::default(), Times::default(), Times::default());
        for time in 1..=10_000u64 {
            whole.record_ns(time * 7);
            if time % 3 == 0 { &mut left } else { &mut right }.record_ns(time * 7);
        }
        left.add(&right);
        assert_eq!(left.count(), 10_000);
        for share in [0.0, 0.5, 0.9, 0.99, 0.999, 1.0] {
            assert_eq!(left.ns(share), whole.ns(share), "{share}");
        }
        assert!((left.ns(0.5) - 35_000.0).abs() <= 35.0, "{}", left.ns(0.5));
    }

    #[test]
    fn a_time_of_minutes_is_kept_as_well_as_one_of_nanoseconds() {
        let mut times = Times::default();
        times.record(Duration::from_secs(300));
        times.record_ns(0);
        assert!((times.ms(1.0) - 300_000.0).abs() <= 300.0);
        assert_eq!(times.ns(0.0), 1.0);
    }
}
