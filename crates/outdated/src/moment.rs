use std::time::Duration;

/// A moment of this machine, in nanoseconds. It counts on while the process is stopped and while the machine sleeps: whoever wakes up
/// must not take what was proven long ago for new. The calendar has no part in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(i64);

impl Moment {
    #[cfg(target_os = "linux")]
    pub fn now() -> Self {
        let since_boot = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME);
        Self(
            since_boot
                .map_or(i64::MAX, |time| time.tv_sec().saturating_mul(1_000_000_000).saturating_add(time.tv_nsec())),
        )
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

    #[must_use]
    pub fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// Nothing where the other is earlier.
    pub fn until(self, later: Self) -> Duration {
        Duration::from_nanos(u64::try_from(later.0.saturating_sub(self.0)).unwrap_or(0))
    }
}
