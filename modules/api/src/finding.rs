//! Findings: warnings with a place.

use serde::{Deserialize, Serialize};

/// Something an operator should know about a delivery that was read nevertheless.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Its severity.
    pub severity: Severity,
    /// The rule that was broken, `[a-z][a-z0-9_]*`, for example `unit_mismatch`. Stable: operators filter on it.
    pub rule: String,
    /// Where in the delivery.
    pub place: Place,
    /// The field or label concerned, if any.
    pub field: Option<String>,
    /// What is wrong, as a lower-case fragment without the value.
    pub message: String,
    /// The offending text, at most [`Finding::EXCERPT_BYTES`]; never the whole line.
    pub excerpt: String,
}

/// Severity of a [`Finding`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// A value is missing or doubtful.
    Warning,
    /// A record was lost.
    Error,
}

/// A place in a delivery: a part, and in it a line or a byte.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Index into [`Delivery::parts`](crate::Delivery::parts).
    pub part: u32,
    /// 1-based line (text) or record (CSV, JSON array).
    pub line: Option<u64>,
    /// Byte offset in the decoded part.
    pub offset: Option<u64>,
}

impl Place {
    /// A line of a part.
    #[must_use]
    pub const fn line(part: u32, line: u64) -> Self {
        Self { part, line: Some(line), offset: None }
    }
}

impl Finding {
    /// Longest excerpt, in bytes.
    pub const EXCERPT_BYTES: usize = 200;

    /// A warning at a place.
    #[must_use]
    pub fn warning(rule: &str, place: Place, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, rule, place, message)
    }

    /// An error at a place: a record was lost.
    #[must_use]
    pub fn error(rule: &str, place: Place, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, rule, place, message)
    }

    /// A note at a place.
    #[must_use]
    pub fn info(rule: &str, place: Place, message: impl Into<String>) -> Self {
        Self::new(Severity::Info, rule, place, message)
    }

    /// Names the field.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Quotes the offending text, cut at a character boundary.
    #[must_use]
    pub fn excerpt(mut self, text: &str) -> Self {
        self.excerpt = text[..text.floor_char_boundary(Self::EXCERPT_BYTES)].to_owned();
        self
    }

    fn new(severity: Severity, rule: &str, place: Place, message: impl Into<String>) -> Self {
        Self {
            severity,
            rule: rule.to_owned(),
            place,
            field: None,
            message: message.into(),
            excerpt: String::new(),
        }
    }
}
