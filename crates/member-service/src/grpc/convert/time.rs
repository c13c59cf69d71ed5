//! Times.

use prost_types::Timestamp;
use time::{Duration, OffsetDateTime};

use crate::model::Fault;

pub fn timestamp(time: OffsetDateTime) -> Timestamp {
    Timestamp { seconds: time.unix_timestamp(), nanos: i32::try_from(time.nanosecond()).unwrap_or_default() }
}

/// In the microseconds that the store keeps.
pub fn read_time(timestamp: Timestamp) -> Result<OffsetDateTime, Fault> {
    let fault = Fault("must be a time in the years 1 to 9999");
    let time = OffsetDateTime::from_unix_timestamp(timestamp.seconds).map_err(|_| fault)?;
    let nanos = u32::try_from(timestamp.nanos).ok().filter(|nanos| *nanos < 1_000_000_000).ok_or(fault)?;
    if !(1..=9999).contains(&time.year()) {
        return Err(fault);
    }
    Ok(time + Duration::microseconds(i64::from(nanos / 1000)))
}
