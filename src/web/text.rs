//! Text from a URL that a store can be asked for.

use serde::{Deserialize, Deserializer};

/// Longest text, in characters.
pub const MAX_CHARS: usize = 256;

/// At most 256 characters without U+0000, which Postgres cannot hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(pub String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.chars().count() > MAX_CHARS || text.contains('\0') {
            return Err(serde::de::Error::custom("is longer than 256 characters or holds U+0000"));
        }
        Ok(Self(text))
    }
}

impl utoipa::PartialSchema for Text {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::Type::String)
            .max_length(Some(MAX_CHARS))
            .into()
    }
}

impl utoipa::ToSchema for Text {}

/// The text of an optional parameter.
pub fn text(given: Option<Text>) -> Option<String> {
    given.map(|Text(text)| text)
}
