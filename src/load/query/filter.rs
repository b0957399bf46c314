//! Filters: `filter[column]=operator:value`.

use crate::load::value::from_text;
use module_api::{ColumnKind, Value};

/// The operators, as errors name them.
const OPERATORS: &str = "eq, ne, lt, le, gt, ge, in, prefix, null";
/// Most values of one `in`.
const MAX_VALUES: usize = 100;

/// A filter as requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The column.
    pub column: String,
    /// `operator:value`: `eq`, `ne`, `lt`, `le`, `gt`, `ge` with a value; `in` with comma-separated values; `prefix` with
    /// the start of a text; `null` with `true` or `false`.
    pub condition: String,
}

/// A typed condition. A null value satisfies `Null(true)` only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operator {
    /// Equal to.
    Equal(Value),
    /// Different, and not null.
    NotEqual(Value),
    /// Less than.
    Less(Value),
    /// Less than or equal to.
    AtMost(Value),
    /// Greater than.
    Greater(Value),
    /// Greater than or equal to.
    AtLeast(Value),
    /// One of these.
    In(Vec<Value>),
    /// Text with a prefix: at least the first value, and less than the second if there is one.
    Prefix(Value, Option<Value>),
    /// Null, or not.
    Null(bool),
}

impl Filter {
    /// A filter on a column.
    #[must_use]
    pub fn new(column: &str, condition: &str) -> Self {
        Self { column: column.to_owned(), condition: condition.to_owned() }
    }

    /// Parses the condition.
    ///
    /// # Errors
    /// What is wrong with it, as a lower-case fragment.
    pub(super) fn operator(&self, kind: &ColumnKind) -> Result<Operator, String> {
        let (word, text) = self
            .condition
            .split_once(':')
            .ok_or_else(|| format!("is not operator:value, with one of {OPERATORS}"))?;
        let value = || from_text(kind, text);
        if text.contains('\0') {
            return Err("U+0000 cannot be in a value".to_owned());
        }
        Ok(match word {
            "eq" => Operator::Equal(value()?),
            "ne" => Operator::NotEqual(value()?),
            "lt" => Operator::Less(value()?),
            "le" => Operator::AtMost(value()?),
            "gt" => Operator::Greater(value()?),
            "ge" => Operator::AtLeast(value()?),
            "in" => {
                let values: Vec<&str> = text.split(',').collect();
                if values.len() > MAX_VALUES {
                    return Err(format!("more than {MAX_VALUES} values"));
                }
                Operator::In(values.into_iter().map(|v| from_text(kind, v)).collect::<Result<_, _>>()?)
            }
            "prefix" if matches!(kind, ColumnKind::Text | ColumnKind::Enum(_)) => {
                Operator::Prefix(Value::Text(text.to_owned()), after_prefix(text).map(Value::Text))
            }
            "prefix" => return Err("prefix is for text".to_owned()),
            "null" => match text {
                "true" => Operator::Null(true),
                "false" => Operator::Null(false),
                _ => return Err(format!("{text:?} is not true or false")),
            },
            _ => {
                return Err(format!("{word:?} is not one of {OPERATORS}"));
            }
        })
    }
}

/// The smallest text, by bytes, that sorts after all texts with this prefix, if there is one.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut stem = prefix.to_owned();
    while let Some(last) = stem.pop() {
        // Skips the surrogates, which are no characters.
        let next = if last == '\u{D7FF}' { Some('\u{E000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            stem.push(next);
            return Some(stem);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fault(kind: &ColumnKind, condition: &str) -> String {
        Filter::new("x", condition).operator(kind).unwrap_err()
    }

    #[test]
    fn a_condition_that_cannot_be_says_why() {
        assert!(fault(&ColumnKind::Int, "5").starts_with("is not operator:value, with one of eq"));
        assert_eq!(fault(&ColumnKind::Int, "eq:five"), "\"five\" is not a whole number of 64 bits");
        assert_eq!(fault(&ColumnKind::Int, "prefix:5"), "prefix is for text");
        assert_eq!(fault(&ColumnKind::words(&["a", "b"]), "in:a,c"), "\"c\" is not one of a, b");
        assert!(fault(&ColumnKind::Int, "like:5").starts_with("\"like\" is not one of eq"));
        assert_eq!(fault(&ColumnKind::Int, &format!("in:{}", "1,".repeat(100))), "more than 100 values");
    }

    #[test]
    fn a_value_may_contain_the_separator() {
        let operator = Filter::new("x", "eq:a:b").operator(&ColumnKind::Text);
        assert_eq!(operator, Ok(Operator::Equal("a:b".into())));
    }

    proptest! {
        #[test]
        fn a_text_is_below_the_end_of_its_prefixes_and_no_other_is(prefix in ".{0,3}", text in ".{0,5}") {
            let inside = text.as_str() >= prefix.as_str()
                && after_prefix(&prefix).is_none_or(|end| text < end);
            prop_assert_eq!(inside, text.starts_with(&prefix));
        }
    }
}
