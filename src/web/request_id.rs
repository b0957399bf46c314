//! Request ids, from the client or generated: in the response header, in log lines and in problems.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::Arc;

/// `X-Request-Id`.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id taken from a client, in bytes.
const MAX_BYTES: usize = 64;

/// One request's id. A request carries it as an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The client's id if it is 1 to 64 letters, digits and `-_.:/+=@`, else a new one. Nothing else from a client reaches
    /// the log.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let sent = headers.get(HEADER).and_then(|value| value.to_str().ok());
        match sent {
            Some(id) if is_plain(id) => Self(id.into()),
            _ => Self(uuid::Uuid::now_v7().to_string().into()),
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as a header value.
    #[must_use]
    pub fn to_header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).unwrap_or(HeaderValue::from_static("-"))
    }
}

fn is_plain(id: &str) -> bool {
    (1..=MAX_BYTES).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::{HEADER, RequestId};
    use axum::http::HeaderMap;

    fn sent(value: &str) -> RequestId {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, value.parse().unwrap());
        RequestId::of(&headers)
    }

    #[test]
    fn a_plain_id_of_the_client_is_kept() {
        assert_eq!(sent("trace-7/a.b:c").as_str(), "trace-7/a.b:c");
    }

    #[test]
    fn an_id_that_is_long_empty_or_odd_is_replaced() {
        for odd in ["", "a b", "a\"b", "é", &"x".repeat(65)] {
            assert_eq!(sent(odd).as_str().len(), 36, "{odd:?}");
        }
    }
}
