//! Times as people write and read them.

use comfyd_engine::Timestamp;
use jiff::tz::TimeZone;

/// The time now.
pub(crate) fn now() -> Timestamp {
    of(jiff::Timestamp::now())
}

fn of(at: jiff::Timestamp) -> Timestamp {
    Timestamp(u64::try_from(at.as_millisecond()).unwrap_or(0))
}

/// Reads RFC 3339.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>().ok().map(of)
}

/// `12:00:01` in the machine's time zone.
pub(crate) fn clock(at: Timestamp) -> String {
    in_words(at, "%H:%M:%S")
}

/// `2026-11-22 12:00` in the machine's time zone.
pub(crate) fn date(at: Timestamp) -> String {
    in_words(at, "%Y-%m-%d %H:%M")
}

fn in_words(at: Timestamp, format: &str) -> String {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    at.to_zoned(TimeZone::system()).strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3339_in_any_zone() {
        assert_eq!(parse("2024-11-21T10:15:00.000Z"), Some(Timestamp(1_732_184_100_000)));
        assert_eq!(parse("2024-11-21T12:15:00+02:00"), Some(Timestamp(1_732_184_100_000)));
        assert_eq!(parse("yesterday"), None);
        assert_eq!(parse(&Timestamp(1_732_184_100_007).to_string()), Some(Timestamp(1_732_184_100_007)));
    }
}
