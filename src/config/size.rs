//! Sizes in words.

use std::borrow::Cow;
use std::fmt;

/// A number of bytes, written with its unit: `"25MiB"`, `"4KB"`, `"0B"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

/// Longest unit first, so that `KiB` is not read as `B`, and printing finds the largest binary unit that divides.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

impl ByteSize {
    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl From<u64> for ByteSize {
    fn from(bytes: u64) -> Self {
        Self(bytes)
    }
}

impl std::str::FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (count, unit) = super::split_unit(text);
        let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| factor);
        let (Ok(count), Some(factor)) = (count.parse::<u64>(), factor) else {
            return Err(format!("{text:?} is not a size such as \"25MiB\", \"4KB\" or \"512B\""));
        };
        count
            .checked_mul(*factor)
            .map(Self)
            .ok_or_else(|| format!("{text:?} is too large; at most 16777215TiB"))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |factor: u64| self.0 != 0 && self.0.is_multiple_of(factor);
        let (unit, factor) = UNITS.iter().find(|(_, factor)| fits(*factor)).unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

super::text_setting!(ByteSize, "a size such as \"25MiB\"");

impl schemars::JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9]+ ?([KMGT]i?)?B$" })
    }
}

#[cfg(test)]
mod tests {
    use super::ByteSize;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_read_with_their_unit() {
        for (text, bytes) in
            [("0B", 0), ("25MiB", 25 << 20), ("4KB", 4000), ("1 GiB", 1 << 30), ("2TB", 2_000_000_000_000)]
        {
            assert_eq!(text.parse::<ByteSize>().unwrap().bytes(), bytes, "{text}");
        }
    }

    #[test]
    fn a_size_without_unit_with_sign_or_too_large_is_refused() {
        for text in ["", "25", "MiB", "-1MiB", "+1MiB", "1.5GiB", "25mib", "1MiB2", "99999999TiB", "1  B"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_size_prints_as_text_that_reads_back(bytes in any::<u64>()) {
            let size = ByteSize::from(bytes);
            prop_assert_eq!(size.to_string().parse::<ByteSize>().unwrap(), size);
        }

        #[test]
        fn text_that_is_read_at_all_reads_back(text in "[0-9]{0,25} ?[a-zA-Z]{0,3}") {
            if let Ok(read) = text.parse::<ByteSize>() {
                prop_assert_eq!(read.to_string().parse(), Ok(read));
            }
        }
    }
}
