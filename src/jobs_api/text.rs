//! Text from a URL that a store can be asked for.

use serde::{Deserialize, Deserializer};

/// Longest text, in bytes.
const MAX_BYTES: usize = 1024;

/// At most 1024 bytes without U+0000, which Postgres cannot hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(pub String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() > MAX_BYTES || text.contains('\0') {
            return Err(serde::de::Error::custom("is longer than 1024 bytes or holds U+0000"));
        }
        Ok(Self(text))
    }
}

impl utoipa::PartialSchema for Text {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::Type::String)
            .max_length(Some(MAX_BYTES))
            .into()
    }
}

impl utoipa::ToSchema for Text {}

/// The text of an optional parameter.
pub fn text(given: Option<Text>) -> Option<String> {
    given.map(|Text(text)| text)
}
