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
        let suggestion = nearest(field, expected.iter().copied());
        let message = match suggestion {
            Some(_) => "unknown key".to_owned(),
            None => format!("unknown key; known are {}", expected.join(", ")),
        };
        Self { suggestion, ..Self::new(message) }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let message = match expected {
            [one] => format!("{variant:?} is unknown; only {one} is allowed"),
            _ => format!("{variant:?} is not one of {}", expected.join(", ")),
        };
        Self { suggestion: nearest(variant, expected.iter().copied()), ..Self::new(message) }
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let expected = match expected.to_string().as_str() {
            "u16" | "u32" | "u64" => "a number that is not negative".to_owned(),
            "a nonzero u32" => "a number of at least 1".to_owned(),
            "a boolean" => "true or false".to_owned(),
            "a string" => "text in quotes".to_owned(),
            "socket address" => "an address with a port, such as \"127.0.0.1:25025\"".to_owned(),
            other => other.to_owned(),
        };
        Self::new(format!("must be {expected}, not {found}"))
    }

    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(found, expected)
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
