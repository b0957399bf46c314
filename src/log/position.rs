//! The position of a reader in a topic.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A place between two entries of one topic, opaque to readers, who keep it as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, sqlx::Type)]
#[sqlx(transparent)]
pub struct Position(pub(super) i64);

impl Position {
    /// Before the first entry.
    pub const START: Self = Self(0);

    /// The number of the entry before it: it rises with every entry, with holes.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || format!("{text:?} is not a position");
        let digits =
            text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase());
        let seq = if digits { i64::from_str_radix(text, 16).ok() } else { None };
        seq.map(Self).ok_or_else(bad)
    }
}

impl Serialize for Position {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Position;

    #[test]
    fn a_position_reads_back_and_nothing_else_does() {
        for seq in [0, 1, 0xABCD, i64::MAX] {
            assert_eq!(Position(seq).to_string().parse(), Ok(Position(seq)));
        }
        for text in ["", "1", "+000000000000001", "000000000000ABCD", "ffffffffffffffff", "00000000000000001"]
        {
            assert!(text.parse::<Position>().is_err(), "{text:?}");
        }
    }
}
