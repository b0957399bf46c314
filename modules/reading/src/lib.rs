//! Reads values that were printed for people: numbers, sizes, times and HTML tables.
//!
//! Every module that reads a report shares these rules, so that `1.152,00 TB` means the same wherever it is printed:
//!
//! ```text
//!   "１，１５２．００ TB (69.75 %)"
//!      │ number::fold_width          full-width forms become ASCII
//!      ▼
//!   number::read  ─▶ Number          exact digits, separators checked against the locale
//!   size::read    ─▶ Quantity        number and unit word; bytes only once a base (1000, 1024) is given
//!   time::Clock   ─▶ Moment          instant, and whether a zone had to be assumed
//!   html::to_text ─▶ String          rows of an HTML table as lines, cells separated by tabs
//! ```
//!
//! A reader answers with a value, with nothing (the text says "no value": `N/A`, `-`, empty), or with a [`Doubt`]: the
//! value is then left out and the doubt becomes a finding. Nothing here guesses silently, panics, or takes longer than
//! linear in its input.
#![warn(missing_docs)]

use module_api::{Finding, Place};

pub mod html;
pub mod number;
pub mod size;
pub mod time;
mod zone;

/// Why a printed value was not read, or is doubtful.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// The rule that was broken; [`Finding::rule`].
    pub rule: &'static str,
    /// What is wrong, as a lower-case fragment without the value.
    pub message: String,
}

impl Doubt {
    /// A doubt raised by a rule.
    #[must_use]
    pub fn new(rule: &'static str, message: impl Into<String>) -> Self {
        Self { rule, message: message.into() }
    }

    /// The finding this becomes at a place, for a field that was printed as `excerpt`.
    #[must_use]
    pub fn at(self, place: Place, field: &str, excerpt: &str) -> Finding {
        Finding::warning(self.rule, place, self.message).field(field).excerpt(excerpt)
    }
}

/// A value, no value, or a doubt.
pub type Read<T> = Result<Option<T>, Doubt>;

/// Whether the text says that there is no value. Zero is a value.
#[must_use]
pub fn is_null(text: &str) -> bool {
    matches!(text.trim(), "" | "-" | "--" | "N/A" | "n/a" | "*NULL*")
}
