//! One mistake while it is on its way up through serde.

use super::KeyPath;
use super::error::nearest;
use super::tree::Origin;
use serde::de;

/// Why a node cannot be read, and which.
#[derive(Debug)]
pub(super) struct Fault {
    pub message: String,
    pub suggestion: Option<String>,
    /// A key that should be there and is not.
    pub missing: Option<&'static str>,
    pub place: Option<(KeyPath, Origin)>,
}

impl Fault {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), suggestion: None, missing: None, place: None }
    }

    /// A word that is not known here.
    fn unknown(what: &str, word: &str, known: &[&str]) -> Self {
        let suggestion = nearest(word, known.iter().copied());
        let message = match suggestion {
            Some(_) => what.to_owned(),
            None => format!("{what}, known are {}", known.join(", ")),
        };
        Self { suggestion, ..Self::new(message) }
    }

    /// Remembers the innermost place.
    pub fn at(mut self, path: &KeyPath, origin: &Origin) -> Self {
        self.place.get_or_insert_with(|| (path.clone(), origin.clone()));
        self
    }
}

impl de::Error for Fault {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::unknown("unknown key", field, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::unknown(&format!("{variant:?} is not known here"), variant, expected)
    }

    fn missing_field(field: &'static str) -> Self {
        Self { missing: Some(field), ..Self::new(format!("`{field}` is missing")) }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}
