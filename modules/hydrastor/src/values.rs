//! Converts printed values to typed ones; a doubtful value is left out, with a finding.

use crate::profile::{Names, Reader};
use module_api::{Decimal, Finding, Micros, Place, Sink, Stop};
use module_reading::number::{self, Number, fold_width};
use module_reading::size::{self, Quantity, Unit};
use module_reading::time::{self, Clock, Moment};
use module_reading::{Doubt, Read, is_null};
use std::borrow::Cow;

/// Most findings of one delivery; the same doubt in every line of a long report says no more.
const FINDINGS: usize = 1_000;

/// The first so many bytes, cut at a character.
pub fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// Hands findings over, and says so where some are left out.
pub fn give(findings: Vec<Finding>, out: &mut dyn Sink) -> Result<(), Stop> {
    let left_out = findings.len().saturating_sub(FINDINGS);
    findings.into_iter().take(FINDINGS).try_for_each(|finding| out.finding(finding))?;
    if left_out > 0 {
        out.finding(Finding::warning(
            "findings_cut",
            Place::default(),
            format!("{left_out} more are left out"),
        ))?;
    }
    Ok(())
}

/// A value as it is printed: what it is, the text, and where.
#[derive(Debug, Clone, Copy)]
pub struct Printed<'a> {
    /// Our name of the field.
    pub field: &'a str,
    /// The text.
    pub text: &'a str,
    /// 1-based line.
    pub line: u64,
}

/// Reads the values of one part and gathers the findings.
#[derive(Debug)]
pub struct Values<'a> {
    pub reader: &'a Reader,
    /// The clock of the reader, until the text names a zone of its own.
    pub clock: Cow<'a, Clock>,
    pub received_at: Micros,
    /// Index of the part.
    pub part: u32,
    pub findings: Vec<Finding>,
}

impl<'a> Values<'a> {
    pub fn new(reader: &'a Reader, received_at: Micros, part: u32) -> Self {
        Self { reader, clock: Cow::Borrowed(&reader.clock), received_at, part, findings: Vec::new() }
    }

    /// Takes the zone that a time prints for every later time that prints none.
    pub fn keep_zone_of(&mut self, text: &str) {
        if let Some(clock) = self.clock.in_zone_of(text) {
            self.clock = Cow::Owned(clock);
        }
    }

    pub const fn place(&self, line: u64) -> Place {
        Place::line(self.part, line)
    }

    pub fn doubt(&mut self, doubt: Doubt, printed: Printed<'_>) {
        self.findings.push(doubt.at(self.place(printed.line), printed.field, printed.text));
    }

    pub fn info(&mut self, rule: &str, message: &str, printed: Printed<'_>) {
        let finding = Finding::info(rule, self.place(printed.line), message);
        self.findings.push(finding.field(printed.field).excerpt(printed.text));
    }

    fn take<T>(&mut self, read: Read<T>, printed: Printed<'_>) -> Option<T> {
        read.unwrap_or_else(|doubt| {
            self.doubt(doubt, printed);
            None
        })
    }

    /// A size; `unit` is that of the column's title, if it has one.
    pub fn quantity(&mut self, printed: Printed<'_>, unit: Option<Unit>) -> Option<Quantity> {
        let read = size::read(printed.text, self.reader.locale, unit);
        let quantity = self.take(read, printed)?;
        if quantity.bytes(self.reader.base).is_none() {
            self.doubt(Doubt::new("size_too_large", "above 8 EiB"), printed);
            return None;
        }
        Some(quantity)
    }

    pub fn bytes(&mut self, printed: Printed<'_>, unit: Option<Unit>) -> Option<i64> {
        self.quantity(printed, unit)?.bytes(self.reader.base)
    }

    pub fn number(&mut self, printed: Printed<'_>) -> Option<Number> {
        let read = number::read(printed.text, self.reader.locale);
        self.take(read, printed)
    }

    pub fn count(&mut self, printed: Printed<'_>) -> Option<i64> {
        let number = self.number(printed)?;
        if number.units < 0 || number.whole().is_none() {
            self.doubt(Doubt::new("not_a_count", "not a whole number from zero up"), printed);
            return None;
        }
        number.whole()
    }

    /// A percentage with or without its sign. One outside 0 to 100 is kept as printed, with a finding.
    pub fn percent(&mut self, printed: Printed<'_>) -> Option<(Number, Decimal)> {
        let folded = fold_width(printed.text);
        let digits = folded.trim().strip_suffix('%').unwrap_or(&folded).trim_end();
        let read = number::read(digits, self.reader.locale);
        let number = self.take(read, printed)?;
        let decimal = self.decimal(number, 4, printed)?;
        if !(0..=1_000_000).contains(&decimal.units) {
            self.doubt(Doubt::new("percent_out_of_range", "not between 0 and 100 percent"), printed);
        }
        Some((number, decimal))
    }

    /// A ratio: `15.2 : 1`, `15.2x` or `15.2`.
    pub fn ratio(&mut self, printed: Printed<'_>) -> Option<(Number, Decimal)> {
        let folded = fold_width(printed.text);
        let digits = match folded.split_once(':') {
            Some((digits, one)) if one.trim() == "1" => digits,
            Some(_) => {
                self.doubt(Doubt::new("ratio_malformed", "not a ratio to one"), printed);
                return None;
            }
            None => folded.trim().strip_suffix(['x', 'X']).unwrap_or(&folded),
        };
        let read = number::read(digits, self.reader.locale);
        let number = self.take(read, printed)?;
        Some((number, self.decimal(number, 4, printed)?))
    }

    fn decimal(&mut self, number: Number, scale: u8, printed: Printed<'_>) -> Option<Decimal> {
        let decimal = number.decimal(scale);
        if decimal.is_none() {
            self.doubt(Doubt::new("number_too_large", "does not fit its column"), printed);
        }
        decimal
    }

    /// A temperature in °C with two decimals. The unit is printed beside it or in the column's title; °F is converted.
    pub fn celsius(&mut self, printed: Printed<'_>, title_unit: Option<&str>) -> Option<Decimal> {
        let folded = fold_width(printed.text);
        let (digits, unit) = number::split(&folded);
        if is_null(&folded) {
            return None;
        }
        let unit = if unit.is_empty() { title_unit.unwrap_or("C") } else { unit };
        let read = number::read(digits, self.reader.locale);
        let hundredths = self.take(read, printed)?.decimal(2);
        match (hundredths, unit.trim_start_matches('°')) {
            (Some(value), "C" | "c" | "℃") => Some(value),
            (Some(value), "F" | "f" | "℉") if value.units.abs() < 1_000_000 => {
                let ninths = (value.units - 3_200) * 5;
                let rounding = if (ninths % 9).abs() * 2 >= 9 { ninths.signum() } else { 0 };
                Some(Decimal { units: ninths / 9 + rounding, scale: 2 })
            }
            _ => {
                self.doubt(Doubt::new("unit_unknown", "not a temperature in C or F"), printed);
                None
            }
        }
    }

    /// `ok/total`.
    pub fn fraction(&mut self, printed: Printed<'_>) -> (Option<i64>, Option<i64>) {
        if is_null(printed.text) {
            return (None, None);
        }
        let Some((ok, total)) = printed.text.split_once(['/', '／']) else {
            self.doubt(Doubt::new("fraction_malformed", "not of the form ok/total"), printed);
            return (None, None);
        };
        (self.count(Printed { text: ok, ..printed }), self.count(Printed { text: total, ..printed }))
    }

    /// An instant. What is doubtful about one that can be told is a finding beside it.
    pub fn time(&mut self, printed: Printed<'_>) -> Option<Moment> {
        let read = self.clock.read(printed.text);
        let moment = self.take(read, printed)?;
        let doubts = [moment.doubt.clone(), time::implausible(moment.micros, self.received_at)];
        for doubt in doubts.into_iter().flatten() {
            self.doubt(doubt, printed);
        }
        Some(moment)
    }

    /// Our word for a printed one; `None`, with a finding, where the profile has none.
    pub fn word(&mut self, names: &Names, printed: Printed<'_>) -> Option<String> {
        if is_null(printed.text) {
            return None;
        }
        let word = names.find(printed.text).map(str::to_owned);
        if word.is_none() {
            self.doubt(Doubt::new("unknown_word", "a word that the profile does not map"), printed);
        }
        word
    }
}
