//! The capacity section and the checks its numbers allow.

use crate::values::{Printed, Values};
use module_api::Decimal;
use module_reading::number::Number;
use module_reading::size::{Quantity, UnitBase};
use module_reading::{Doubt, number};

/// The numbers of a capacity section.
#[derive(Debug, Default)]
pub struct Capacity {
    pub total: Option<Quantity>,
    pub used: Option<Quantity>,
    pub free: Option<Quantity>,
    pub logical: Option<Quantity>,
    pub used_pct: Option<(Number, Decimal)>,
    pub ratio: Option<(Number, Decimal)>,
    /// Line of the first number, for findings about all of them.
    line: u64,
}

impl Capacity {
    /// Takes a labelled value; `false` if it is none of this section's.
    pub fn take(&mut self, values: &mut Values<'_>, printed: Printed<'_>) -> bool {
        if self.line == 0 {
            self.line = printed.line;
        }
        let (size, share) = match number::fold_width(printed.text).split_once('(') {
            Some((size, share)) => {
                (size.trim().to_owned(), Some(share.trim().trim_end_matches(')').to_owned()))
            }
            None => (printed.text.to_owned(), None),
        };
        let quantity = |values: &mut Values<'_>| values.quantity(Printed { text: &size, ..printed }, None);
        match printed.field {
            "physical_total_bytes" => self.total = quantity(values),
            "physical_free_bytes" => self.free = quantity(values),
            "logical_written_bytes" => self.logical = quantity(values),
            "reduction_ratio" => self.ratio = values.ratio(printed),
            "physical_used_bytes" => {
                self.used = quantity(values);
                if let Some(share) = share {
                    self.used_pct = values.percent(Printed { field: "used_pct", text: &share, ..printed });
                }
            }
            _ => return false,
        }
        true
    }

    /// Share in use computed from the sizes, with four decimals.
    pub fn used_pct_calc(&self, base: UnitBase) -> Option<Decimal> {
        let used = i128::from(self.used?.bytes(base)?);
        let total = i128::from(self.total?.bytes(base)?);
        let scaled = (total > 0).then(|| (used * 2_000_000 / total + 1) / 2)?;
        Some(Decimal { units: i64::try_from(scaled).ok()?, scale: 4 })
    }

    /// Compares what is printed twice. Where the other base would make every check hold, the finding says so; the
    /// base is never switched.
    pub fn cross_check(&self, values: &mut Values<'_>) {
        let base = values.reader.base;
        let failed = self.failed(base);
        if failed.is_empty() {
            return;
        }
        let message = if self.failed(base.other()).is_empty() {
            let (used, other) = (base.factor(), base.other().factor());
            format!(
                "{} do not agree with units of {used}; with units of {other} all checks hold",
                failed.join(", ")
            )
        } else {
            format!("{} do not agree", failed.join(", "))
        };
        let place = Printed { field: "capacity", text: "", line: self.line };
        values.doubt(Doubt::new("cross_check", message), place);
    }

    fn failed(&self, base: UnitBase) -> Vec<&'static str> {
        let checks = [
            ("used + free and total", self.sum_holds(base)),
            ("used / total and the percentage", self.share_holds(base)),
            ("logical / used and the ratio", self.ratio_holds(base)),
        ];
        checks.iter().filter(|(_, holds)| *holds == Some(false)).map(|(name, _)| *name).collect()
    }

    fn sum_holds(&self, base: UnitBase) -> Option<bool> {
        let (used, free, total) = (self.used?, self.free?, self.total?);
        let difference = bytes(used, base)? + bytes(free, base)? - bytes(total, base)?;
        Some(difference.abs() <= used.half_step(base) + free.half_step(base) + total.half_step(base))
    }

    fn share_holds(&self, base: UnitBase) -> Option<bool> {
        quotient_holds(self.used?, self.total?, 100, self.used_pct?.0, base)
    }

    fn ratio_holds(&self, base: UnitBase) -> Option<bool> {
        quotient_holds(self.logical?, self.used?, 1, self.ratio?.0, base)
    }
}

/// Whether `factor × above / below` is the printed number, as far as the printed digits of all three tell. `None`
/// where nothing is divided or the numbers are too long to compare.
fn quotient_holds(
    above: Quantity,
    below: Quantity,
    factor: i128,
    printed: Number,
    base: UnitBase,
) -> Option<bool> {
    let scale = factor.checked_mul(10_i128.checked_pow(printed.scale)?)?;
    let (top, bottom) = (bytes(above, base)?, bytes(below, base)?);
    let difference = top.checked_mul(scale)?.checked_sub(printed.units.checked_mul(bottom)?)?;
    let above_tolerance = scale.checked_mul(above.half_step(base))?;
    let below_tolerance = printed.units.checked_abs()?.checked_mul(below.half_step(base))?;
    let tolerance = (bottom / 2 + 1).checked_add(above_tolerance)?.checked_add(below_tolerance)?;
    (bottom > 0).then_some(difference.abs() <= tolerance)
}

fn bytes(quantity: Quantity, base: UnitBase) -> Option<i128> {
    quantity.bytes(base).map(i128::from)
}
