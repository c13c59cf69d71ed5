//! `grpc-timeout`, the time that is left to a call.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

pub const HEADER: HeaderName = HeaderName::from_static("grpc-timeout");

/// At most eight digits and a unit. A malformed one counts as absent.
pub fn read(headers: &HeaderMap) -> Option<Duration> {
    let (unit, digits) = headers.get(HEADER)?.as_bytes().split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Some(Duration::from_secs(value * 3600)),
        b'M' => Some(Duration::from_secs(value * 60)),
        b'S' => Some(Duration::from_secs(value)),
        b'm' => Some(Duration::from_millis(value)),
        b'u' => Some(Duration::from_micros(value)),
        b'n' => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

/// In the finest unit that fits into eight digits.
pub fn value(left: Duration) -> HeaderValue {
    const DIGITS: u128 = 100_000_000;
    let text = match (left.as_micros(), left.as_millis()) {
        (micros, _) if micros < DIGITS => format!("{micros}u"),
        (_, millis) if millis < DIGITS => format!("{millis}m"),
        _ => format!("{}S", left.as_secs().min(99_999_999)),
    };
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("1S"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: HeaderValue) -> Option<Duration> {
        read(&HeaderMap::from_iter([(HEADER, value)]))
    }

    #[test]
    fn a_timeout_is_at_most_eight_digits_and_a_unit() {
        for (text, read) in [("1H", Duration::from_secs(3600)), ("99999999n", Duration::from_nanos(99_999_999))] {
            assert_eq!(parsed(HeaderValue::from_static(text)), Some(read));
        }
        for malformed in ["", "S", "1", "1s", "-1S", "123456789S", "1 S"] {
            assert_eq!(parsed(HeaderValue::from_static(malformed)), None, "{malformed:?}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for (left, text) in [
            (Duration::ZERO, "0u"),
            (Duration::from_millis(1500), "1500000u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(1_000_000), "1000000S"),
        ] {
            assert_eq!(value(left), text);
            assert_eq!(parsed(value(left)), Some(left));
        }
    }
}
