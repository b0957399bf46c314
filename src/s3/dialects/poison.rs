//! What cannot be read, why, and where.

use super::super::json::Broken;
use std::fmt;

/// A message, or one record of it, that cannot be read. It is kept and shown to an operator; the rest goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at {place}")]
pub struct Poison {
    /// Why.
    pub reason: Reason,
    /// Where: a JSON pointer (RFC 6901) into the message, through wrapped messages too; or `byte N`; or `body`.
    pub place: String,
}

/// Why something cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// JSON that no row of the recognition table takes.
    Unknown,
    /// No JSON, and no form.
    NotJson,
    /// Arrays and objects within each other beyond the limit.
    TooDeep,
    /// Records beyond the limit.
    TooMany,
    /// Body beyond the limit.
    TooLarge,
    /// Wrapped messages beyond the limit.
    TooWrapped,
    /// Something needed is not there, or empty.
    Missing,
    /// Something needed has another type.
    WrongType,
    /// The same member twice: which one counts depends on the reader.
    Repeated,
    /// A text that must be UTF-8 is none.
    NotUtf8,
    /// No bucket can be called so.
    BadBucket,
    /// A document's address names no object.
    BadDocument,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "no known kind of message",
            Self::NotJson => "no JSON",
            Self::TooDeep => "nested too deep",
            Self::TooMany => "too many records",
            Self::TooLarge => "body too large",
            Self::TooWrapped => "messages wrapped too often",
            Self::Missing => "needed and missing",
            Self::WrongType => "of another type than needed",
            Self::Repeated => "given twice",
            Self::NotUtf8 => "text is not UTF-8",
            Self::BadBucket => "not a name of a bucket",
            Self::BadDocument => "document names no object",
        })
    }
}

impl Poison {
    pub(super) fn new(reason: Reason, place: impl Into<String>) -> Self {
        Self { reason, place: place.into() }
    }

    /// The same, seen from the message that this one was wrapped in.
    pub(super) fn below(self, place: &str) -> Self {
        let inner = if self.place.starts_with('/') { self.place } else { format!(" {}", self.place) };
        Self { place: format!("{place}{inner}"), ..self }
    }
}

impl From<Broken> for Poison {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Syntax(at) => Self::new(Reason::NotJson, format!("byte {at}")),
            Broken::Depth(at) => Self::new(Reason::TooDeep, format!("byte {at}")),
        }
    }
}
