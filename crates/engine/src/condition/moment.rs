//! Timestamps, durations and time zones.

use chrono::{DateTime, Datelike, FixedOffset, NaiveDateTime, Offset, TimeZone, Timelike};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime, UtcOffset};

use super::function::Part;

/// The longest text that is read as a time, in bytes.
const MAX_LENGTH: usize = 64;
/// What a duration is at most, either way: ten thousand years.
const MAX_SECONDS: i64 = 315_576_000_000;

pub(super) fn timestamp(text: &str) -> Result<OffsetDateTime, String> {
    let read = if text.len() <= MAX_LENGTH { OffsetDateTime::parse(text, &Rfc3339).ok() } else { None };
    let read = read.and_then(|read| in_range(read.to_offset(UtcOffset::UTC)));
    read.ok_or_else(|| "the text is not a time: it has the form `2026-01-31T09:00:00Z`".to_owned())
}

/// The years that a timestamp has.
pub(super) fn in_range(at: OffsetDateTime) -> Option<OffsetDateTime> {
    (1..=9999).contains(&at.year()).then_some(at)
}

pub(super) fn in_duration_range(length: Duration) -> Option<Duration> {
    (length.whole_seconds().abs() <= MAX_SECONDS).then_some(length)
}

pub(super) fn written(at: OffsetDateTime) -> Option<String> {
    at.format(&Rfc3339).ok()
}

/// Seconds with what fraction there is: `3600s`, `0.5s`.
pub(super) fn written_duration(length: Duration) -> String {
    let nanoseconds = length.subsec_nanoseconds().unsigned_abs();
    let sign = if length.is_negative() { "-" } else { "" };
    let seconds = length.whole_seconds().unsigned_abs();
    if nanoseconds == 0 {
        return format!("{sign}{seconds}s");
    }
    let fraction = format!("{nanoseconds:09}");
    format!("{sign}{seconds}.{}s", fraction.trim_end_matches('0'))
}

/// `1h30m`, `-1.5s`, `10ms`: numbers with a unit each, of `h`, `m`, `s`, `ms`, `us` and `ns`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "the text is not a duration: it has the form `1h30m`".to_owned();
    if text.len() > MAX_LENGTH {
        return Err(wrong());
    }
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    let mut nanoseconds: i128 = 0;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let whole_end = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (whole, behind) = rest.split_at(whole_end);
        let (fraction, behind) = match behind.strip_prefix('.') {
            Some(behind) => behind.split_at(behind.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?),
            None => ("", behind),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(wrong());
        }
        let units = [("ns", 1), ("us", 1_000), ("µs", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)];
        let longer = [("m", 60_000_000_000), ("h", 3_600_000_000_000)];
        let unit = units.iter().chain(&longer).find(|(name, _)| behind.starts_with(name)).ok_or_else(wrong)?;
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| wrong())? };
        let mut added = whole.checked_mul(unit.1).ok_or_else(wrong)?;
        let mut place = unit.1;
        for digit in fraction.bytes() {
            place /= 10;
            added += i128::from(digit - b'0') * place;
        }
        nanoseconds = nanoseconds.checked_add(added).ok_or_else(wrong)?;
        rest = &behind[unit.0.len()..];
    }
    let seconds = i64::try_from(nanoseconds / 1_000_000_000).map_err(|_| wrong())?;
    let length = Duration::new(seconds, (nanoseconds % 1_000_000_000) as i32);
    in_duration_range(if negative { -length } else { length }).ok_or_else(wrong)
}

/// A place's time, by its name in the time zone database, or a distance from UTC.
#[derive(Debug, Clone, Copy)]
pub(super) enum Zone {
    Named(chrono_tz::Tz),
    Fixed(FixedOffset),
}

pub(super) fn zone(text: &str) -> Result<Zone, String> {
    let wrong = || "the text is not a time zone: it has the form `Europe/Berlin` or `+01:00`".to_owned();
    if text.len() > MAX_LENGTH {
        return Err(wrong());
    }
    if let Ok(named) = text.parse::<chrono_tz::Tz>() {
        return Ok(Zone::Named(named));
    }
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (hours, minutes) = rest.split_once(':').ok_or_else(wrong)?;
    let two = |digits: &str| {
        let plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<i32>().ok().filter(|_| plain)
    };
    let (hours, minutes) = two(hours).zip(two(minutes)).filter(|(_, minutes)| *minutes < 60).ok_or_else(wrong)?;
    FixedOffset::east_opt(sign * (hours * 3600 + minutes * 60)).map(Zone::Fixed).ok_or_else(wrong)
}

/// A part of a timestamp where the zone's clocks are read; UTC when none is named.
pub(super) fn part(part: Part, at: OffsetDateTime, zone: Option<Zone>) -> Option<i64> {
    let utc = DateTime::from_timestamp(at.unix_timestamp(), at.nanosecond())?.naive_utc();
    let offset = match zone {
        None => FixedOffset::east_opt(0)?,
        Some(Zone::Fixed(offset)) => offset,
        Some(Zone::Named(zone)) => zone.offset_from_utc_datetime(&utc).fix(),
    };
    let local: NaiveDateTime = utc.checked_add_offset(offset)?;
    Some(match part {
        Part::FullYear => local.year().into(),
        Part::Month => local.month0().into(),
        Part::DayOfMonth => local.day0().into(),
        Part::Date => local.day().into(),
        Part::DayOfWeek => local.weekday().num_days_from_sunday().into(),
        Part::DayOfYear => local.ordinal0().into(),
        Part::Hours => local.hour().into(),
        Part::Minutes => local.minute().into(),
        Part::Seconds => local.second().into(),
        Part::Milliseconds => (local.nanosecond() / 1_000_000).into(),
    })
}

/// Of a duration the whole of it in that unit, and of milliseconds those within the second.
pub(super) fn part_of_duration(part: Part, length: Duration) -> Option<i64> {
    match part {
        Part::Hours => Some(length.whole_hours()),
        Part::Minutes => Some(length.whole_minutes()),
        Part::Seconds => Some(length.whole_seconds()),
        Part::Milliseconds => Some((length.subsec_nanoseconds() / 1_000_000).into()),
        _ => None,
    }
}
