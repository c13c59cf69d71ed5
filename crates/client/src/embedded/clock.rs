//! How old a proof is, by this machine's own counting and the database's, and never by this machine's calendar.

use prost_types::Timestamp;

/// A moment of this machine, in nanoseconds. It counts on while the process is stopped and while the machine sleeps: whoever wakes up
/// must not take what was proven long ago for new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(i64);

impl Moment {
    #[cfg(target_os = "linux")]
    pub fn now() -> Self {
        let since_boot = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME);
        Self(since_boot.map_or(i64::MAX, |time| nanoseconds(time.tv_sec(), time.tv_nsec())))
    }

    #[cfg(not(target_os = "linux"))]
    pub fn now() -> Self {
        static START: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
        Self(i64::try_from(START.elapsed().as_nanos()).unwrap_or(i64::MAX))
    }

    pub fn nanoseconds(self) -> i64 {
        self.0
    }

    pub fn from_nanoseconds(nanoseconds: i64) -> Self {
        Self(nanoseconds)
    }

    pub fn until(self, later: Self) -> std::time::Duration {
        std::time::Duration::from_nanos(u64::try_from(later.0.saturating_sub(self.0)).unwrap_or(0))
    }
}

/// A time by the database's clock, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabaseTime(i64);

impl From<Timestamp> for DatabaseTime {
    fn from(time: Timestamp) -> Self {
        Self(nanoseconds(time.seconds, time.nanos.into()))
    }
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}

/// What is to be added to a time of the database to have the moment here: no more than that, so that nothing looks younger than it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset(i64);

impl Offset {
    /// From a time that the database told after the moment.
    pub fn told_after(asked: Moment, told: DatabaseTime) -> Self {
        Self(asked.0.saturating_sub(told.0))
    }

    /// The moment here of a time that has arrived. It cannot lie ahead: where it would, the database's clock has been put forward, or
    /// has run faster, and the offset is less than it was.
    pub fn moment_of(&mut self, told: DatabaseTime, arrived: Moment) -> Moment {
        self.0 = self.0.min(arrived.0.saturating_sub(told.0));
        Moment(told.0.saturating_add(self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HOUR: i64 = 3600 * 1_000_000_000;

    /// The database's clock is `ahead` of the moments here.
    fn told(real: i64, ahead: i64) -> DatabaseTime {
        DatabaseTime(real + ahead)
    }

    #[test]
    fn no_difference_of_the_clocks_makes_a_proof_look_younger() {
        for ahead in [-HOUR, 0, HOUR] {
            // Asked at 100, read at 150; then a proof of 1000 comes at 1300.
            let mut offset = Offset::told_after(Moment(100), told(150, ahead));
            let proven = offset.moment_of(told(1000, ahead), Moment(1300));
            assert_eq!(proven, Moment(950), "by no more than asking took");
            assert_eq!(proven.until(Moment(2000)), Duration::from_nanos(1050));
        }
    }

    #[test]
    fn a_clock_that_is_put_forward_is_not_believed() {
        let mut offset = Offset::told_after(Moment(100), told(150, 0));
        assert_eq!(offset.moment_of(told(1000, HOUR), Moment(1300)), Moment(1300), "it came, so it was before");
        // What is late from then on is seen to be late, but for the 300 that the quickest took.
        assert_eq!(offset.moment_of(told(2000, HOUR), Moment(9000)), Moment(2300));
        assert_eq!(offset.moment_of(told(9000, HOUR), Moment(9010)), Moment(9010));
        assert_eq!(offset.moment_of(told(9100, HOUR), Moment(9900)), Moment(9110));
    }

    #[test]
    fn a_clock_that_is_put_back_makes_proofs_look_old() {
        let mut offset = Offset::told_after(Moment(100), told(150, 0));
        assert!(offset.moment_of(told(1000, -500), Moment(1300)) < Moment(1000));
    }
}
