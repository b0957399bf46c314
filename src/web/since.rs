//! `since=24h`, `since=2026-01-02` and `since=2026-01-02T03:04:05Z`: an instant, relative or absolute.

use crate::ids::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo};
use serde::{Deserialize, Deserializer};
use std::time::Duration;

/// An instant, given in RFC 3339, as a date, which is its first instant in UTC, or as a time ago (`90s`, `30m`, `24h`, `7d`, `2w`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Since(pub Timestamp);

impl Since {
    /// Parses `text`; times ago count back from `now`.
    ///
    /// # Errors
    /// Names the accepted forms.
    pub fn read(text: &str, now: Timestamp) -> Result<Self, String> {
        if let Ok(instant) = text.parse::<Timestamp>() {
            return Ok(Self(instant));
        }
        if let Some(midnight) = midnight(text) {
            return Ok(Self(midnight));
        }
        let ago = text.parse::<Span>().ok().filter(|span| !span.is_negative());
        let ago = ago.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
        match ago.and_then(|ago| Duration::try_from(ago).ok()) {
            Some(ago) => Ok(Self(now.before(ago))),
            None => {
                Err("is not a date such as 2026-01-02, an instant such as 2026-01-02T03:04:05Z, or a time \
                         ago such as 30m, 24h or 7d"
                    .to_owned())
            }
        }
    }
}

/// The first instant of a date in UTC. Only `YYYY-MM-DD`: what else the library takes for a date has a time or no separators.
fn midnight(text: &str) -> Option<Timestamp> {
    let plain = text.len() == "2026-01-02".len() && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let date = text.parse::<Date>().ok().filter(|_| plain)?;
    Some(Timestamp(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_microsecond()))
}

impl<'de> Deserialize<'de> for Since {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::read(&text, Timestamp::now()).map_err(serde::de::Error::custom)
    }
}

impl utoipa::PartialSchema for Since {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::Type::String)
            .description(Some(
                "A date (its first instant in UTC), an instant (RFC 3339), or a time ago: 30m, 24h, 7d.",
            ))
            .examples(["24h", "2026-01-02", "2026-01-02T03:04:05Z"])
            .into()
    }
}

impl utoipa::ToSchema for Since {}

#[cfg(test)]
mod tests {
    use super::Since;
    use crate::ids::Timestamp;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_767_323_045_000_000);

    #[test]
    fn lengths_count_back_from_now_and_instants_stand() {
        for (text, seconds) in
            [("90s", 90), ("30m", 1800), ("24h", 86_400), ("7d", 604_800), ("2w", 1_209_600)]
        {
            let expected = Since(Timestamp(NOW.0 - seconds * 1_000_000));
            assert_eq!(Since::read(text, NOW).unwrap(), expected, "{text}");
        }
        assert_eq!(Since::read("1970-01-01T01:00:01+01:00", NOW).unwrap(), Since(Timestamp(1_000_000)));
        assert_eq!(Since::read("1970-01-02", NOW).unwrap(), Since(Timestamp(86_400_000_000)));
        assert_eq!(Since::read("1969-12-31", NOW).unwrap(), Since(Timestamp(-86_400_000_000)));
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in [
            "",
            "24",
            "-24h",
            "yesterday",
            "1mo",
            "1y",
            "20260102",
            "2026-02-30",
            "2026-01-02T03:04:05",
            "2026-1-2",
        ] {
            assert!(Since::read(text, NOW).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[-0-9dhmswyPT:.Z ]{0,30}|.{0,20}") {
            drop(Since::read(&text, NOW));
        }
    }
}
