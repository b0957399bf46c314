//! Numbers with thousands separators, decimal commas and full-width digits.

use crate::{Doubt, Read, is_null};
use module_api::Decimal;
use std::borrow::Cow;

/// How a source prints numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Locale {
    /// Not known: whatever can be read in one way only is read, `1,234` is refused.
    #[default]
    Auto,
    /// `1,234,567.8`, also as printed in Japan.
    En,
    /// `1.234.567,8`
    De,
    /// `1 234 567,8`
    Fr,
    /// `1'234'567.8`
    Ch,
}

impl std::str::FromStr for Locale {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "auto" => Ok(Self::Auto),
            "en" | "ja" => Ok(Self::En),
            "de" => Ok(Self::De),
            "fr" => Ok(Self::Fr),
            "ch" => Ok(Self::Ch),
            _ => Err(format!("{word:?} is not one of auto, en, de, fr, ja, ch")),
        }
    }
}

/// An exact number: `units / 10^scale`, with as many decimals as were printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number {
    /// The digits as a whole number.
    pub units: i128,
    /// Digits after the decimal separator.
    pub scale: u32,
}

impl Number {
    /// Most digits that are read; no quantity in a report needs more.
    pub const DIGITS: usize = 24;

    /// `self × factor`, rounded half away from zero; `None` where 64 bits do not hold it.
    #[must_use]
    pub fn times(self, factor: i128) -> Option<i64> {
        let product = self.units.checked_mul(factor)?;
        let divisor = 10_i128.checked_pow(self.scale)?;
        let rounding = if (product % divisor).abs() * 2 >= divisor { product.signum() } else { 0 };
        i64::try_from(product / divisor + rounding).ok()
    }

    /// As a column's decimal with so many decimals.
    #[must_use]
    pub fn decimal(self, scale: u8) -> Option<Decimal> {
        Some(Decimal { units: self.times(10_i128.checked_pow(scale.into())?)?, scale })
    }

    /// As a whole number, if it is one.
    #[must_use]
    pub fn whole(self) -> Option<i64> {
        let divisor = 10_i128.checked_pow(self.scale)?;
        (self.units % divisor == 0).then(|| i64::try_from(self.units / divisor).ok()).flatten()
    }
}

/// Full-width forms (U+FF01–FF5E) and the ideographic space as the ASCII they stand for, line by line the same length
/// in characters.
#[must_use]
pub fn fold_width(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(
        text.chars()
            .map(|c| match c {
                '\u{3000}' => ' ',
                '\u{FF01}'..='\u{FF5E}' => char::from_u32(u32::from(c) - 0xFEE0).unwrap_or(c),
                _ => c,
            })
            .collect(),
    )
}

/// Splits a printed quantity into its number and the rest: `"803.52 TB"` is `("803.52", "TB")`.
#[must_use]
pub fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text
        .char_indices()
        .find(|&(at, c)| {
            let in_number = c.is_ascii_digit()
                || matches!(c, '.' | ',' | '\'' | '\u{2019}')
                || (at == 0 && matches!(c, '+' | '-'))
                || (is_space(c) && text[at + c.len_utf8()..].starts_with(|c: char| c.is_ascii_digit()));
            !in_number
        })
        .map_or(text.len(), |(at, _)| at);
    (text[..end].trim_end(), text[end..].trim_start())
}

/// Reads a number that fills the text.
///
/// # Errors
/// `number_ambiguous` where the separators could be read in two ways, `number_malformed` where in none.
pub fn read(text: &str, locale: Locale) -> Read<Number> {
    let folded = fold_width(text);
    let text = folded.trim();
    if is_null(text) {
        return Ok(None);
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (group, point) = match locale {
        Locale::Auto => separators_of(digits)?,
        Locale::En => (Some(','), '.'),
        Locale::De => (Some('.'), ','),
        Locale::Fr => (Some(' '), ','),
        Locale::Ch => (Some('\''), '.'),
    };
    let number = in_format(digits, group, point)
        .ok_or_else(|| Doubt::new("number_malformed", "not a number as this locale prints it"))?;
    Ok(Some(if negative { Number { units: -number.units, ..number } } else { number }))
}

/// Reads digits with one grouping and one decimal separator; groups are of three digits.
fn in_format(digits: &str, group: Option<char>, point: char) -> Option<Number> {
    let (whole, fraction) = digits.split_once(point).unwrap_or((digits, ""));
    let fraction_is_missing = digits.ends_with(point);
    let mut plain = String::with_capacity(Number::DIGITS);
    let groups: Vec<&str> =
        whole.split(|c| group.is_some_and(|g| is_group(c, g))).take(Number::DIGITS).collect();
    for (index, digits) in groups.iter().enumerate() {
        let right_length = match index {
            0 if groups.len() > 1 => (1..=3).contains(&digits.len()),
            0 => !digits.is_empty(),
            _ => digits.len() == 3,
        };
        if !right_length {
            return None;
        }
        plain.push_str(digits);
    }
    plain.push_str(fraction);
    let readable =
        plain.bytes().all(|b| b.is_ascii_digit()) && plain.len() <= Number::DIGITS && !fraction_is_missing;
    let units = readable.then(|| plain.parse().ok()).flatten()?;
    Some(Number { units, scale: u32::try_from(fraction.len()).ok()? })
}

/// The separators of a number whose locale is not known, if they can be told from it alone.
fn separators_of(digits: &str) -> Result<(Option<char>, char), Doubt> {
    let marks: Vec<(usize, char)> =
        digits.char_indices().filter(|(_, c)| !c.is_ascii_digit()).take(16).collect();
    let Some(&(last_at, last)) = marks.last() else { return Ok((None, '.')) };
    let first = marks[0].1;
    if is_space(first) || matches!(first, '\'' | '\u{2019}') {
        let point = if last == ',' { ',' } else { '.' };
        return Ok((Some(if is_space(first) { ' ' } else { '\'' }), point));
    }
    let other = if last == ',' { '.' } else { ',' };
    if marks.len() > 1 {
        // Different marks: the last is the decimal one. The same mark twice can only group.
        return Ok(if first == last { (Some(last), other) } else { (Some(first), last) });
    }
    let three_follow = digits.len() - last_at - last.len_utf8() == 3;
    if three_follow && (1..=3).contains(&last_at) && !digits.starts_with('0') {
        return Err(Doubt::new("number_ambiguous", "a separator before three digits; set a locale"));
    }
    Ok((None, last))
}

fn is_group(c: char, group: char) -> bool {
    match group {
        ' ' => is_space(c),
        '\'' => matches!(c, '\'' | '\u{2019}'),
        _ => c == group,
    }
}

const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\u{A0}' | '\u{202F}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn printed(text: &str, locale: Locale) -> String {
        match read(text, locale) {
            Ok(Some(number)) => format!("{}e-{}", number.units, number.scale),
            Ok(None) => "null".into(),
            Err(doubt) => doubt.rule.into(),
        }
    }

    #[test]
    fn each_locale_reads_its_own_separators_and_no_other() {
        for (text, locale, expected) in [
            ("1,234,567.80", Locale::En, "123456780e-2"),
            ("1.234.567,8", Locale::De, "12345678e-1"),
            ("1 234\u{202F}567,8", Locale::Fr, "12345678e-1"),
            ("1'234’567.8", Locale::Ch, "12345678e-1"),
            ("1,152", Locale::En, "1152e-0"),
            ("1,152", Locale::De, "1152e-3"),
            ("1.152,00", Locale::En, "number_malformed"),
            ("12,34", Locale::En, "number_malformed"),
            ("1,23,456", Locale::En, "number_malformed"),
            ("-12.5", Locale::En, "-125e-1"),
            ("Infinity", Locale::En, "number_malformed"),
            ("NaN", Locale::Auto, "number_malformed"),
            ("1.", Locale::En, "number_malformed"),
            (".", Locale::Auto, "number_malformed"),
        ] {
            assert_eq!(printed(text, locale), expected, "{text} in {locale:?}");
        }
    }

    #[test]
    fn without_a_locale_only_what_has_one_reading_is_read() {
        for (text, expected) in [
            ("1,234", "number_ambiguous"),
            ("1.234", "number_ambiguous"),
            ("0.123", "123e-3"),
            ("1234.567", "1234567e-3"),
            ("1,234,567", "1234567e-0"),
            ("1.234,5", "12345e-1"),
            ("1,234.5", "12345e-1"),
            ("69.75", "6975e-2"),
            ("1 234 567,8", "12345678e-1"),
            ("4711", "4711e-0"),
        ] {
            assert_eq!(printed(text, Locale::Auto), expected, "{text}");
        }
    }

    #[test]
    fn full_width_digits_are_digits_and_a_dash_is_no_value() {
        assert_eq!(printed("１，１５２．００", Locale::En), "115200e-2");
        for text in ["-", "--", "N/A", "n/a", "*NULL*", " "] {
            assert_eq!(printed(text, Locale::En), "null");
        }
        assert_eq!(printed("0", Locale::En), "0e-0");
    }

    #[test]
    fn a_quantity_splits_before_its_unit() {
        assert_eq!(split("1 234,5 TB (used)"), ("1 234,5", "TB (used)"));
        assert_eq!(split("27C"), ("27", "C"));
        assert_eq!(split("N/A"), ("", "N/A"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            for locale in [Locale::Auto, Locale::En, Locale::De, Locale::Fr, Locale::Ch] {
                drop(read(&text, locale));
                let (number, rest) = split(&text);
                prop_assert!(number.len() + rest.len() <= text.len());
            }
        }

        #[test]
        fn a_number_printed_with_groups_reads_back(n in 0_i64..10_i64.pow(15)) {
            let digits = n.to_string();
            let grouped: String = digits.chars().rev().enumerate()
                .flat_map(|(i, c)| (i > 0 && i % 3 == 0).then_some(',').into_iter().chain([c]))
                .collect::<Vec<_>>().into_iter().rev().collect();
            prop_assert_eq!(read(&grouped, Locale::En).unwrap().unwrap().whole(), Some(n));
        }
    }
}
