//! The four coordinates and the slugs they are made of.

use crate::ids::Digest;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A safe path component: `[a-z0-9_-]{1,64}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Slug(String);

impl Slug {
    /// Longest slug, in bytes.
    pub const MAX_BYTES: usize = 64;
    const SUFFIX_BYTES: usize = 7;

    /// The slug of any text: lower case, all other characters folded to `_`. If that changes the text, `-` and six hex
    /// digits of its digest are appended, so that different texts rarely get the same slug.
    #[must_use]
    pub fn of(text: &str) -> Self {
        if let Ok(slug) = Self::try_from(text.to_owned()) {
            return slug;
        }
        let mut folded = String::new();
        for c in text.chars().flat_map(char::to_lowercase) {
            let c = if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
            if !(c == '_' && (folded.is_empty() || folded.ends_with('_'))) {
                folded.push(c);
            }
        }
        folded.truncate(Self::MAX_BYTES - Self::SUFFIX_BYTES);
        let stem = folded.trim_matches(['_', '-']);
        let stem = if stem.is_empty() { "x" } else { stem };
        Self(format!("{stem}-{}", &Digest::of(text.as_bytes()).to_string()[..6]))
    }

    /// The slug as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it starts with `_`: such names (`_held`) are reserved and cannot be registered.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('_')
    }
}

impl utoipa::PartialSchema for Slug {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::Type::String)
            .pattern(Some("^[a-z0-9_-]{1,64}$"))
            .into()
    }
}

impl utoipa::ToSchema for Slug {}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Slug> for String {
    fn from(slug: Slug) -> Self {
        slug.0
    }
}

impl TryFrom<String> for Slug {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let fits = (1..=Self::MAX_BYTES).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
        if fits { Ok(Self(text)) } else { Err(format!("{text:?} is not of the form [a-z0-9_-]{{1,64}}")) }
    }
}

impl std::str::FromStr for Slug {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::try_from(s.to_owned())
    }
}

/// The four coordinates of a delivery: customer, family, format and subject.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Coordinates {
    /// Decided by the recipient, never by content.
    pub customer: Slug,
    /// Family of formats.
    pub category: Slug,
    /// Format.
    #[serde(rename = "type")]
    pub type_: Slug,
    /// What it is about, such as a device; may be a guess from the subject.
    pub group: Slug,
}

impl Coordinates {
    /// The four words, in order.
    #[must_use]
    pub fn words(&self) -> [&str; 4] {
        [&self.customer, &self.category, &self.type_, &self.group].map(Slug::as_str)
    }

    /// Id of the module that reads this category and type.
    #[must_use]
    pub fn module(&self) -> String {
        format!("{}/{}", self.category, self.type_)
    }
}

#[cfg(test)]
mod tests {
    use super::Slug;
    use proptest::prelude::*;

    #[test]
    fn a_slug_that_changed_its_input_carries_its_digest() {
        assert_eq!(Slug::of("icecream_machine").as_str(), "icecream_machine");
        assert_eq!(Slug::of("Bob's Burgers/..").as_str().len(), "bob_s_burgers-".len() + 6);
        assert_ne!(Slug::of("A"), Slug::of("a"));
        assert!(Slug::of("日本").as_str().starts_with("x-"));
    }

    proptest! {
        #[test]
        fn every_text_has_a_slug(text in ".{0,200}") {
            prop_assert!(Slug::try_from(Slug::of(&text).as_str().to_owned()).is_ok());
        }
    }
}
