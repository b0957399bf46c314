//! Rows and their values.

use crate::Place;
use serde::{Deserialize, Serialize};

/// An instant: microseconds since 1970-01-01T00:00:00Z.
pub type Micros = i64;

/// One row of a declared table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Index into [`Declaration::tables`](crate::Declaration::tables).
    pub table: u16,
    /// Where it was read from: gives `source_path`, `source_sha256` and `source_line`.
    pub place: Place,
    /// When the source says the values are from; `None` where it does not say.
    pub report_at: Option<Micros>,
    /// The source carried no offset and a configured zone was used.
    pub report_tz_assumed: bool,
    /// One value per declared column, in order.
    pub values: Vec<Value>,
}

/// A typed value; its variant must be the column's kind, or `Null` where the column allows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// Not known. Zero and the empty text are values; this is not one.
    Null,
    /// Text or one of an enum's words.
    Text(String),
    /// 64-bit signed.
    Int(i64),
    /// Fixed point.
    Decimal(Decimal),
    /// True or false.
    Bool(bool),
    /// An instant.
    Time(Micros),
    /// Any bytes.
    Bytes(Vec<u8>),
    /// 128 bits.
    Uuid([u8; 16]),
    /// A JSON document.
    Json(String),
}

/// An exact decimal: `units / 10^scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decimal {
    /// The digits as a whole number.
    pub units: i64,
    /// Decimals, at most 6.
    pub scale: u8,
}

impl Decimal {
    /// The same value with so many decimals, rounded half away from zero; `None` if it does not fit.
    #[must_use]
    pub fn rescale(self, scale: u8) -> Option<Self> {
        let units = match scale.checked_sub(self.scale) {
            Some(more) => self.units.checked_mul(10_i64.checked_pow(more.into())?)?,
            None => {
                let divisor = 10_i64.checked_pow((self.scale - scale).into())?;
                let (quotient, rest) = (self.units / divisor, self.units % divisor);
                quotient + if rest.abs() * 2 >= divisor { self.units.signum() } else { 0 }
            }
        };
        Some(Self { units, scale })
    }
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let power = 10_u64.saturating_pow(self.scale.into());
        let sign = if self.units < 0 { "-" } else { "" };
        let (whole, rest) = (self.units.unsigned_abs() / power, self.units.unsigned_abs() % power);
        if self.scale == 0 {
            write!(f, "{sign}{whole}")
        } else {
            write!(f, "{sign}{whole}.{rest:0width$}", width = usize::from(self.scale))
        }
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<Decimal> for Value {
    fn from(value: Decimal) -> Self {
        Self::Decimal(value)
    }
}

#[cfg(test)]
mod tests {
    use super::Decimal;

    #[test]
    fn decimals_print_and_rescale_exactly() {
        let d = Decimal { units: -6975, scale: 2 };
        assert_eq!(d.to_string(), "-69.75");
        assert_eq!(d.rescale(4).map(|d| d.to_string()).as_deref(), Some("-69.7500"));
        assert_eq!(d.rescale(1).map(|d| d.to_string()).as_deref(), Some("-69.8"));
        assert_eq!(Decimal { units: i64::MAX, scale: 0 }.rescale(1), None);
    }
}
