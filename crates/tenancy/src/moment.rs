//! Moments by a clock that never goes back and never stands still: how long ago something was proven.

use std::time::Duration;

use time::OffsetDateTime;

/// A moment of this process's machine, in nanoseconds. It goes on while the process is stopped (SIGSTOP) and while the machine sleeps,
/// which Rust's own `Instant` does not: whoever wakes up must not take what was proven long ago for new. Comparable in one process only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(u64);

impl Moment {
    /// Before every other.
    pub const NEVER: Self = Self(0);

    #[cfg(target_os = "linux")]
    pub fn now() -> Self {
        let since_boot = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME);
        Self(since_boot.map_or(0, |time| u64::try_from(Duration::from(time).as_nanos()).unwrap_or(u64::MAX)))
    }

    #[cfg(not(target_os = "linux"))]
    pub fn now() -> Self {
        static START: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
        Self(u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX).saturating_add(1))
    }

    /// How long ago it was; as long as can be for [`Moment::NEVER`].
    pub fn age(self) -> Duration {
        match self {
            Self::NEVER => Duration::MAX,
            Self(then) => Duration::from_nanos(Self::now().0.saturating_sub(then)),
        }
    }

    /// For an atomic.
    pub fn nanoseconds(self) -> u64 {
        self.0
    }

    pub fn from_nanoseconds(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }
}

/// As of when something read from the database holds: it saw everything that was committed before. Both are taken when the read
/// began: by the clock of this process, and by the database's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsOf {
    pub moment: Moment,
    pub time: OffsetDateTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_follow_each_other_and_never_is_the_first() {
        let (first, second) = (Moment::now(), Moment::now());
        assert!(Moment::NEVER < first && first <= second);
        assert_eq!(Moment::NEVER.age(), Duration::MAX);
        assert!(first.age() < Duration::from_secs(60));
        assert_eq!(Moment::from_nanoseconds(first.nanoseconds()), first);
    }
}
