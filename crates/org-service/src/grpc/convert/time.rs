//! Times and durations.

use prost_types::{Duration, Timestamp};
use time::OffsetDateTime;

use crate::model::Fault;

pub fn timestamp(time: OffsetDateTime) -> Timestamp {
    Timestamp { seconds: time.unix_timestamp(), nanos: i32::try_from(time.nanosecond()).unwrap_or_default() }
}

pub fn duration(seconds: i64) -> Duration {
    Duration { seconds, nanos: 0 }
}

/// Whole seconds within bounds.
pub fn read_seconds(
    duration: Duration,
    bounds: std::ops::RangeInclusive<i64>,
    fault: &'static str,
) -> Result<i64, Fault> {
    if duration.nanos == 0 && bounds.contains(&duration.seconds) { Ok(duration.seconds) } else { Err(Fault(fault)) }
}
