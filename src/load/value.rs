//! Values: fitting a column, canonical bytes, order, and their forms in text and JSON.

use super::provenance::Field;
use crate::ids::{Timestamp, from_hex, hex};
use module_api::{ColumnKind, Decimal, Value};
use std::borrow::Cow;
use std::cmp::Ordering;

/// Instants that RFC 3339 and both stores can represent: years 1 to 9999.
const TIMES: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_207_200_999_999;

/// The nearest instant that both stores can represent.
pub(super) fn comparable_time(at: Timestamp) -> Value {
    Value::Time(at.0.clamp(*TIMES.start(), *TIMES.end()))
}

/// The text without U+0000, which the two stores do not treat alike; `None` if there is none in it. The only function
/// that removes it.
#[must_use]
pub fn without_nul(text: &str) -> Option<String> {
    text.contains('\0').then(|| text.replace('\0', ""))
}

/// Converts a value to its stored form: text without U+0000 (counted in `removed`), decimals with the scale of the
/// column.
///
/// # Errors
/// Why it does not fit the column.
pub fn fit(field: &Field, value: Value, removed: &mut usize) -> Result<Value, String> {
    let mut clean = |text: String| match without_nul(&text) {
        Some(cleaned) => {
            *removed += 1;
            cleaned
        }
        None => text,
    };
    match (&field.kind, value) {
        (_, Value::Null) if field.nullable => Ok(Value::Null),
        (_, Value::Null) => Err("null".into()),
        (ColumnKind::Text, Value::Text(text)) => Ok(Value::Text(clean(text))),
        (ColumnKind::Enum(words), Value::Text(text)) => match words.contains(&text) {
            true => Ok(Value::Text(text)),
            false => Err("not one of the column's words".into()),
        },
        (ColumnKind::Json, Value::Json(text)) => {
            let text = clean(text);
            match serde_json::from_str::<serde::de::IgnoredAny>(&text) {
                Ok(_) => Ok(Value::Json(text)),
                Err(error) => Err(format!("not a json document: {error}")),
            }
        }
        (ColumnKind::Decimal(scale), Value::Decimal(decimal)) => decimal
            .rescale(*scale)
            .map(Value::Decimal)
            .ok_or_else(|| format!("{decimal} has too many digits for {scale} decimals")),
        (ColumnKind::Time, Value::Time(at)) if !TIMES.contains(&at) => {
            Err("a time outside years 1 to 9999".into())
        }
        (ColumnKind::Int, value @ Value::Int(_))
        | (ColumnKind::Bool, value @ Value::Bool(_))
        | (ColumnKind::Time, value @ Value::Time(_))
        | (ColumnKind::Bytes, value @ Value::Bytes(_))
        | (ColumnKind::Uuid, value @ Value::Uuid(_)) => Ok(value),
        _ => Err("a value of another type".into()),
    }
}

/// The bytes that go into a digest, the same for both stores.
pub(super) fn canonical(value: &Value) -> Cow<'_, [u8]> {
    match value {
        Value::Null => Cow::Borrowed(&[]),
        Value::Text(text) | Value::Json(text) => Cow::Borrowed(text.as_bytes()),
        Value::Int(number) | Value::Time(number) => Cow::Owned(number.to_be_bytes().to_vec()),
        Value::Decimal(decimal) => Cow::Owned(decimal.to_string().into_bytes()),
        Value::Bool(yes) => Cow::Owned(vec![u8::from(*yes)]),
        Value::Bytes(bytes) => Cow::Borrowed(bytes),
        Value::Uuid(bytes) => Cow::Borrowed(bytes),
    }
}

/// Greatest size of the value in an index of Postgres, in bytes, with its length and the padding before it.
pub(super) fn index_bytes(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len() + 8,
        Value::Bytes(bytes) => bytes.len() + 8,
        _ => 16,
    }
}

/// Compares two values of one column as both stores sort them, nulls last.
#[must_use]
pub fn order(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) | (Value::Json(a), Value::Json(b)) => a.cmp(b),
        (Value::Int(a), Value::Int(b)) | (Value::Time(a), Value::Time(b)) => a.cmp(b),
        (Value::Decimal(a), Value::Decimal(b)) => a.units.cmp(&b.units),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
        (Value::Uuid(a), Value::Uuid(b)) => a.cmp(b),
        (a, b) => matches!(a, Value::Null).cmp(&matches!(b, Value::Null)),
    }
}

/// The value in JSON: integers as numbers, decimals as text (a double would lose digits), times in RFC 3339, bytes in
/// hexadecimal, documents as text.
#[must_use]
pub fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Int(number) => (*number).into(),
        Value::Bool(yes) => (*yes).into(),
        other => to_text(other).into(),
    }
}

/// The value as text, as in JSON and CSV; null is empty.
#[must_use]
pub fn to_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Text(text) | Value::Json(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        Value::Decimal(decimal) => decimal.to_string(),
        Value::Bool(yes) => yes.to_string(),
        Value::Time(at) => Timestamp(*at).to_string(),
        Value::Bytes(bytes) => hex(bytes),
        Value::Uuid(bytes) => uuid::Uuid::from_bytes(*bytes).to_string(),
    }
}

/// Parses the text of a value; the reverse of [`to_text`], except that null has no text.
///
/// # Errors
/// What was expected.
pub fn from_text(kind: &ColumnKind, text: &str) -> Result<Value, String> {
    let expected = |what: &str| format!("{text:?} is not {what}");
    match kind {
        ColumnKind::Text => Ok(Value::Text(text.to_owned())),
        ColumnKind::Json => Ok(Value::Json(text.to_owned())),
        ColumnKind::Enum(words) => match words.iter().any(|w| w == text) {
            true => Ok(Value::Text(text.to_owned())),
            false => Err(expected(&format!("one of {}", words.join(", ")))),
        },
        ColumnKind::Int => text.parse().map(Value::Int).map_err(|_| expected("a whole number of 64 bits")),
        ColumnKind::Decimal(scale) => decimal(text, *scale)
            .map(Value::Decimal)
            .ok_or_else(|| expected(&format!("a number with at most {scale} decimals"))),
        ColumnKind::Bool => text.parse().map(Value::Bool).map_err(|_| expected("true or false")),
        ColumnKind::Time => match text.parse::<Timestamp>() {
            Ok(at) if TIMES.contains(&at.0) => Ok(Value::Time(at.0)),
            _ => Err(expected("a time like 2026-01-31T12:00:00Z")),
        },
        ColumnKind::Bytes => from_hex(text).map(Value::Bytes).ok_or_else(|| expected("hexadecimal")),
        ColumnKind::Uuid => match text.parse::<uuid::Uuid>() {
            Ok(id) => Ok(Value::Uuid(id.into_bytes())),
            Err(_) => Err(expected("a uuid")),
        },
    }
}

/// Reads the JSON form of a value; `None` if it is not one of this kind.
pub(super) fn from_json(kind: &ColumnKind, json: &serde_json::Value) -> Option<Value> {
    match (kind, json) {
        (_, serde_json::Value::Null) => Some(Value::Null),
        (ColumnKind::Int, serde_json::Value::Number(number)) => number.as_i64().map(Value::Int),
        (ColumnKind::Bool, serde_json::Value::Bool(yes)) => Some(Value::Bool(*yes)),
        (ColumnKind::Int | ColumnKind::Bool, _) => None,
        (kind, serde_json::Value::String(text)) => from_text(kind, text).ok(),
        _ => None,
    }
}

fn decimal(text: &str, scale: u8) -> Option<Decimal> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let digits = whole.strip_prefix(['-', '+']).unwrap_or(whole);
    let plain = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if digits.is_empty() || rest.len() > usize::from(scale) || !plain(digits) || !plain(rest) {
        return None;
    }
    let units = format!("{whole}{rest:0<width$}", width = usize::from(scale)).parse().ok()?;
    Some(Decimal { units, scale })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn field(kind: ColumnKind) -> Field {
        Field::new("x", kind, false)
    }

    fn fault(kind: ColumnKind, value: Value) -> String {
        fit(&field(kind), value, &mut 0).unwrap_err()
    }

    #[test]
    fn values_that_do_not_fit_say_why() {
        assert_eq!(fault(ColumnKind::Int, Value::Null), "null");
        assert_eq!(fault(ColumnKind::Int, Value::Text("1".into())), "a value of another type");
        assert_eq!(fault(ColumnKind::words(&["a"]), Value::from("b")), "not one of the column's words");
        assert!(fault(ColumnKind::Json, Value::Json("{".into())).starts_with("not a json document"));
        assert_eq!(fault(ColumnKind::Time, Value::Time(i64::MIN)), "a time outside years 1 to 9999");
        let wide = Value::Decimal(Decimal { units: i64::MAX, scale: 0 });
        assert!(fault(ColumnKind::Decimal(1), wide).ends_with("has too many digits for 1 decimals"));
    }

    #[test]
    fn nul_is_taken_out_and_counted() {
        let mut removed = 0;
        let value = fit(&field(ColumnKind::Text), Value::from("a\0b\0"), &mut removed);
        assert_eq!((value, removed), (Ok(Value::from("ab")), 1));
    }

    #[test]
    fn decimals_are_read_exactly() {
        let read = |text, scale| from_text(&ColumnKind::Decimal(scale), text).map(|v| to_text(&v));
        assert_eq!(read("-0.5", 2).as_deref(), Ok("-0.50"));
        assert_eq!(read("92233720368547758.07", 2).as_deref(), Ok("92233720368547758.07"));
        for bad in ["", "-", ".5", "1.234", "1e3", "92233720368547758.08", "--1"] {
            assert!(read(bad, 2).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn text_and_json_forms_read_back(number: i64, scale in 0_u8..=6, bytes: [u8; 16], text in ".*", yes: bool) {
            let values = [
                (ColumnKind::Int, Value::Int(number)),
                (ColumnKind::Decimal(scale), Value::Decimal(Decimal { units: number, scale })),
                (ColumnKind::Bytes, Value::Bytes(bytes.to_vec())),
                (ColumnKind::Uuid, Value::Uuid(bytes)),
                (ColumnKind::Text, Value::Text(text)),
                (ColumnKind::Bool, Value::Bool(yes)),
                (ColumnKind::Time, Value::Time(number.rem_euclid(*TIMES.end()))),
            ];
            for (kind, value) in values {
                prop_assert_eq!(from_text(&kind, &to_text(&value)), Ok(value.clone()));
                prop_assert_eq!(from_json(&kind, &to_json(&value)), Some(value));
            }
        }
    }
}
