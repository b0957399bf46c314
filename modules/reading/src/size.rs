//! Sizes: a number and a unit word, bytes once the base is known.

use crate::number::{self, Locale, Number};
use crate::{Doubt, Read, is_null};

/// What `K`, `M`, `G`, `T`, `P` and `E` multiply by where the unit word does not say (`KiB` does).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitBase {
    /// 1000
    Decimal,
    /// 1024
    Binary,
}

impl UnitBase {
    /// From the number printed in a profile or a setting.
    #[must_use]
    pub const fn of(number: i64) -> Option<Self> {
        match number {
            1000 => Some(Self::Decimal),
            1024 => Some(Self::Binary),
            _ => None,
        }
    }

    /// 1000 or 1024.
    #[must_use]
    pub const fn factor(self) -> i128 {
        match self {
            Self::Decimal => 1000,
            Self::Binary => 1024,
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Decimal => Self::Binary,
            Self::Binary => Self::Decimal,
        }
    }
}

/// A unit of size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// 0 for bytes, 1 for K, up to 6 for E.
    pub power: u32,
    /// The word says 1024 (`TiB`).
    pub binary: bool,
}

impl Unit {
    /// The bytes of one unit.
    #[must_use]
    pub fn bytes(self, base: UnitBase) -> i128 {
        let base = if self.binary { UnitBase::Binary } else { base };
        base.factor().pow(self.power)
    }

    /// Reads a unit word: `B`, `bytes`, `TB`, `T`, `TiB`. Bits are refused: `Mb` for `MB` is an error of eight times
    /// that nobody notices.
    ///
    /// # Errors
    /// `unit_bits` for bits, `unit_unknown` for any other word.
    pub fn read(word: &str) -> Result<Self, Doubt> {
        if matches!(word, "B" | "byte" | "bytes" | "Byte" | "Bytes") {
            return Ok(Self { power: 0, binary: false });
        }
        let unknown = || Doubt::new("unit_unknown", "not a unit of size");
        let mut chars = word.chars();
        let letter = chars.next().ok_or_else(unknown)?;
        let power = "KMGTPE".find(letter.to_ascii_uppercase()).ok_or_else(unknown)? + 1;
        let power = u32::try_from(power).map_err(|_| unknown())?;
        match chars.as_str() {
            "" | "B" => Ok(Self { power, binary: false }),
            "iB" | "i" => Ok(Self { power, binary: true }),
            "b" | "bit" | "bits" | "bit/s" | "bps" | "ib" => {
                Err(Doubt::new("unit_bits", "bits where bytes are expected"))
            }
            _ => Err(unknown()),
        }
    }
}

/// A printed size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantity {
    /// The number as printed.
    pub number: Number,
    /// Its unit.
    pub unit: Unit,
}

impl Quantity {
    /// In bytes; `None` above 8 EiB.
    #[must_use]
    pub fn bytes(self, base: UnitBase) -> Option<i64> {
        self.number.times(self.unit.bytes(base))
    }

    /// Half of the last printed digit, in bytes: how far the printed value may be from the true one.
    #[must_use]
    pub fn half_step(self, base: UnitBase) -> i128 {
        let steps = 10_i128.checked_pow(self.number.scale).unwrap_or(i128::MAX);
        self.unit.bytes(base) / steps / 2 + 1
    }
}

/// Reads a size such as `1,152.00 TB` or, where the unit stands in a column's title, `9,001.25`.
///
/// # Errors
/// The doubts of the number and of the unit; `unit_missing` where neither the text nor `unit` gives one and the number
/// is not zero; `negative_size`.
pub fn read(text: &str, locale: Locale, unit: Option<Unit>) -> Read<Quantity> {
    let folded = number::fold_width(text);
    if is_null(&folded) {
        return Ok(None);
    }
    let (digits, word) = number::split(&folded);
    let number = number::read(digits, locale)?
        .filter(|_| !digits.is_empty())
        .ok_or_else(|| Doubt::new("number_malformed", "a size without a number"))?;
    if number.units < 0 {
        return Err(Doubt::new("negative_size", "a size below zero"));
    }
    let unit = match (word, unit) {
        ("", Some(unit)) => unit,
        ("", None) if number.units == 0 => Unit { power: 0, binary: false },
        ("", None) => return Err(Doubt::new("unit_missing", "a size without a unit")),
        (word, _) => Unit::read(word)?,
    };
    Ok(Some(Quantity { number, unit }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str, base: UnitBase) -> Result<Option<i64>, &'static str> {
        read(text, Locale::En, None).map(|q| q.and_then(|q| q.bytes(base))).map_err(|d| d.rule)
    }

    #[test]
    fn the_base_decides_tb_but_never_tib() {
        assert_eq!(bytes("1,152.00 TB", UnitBase::Decimal), Ok(Some(1_152_000_000_000_000)));
        assert_eq!(bytes("1,152.00 TB", UnitBase::Binary), Ok(Some(1_152 << 40)));
        for base in [UnitBase::Decimal, UnitBase::Binary] {
            assert_eq!(bytes("2 TiB", base), Ok(Some(2 << 40)));
        }
        assert_eq!(bytes("512 bytes", UnitBase::Binary), Ok(Some(512)));
    }

    #[test]
    fn zero_needs_no_unit_and_anything_else_does() {
        assert_eq!(bytes("0", UnitBase::Decimal), Ok(Some(0)));
        assert_eq!(bytes("N/A", UnitBase::Decimal), Ok(None));
        assert_eq!(bytes("17", UnitBase::Decimal), Err("unit_missing"));
        assert_eq!(bytes("17 Mb", UnitBase::Decimal), Err("unit_bits"));
        assert_eq!(bytes("17 furlongs", UnitBase::Decimal), Err("unit_unknown"));
        assert_eq!(bytes("-1 TB", UnitBase::Decimal), Err("negative_size"));
        assert_eq!(bytes("TB", UnitBase::Decimal), Err("number_malformed"));
    }

    #[test]
    fn what_64_bits_cannot_hold_is_no_value() {
        assert_eq!(bytes("9 EB", UnitBase::Decimal), Ok(Some(9_000_000_000_000_000_000)));
        assert_eq!(bytes("9,999 EB", UnitBase::Decimal), Ok(None));
    }
}
