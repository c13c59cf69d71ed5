use prost_types::Timestamp;
use time::OffsetDateTime;

pub fn to_proto(time: OffsetDateTime) -> Timestamp {
    Timestamp { seconds: time.unix_timestamp(), nanos: i32::try_from(time.nanosecond()).unwrap_or_default() }
}

/// In microseconds, as the database keeps it. An error outside the years that PostgreSQL and RFC 3339 share.
pub fn from_proto(timestamp: &Timestamp) -> Result<OffsetDateTime, &'static str> {
    const FAULT: &str = "must be a time in the years 1 to 9999";
    let seconds = OffsetDateTime::from_unix_timestamp(timestamp.seconds).map_err(|_| FAULT)?;
    let nanos = u32::try_from(timestamp.nanos).ok().filter(|nanos| *nanos < 1_000_000_000).ok_or(FAULT)?;
    if !(1..=9999).contains(&seconds.year()) {
        return Err(FAULT);
    }
    seconds.replace_nanosecond(nanos / 1000 * 1000).map_err(|_| FAULT)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_time_survives_the_contract(seconds in -62_135_596_800i64..=253_402_300_799, micros in 0u32..1_000_000) {
            let stamp = Timestamp { seconds, nanos: (micros * 1000) as i32 };
            prop_assert_eq!(to_proto(from_proto(&stamp).unwrap()), stamp);
        }

        #[test]
        fn no_timestamp_panics(seconds: i64, nanos: i32) {
            let _ = from_proto(&Timestamp { seconds, nanos });
        }
    }
}
