use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, SystemTime},
};

use crate::Moment;

const NEVER: i64 = i64::MIN;

/// Up to when all is known that was taken back: by a source that says so time and again, by its database's clock.
///
/// Two clocks are compared here, once for each time that comes; from then on a clock that nobody sets counts. Where ours is ahead
/// of the database's, the news look older than they are and tokens are refused the sooner, up to all of them. Where it is behind by
/// some seconds, news may be older than the bound by as many; from a time that is ahead of us by more than the bound itself nothing
/// is believed. So what is taken for news is never older than the bound plus the clocks' difference, and never than twice the bound.
#[derive(Debug)]
pub struct Complete {
    until: AtomicI64,
    bound: Duration,
}

/// The source's clock is so far ahead of ours that what it says is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead(pub Duration);

impl Complete {
    pub fn new(bound: Duration) -> Self {
        Self { until: AtomicI64::new(NEVER), bound }
    }

    pub fn bound(&self) -> Duration {
        self.bound
    }

    /// Everything is known that was committed before `time` of the database's, which was told at `now` of ours. A later word counts also
    /// where it says less: the source may have begun anew.
    pub fn until(&self, time: SystemTime, now: SystemTime) -> Result<(), Ahead> {
        let age = match now.duration_since(time) {
            Ok(age) => age,
            Err(ahead) if ahead.duration() <= self.bound => Duration::ZERO,
            Err(ahead) => {
                self.until.store(NEVER, Ordering::Release);
                return Err(Ahead(ahead.duration()));
            }
        };
        self.until.store(Moment::now().before(age).nanoseconds(), Ordering::Release);
        Ok(())
    }

    /// How old the news are. None before there were any.
    pub fn age(&self) -> Option<Duration> {
        match self.until.load(Ordering::Acquire) {
            NEVER => None,
            until => Some(Moment::from_nanoseconds(until).until(Moment::now())),
        }
    }

    pub fn is_live(&self) -> bool {
        self.age().is_some_and(|age| age <= self.bound)
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn news_are_as_old_as_what_they_tell_of_and_not_as_their_coming() {
        let (bound, second, now) = (Duration::from_secs(60), Duration::from_secs(1), SystemTime::now());
        let complete = Complete::new(bound);
        assert!(!complete.is_live(), "nothing was told");
        for (told, live) in [
            (now, true),
            (now - (bound - second), true),
            (now - (bound + second), false),
            (now - 100 * bound, false),
            (UNIX_EPOCH, false),
            // The clocks differ.
            (now + bound, true),
            (now + bound + second, false),
        ] {
            assert_eq!(complete.until(told, now).is_ok(), told <= now + bound);
            assert_eq!(complete.is_live(), live, "{told:?} at {now:?}");
        }
    }

    #[test]
    fn news_grow_old() {
        let complete = Complete::new(Duration::from_millis(20));
        complete.until(SystemTime::now(), SystemTime::now()).unwrap();
        assert!(complete.is_live());
        while complete.is_live() {
            std::thread::yield_now();
        }
        assert!(complete.age().unwrap() >= complete.bound());
    }
}
