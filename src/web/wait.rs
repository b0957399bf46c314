//! `wait=30s`: how long an answer may be put off until what it is about has ended.

use crate::config::Period;
use axum::http::Uri;
use serde::{Deserialize, Deserializer};
use std::time::Duration;

/// The longest time to wait; a server allows `http.wait` ([`Limits::wait`](super::Limits::wait)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait(pub Duration);

impl Wait {
    /// Whether a request asks to wait.
    #[must_use]
    pub fn is_asked(uri: &Uri) -> bool {
        uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("wait=")))
    }
}

impl<'de> Deserialize<'de> for Wait {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = |_| serde::de::Error::custom("is not a length of time such as 30s or 500ms");
        text.parse::<Period>().map(|period| Self(period.get())).map_err(wrong)
    }
}

impl utoipa::PartialSchema for Wait {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::Type::String)
            .description(Some(
                "A length of time: 500ms, 30s. At most 60s unless the server is set up otherwise.",
            ))
            .pattern(Some("^[0-9]+ ?(ms|s|m|h|d|w)$"))
            .examples(["5s"])
            .into()
    }
}

impl utoipa::ToSchema for Wait {}
