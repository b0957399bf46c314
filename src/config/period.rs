//! Lengths of time in words.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// A length of time, written with its unit: `"250ms"`, `"30s"`, `"4h"`, `"30d"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(Duration);

/// Largest first, so that printing finds the largest unit that divides. Values are milliseconds.
const UNITS: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Period {
    /// The length of time.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }

    /// A length of whole milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }
}

impl std::str::FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (count, unit) = super::split_unit(text);
        let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| factor);
        let (Ok(count), Some(factor)) = (count.parse::<u64>(), factor) else {
            return Err(format!(
                "{text:?} is not a length of time such as \"250ms\", \"30s\", \"4h\" or \"30d\""
            ));
        };
        // A thousand years: far beyond any use, and safely inside what every clock can add.
        match count.checked_mul(*factor) {
            Some(millis) if millis <= 52_000 * UNITS[0].1 => Ok(Self::from_millis(millis)),
            _ => Err(format!("{text:?} is too long; at most 52000w")),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let fits = |factor: u64| millis != 0 && millis.is_multiple_of(u128::from(factor));
        let (unit, factor) = UNITS.iter().find(|(_, factor)| fits(*factor)).unwrap_or(&("ms", 1));
        write!(f, "{}{unit}", millis / u128::from(*factor))
    }
}

super::text_setting!(Period, "a length of time such as \"30s\"");

impl schemars::JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9]+ ?(ms|s|m|h|d|w)$" })
    }
}

#[cfg(test)]
mod tests {
    use super::Period;
    use proptest::prelude::*;

    #[test]
    fn lengths_of_time_are_read_with_their_unit() {
        for (text, millis) in
            [("0ms", 0), ("250ms", 250), ("30s", 30_000), ("5m", 300_000), ("4h", 14_400_000)]
        {
            assert_eq!(text.parse::<Period>().unwrap(), Period::from_millis(millis), "{text}");
        }
        assert_eq!("30d".parse::<Period>().unwrap().get().as_secs(), 30 * 86_400);
    }

    #[test]
    fn a_length_of_time_without_unit_with_sign_or_too_long_is_refused() {
        for text in ["", "30", "s", "-1s", "1.5h", "30S", "1h30m", "1000000w", "30days"] {
            assert!(text.parse::<Period>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_length_prints_as_text_that_reads_back(millis in 0_u64..31_000_000_000_000) {
            let period = Period::from_millis(millis);
            prop_assert_eq!(period.to_string().parse::<Period>().unwrap(), period);
        }

        #[test]
        fn text_that_is_read_at_all_reads_back(text in "[0-9]{0,25} ?[a-zA-Z]{0,3}") {
            if let Ok(read) = text.parse::<Period>() {
                prop_assert_eq!(read.to_string().parse(), Ok(read));
            }
        }
    }
}
