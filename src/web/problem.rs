//! Errors as `application/problem+json` (RFC 9457).
//!
//! ```text
//!   {"type":"/errors/invalid","title":"…","status":422,"detail":"…","instance":"<request id>",
//!    "errors":[{"pointer":"/rules/3/match","detail":"…"}]}
//! ```
//!
//! `type` is stable, for programs to branch on; `title` is fixed per type; `detail` is about this request. `instance` is
//! the request id, added by [`access`](super::access).

use crate::infra::db::{DbError, DbErrorKind};
use crate::infra::volume::{VolumeError, VolumeErrorKind};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::borrow::Cow;
use std::error::Error;
use std::time::Duration;

/// Declares the kinds: status, last part of `type`, title, and what a client can do about it.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $status:ident $slug:literal $title:literal $advice:literal;)*) => {
        /// Kind of a problem.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// Status, last part of `type`, and title.
            #[must_use]
            pub const fn facts(self) -> (StatusCode, &'static str, &'static str) {
                match self {
                    $(Self::$kind => (StatusCode::$status, $slug, $title),)*
                }
            }

            /// What a client can do about it, for the page that `type` names.
            #[must_use]
            pub const fn advice(self) -> &'static str {
                match self {
                    $(Self::$kind => $advice,)*
                }
            }
        }
    };
}

kinds! {
    /// The request cannot be read: bad JSON, an unknown or unreadable query parameter.
    Malformed = BAD_REQUEST "malformed" "The request cannot be read"
        "Correct the request: `errors` or `detail` says where it could not be read.";
    /// No key, or not a valid one.
    Unauthorized = UNAUTHORIZED "unauthorized" "A valid key is required"
        "Send a valid key in X-Api-Key, or in Authorization as a Bearer token.";
    /// A valid key that lacks the permission.
    Forbidden = FORBIDDEN "forbidden" "The key does not permit this"
        "Use a key with the permission that `detail` names, or have it added.";
    /// The resource does not exist, or not for this caller.
    NotFound = NOT_FOUND "not-found" "Not found"
        "It never existed, is gone, or belongs to somebody else.";
    /// The URL exists, but not for this method.
    MethodNotAllowed = METHOD_NOT_ALLOWED "method-not-allowed" "Method not allowed"
        "The Allow header lists the methods that are served.";
    /// The request did not arrive, or was not answered, in time.
    Timeout = REQUEST_TIMEOUT "timeout" "The request took too long"
        "Send the whole request without long pauses.";
    /// The resource is not in a state that allows this.
    Conflict = CONFLICT "conflict" "The current state does not allow this"
        "Look at the current state, then decide again.";
    /// The body is larger than allowed.
    TooLarge = PAYLOAD_TOO_LARGE "too-large" "The body is too large"
        "`detail` gives the limit.";
    /// No byte of the resource is in the wanted range.
    Range = RANGE_NOT_SATISFIABLE "range" "The range cannot be satisfied"
        "Content-Range gives the length.";
    /// The body is of a media type that this route does not accept.
    UnsupportedType = UNSUPPORTED_MEDIA_TYPE "unsupported-type" "Unsupported media type"
        "`detail` lists the accepted types.";
    /// The request is readable, but contains invalid values.
    Invalid = UNPROCESSABLE_ENTITY "invalid" "The request contains invalid values"
        "Correct the values that `errors` points to; the same request would fail again.";
    /// A bug, or a store that is not as expected.
    Internal = INTERNAL_SERVER_ERROR "internal" "Internal error"
        "Give an operator the request id in `instance`: the log says more.";
    /// Something this needs is down.
    Unavailable = SERVICE_UNAVAILABLE "unavailable" "Temporarily unavailable"
        "Send the same request again after Retry-After.";
    /// A key has too many open requests.
    TooMany = TOO_MANY_REQUESTS "too-many" "The key has too many open requests"
        "Wait for the answers to earlier requests, then send the same request again.";
    /// A limit on waiting work is reached.
    Busy = SERVICE_UNAVAILABLE "busy" "Too many requests are waiting"
        "Send the same request again after Retry-After.";
}

impl Kind {
    const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Unavailable => Some(Duration::from_secs(5)),
            Self::Busy | Self::TooMany => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}

/// An error response.
#[derive(Debug)]
pub struct Problem {
    // Boxed to keep the `Result` of every handler small.
    inner: Box<Inner>,
}

#[derive(Debug)]
struct Inner {
    kind: Kind,
    detail: Cow<'static, str>,
    faults: Vec<Fault>,
    headers: Vec<(HeaderName, HeaderValue)>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// One fault of a request, and its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Fault {
    /// JSON pointer (RFC 6901) into the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Name of the query or path parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// What is wrong.
    pub detail: String,
}

/// The body of an error answer (RFC 9457).
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub struct Body {
    /// Kind of the problem: a stable URI reference.
    #[serde(rename = "type")]
    kind: String,
    /// Kind of the problem in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong with this request.
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: Cow<'static, str>,
    /// The request id, as in `X-Request-Id` and in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    /// Single faults, if there can be several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Fault>,
}

impl Problem {
    /// A problem of a kind; `detail` is for the client, and empty if the title says enough.
    #[must_use]
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            inner: Box::new(Inner {
                kind,
                detail: detail.into(),
                faults: vec![],
                headers: vec![],
                retry_after: kind.retry_after(),
                source: None,
            }),
        }
    }

    /// For what does not exist, or not for this caller; the client cannot tell them apart.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(Kind::NotFound, "")
    }

    /// An invalid value in the body; `pointer` as in RFC 6901.
    #[must_use]
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, "").at(pointer, detail)
    }

    /// An invalid query or path parameter.
    #[must_use]
    pub fn parameter(name: impl Into<String>, detail: impl Into<String>) -> Self {
        let fault = Fault { pointer: None, parameter: Some(name.into()), detail: detail.into() };
        let mut problem = Self::new(Kind::Malformed, "");
        problem.inner.faults.push(fault);
        problem
    }

    /// A bug. The client gets only the request id; the source goes to the log.
    #[must_use]
    pub fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Kind::Internal, "").because(source)
    }

    /// Adds a fault at a JSON pointer.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let fault = Fault { pointer: Some(pointer.into()), parameter: None, detail: detail.into() };
        self.inner.faults.push(fault);
        self
    }

    /// Adds the cause, for the log.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// Sets Retry-After, rounded up to seconds.
    #[must_use]
    pub fn retry_after(mut self, span: Duration) -> Self {
        self.inner.retry_after = Some(span);
        self
    }

    /// Adds a header to the response.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.inner.headers.push((name, value));
        self
    }

    /// The kind, for doors with error bodies of their own.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.inner.kind
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        let kind = match error.kind() {
            DbErrorKind::Unavailable
            | DbErrorKind::Undecided
            | DbErrorKind::Contention
            | DbErrorKind::MissingPartition => Kind::Unavailable,
            DbErrorKind::Content => Kind::Invalid,
            DbErrorKind::Conflict => Kind::Conflict,
            DbErrorKind::Corrupt => Kind::Internal,
        };
        Self::new(kind, "").because(error)
    }
}

/// A file that should be there and is not, or something else in its place, is damaged storage and never the client's mistake.
impl From<VolumeError> for Problem {
    fn from(error: VolumeError) -> Self {
        use VolumeErrorKind as Volume;
        match error.kind {
            Volume::Away => Self::new(Kind::Unavailable, format!("{error}: {}", error.source)),
            kind if kind.is_of_volume() => Self::new(Kind::Unavailable, "").because(error),
            Volume::Corrupt | Volume::NotFound => {
                Self::new(Kind::Unavailable, "the storage is damaged").because(error)
            }
            _ => Self::internal(error),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let inner = *self.inner;
        let (status, slug, title) = inner.kind.facts();
        // The only log line about a failure. Refusals are in the line of the request; those for want of something that is down
        // are counted there.
        match &inner.source {
            Some(_) if status == StatusCode::SERVICE_UNAVAILABLE => {}
            Some(source) if status.is_server_error() => {
                tracing::error!(error = &**source as &dyn Error, kind = slug, "request failed");
            }
            Some(source) => tracing::debug!(error = &**source as &dyn Error, kind = slug, "request refused"),
            None => {}
        }
        let body = Body {
            kind: format!("/errors/{slug}"),
            title,
            status: status.as_u16(),
            detail: inner.detail,
            instance: None,
            errors: inner.faults,
        };
        let mut response = (status, body.clone()).into_response();
        response.headers_mut().extend(inner.headers);
        if let Some(span) = inner.retry_after {
            let seconds = span.as_secs() + u64::from(span.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(body);
        if let Some(source) = inner.source.filter(|_| status == StatusCode::SERVICE_UNAVAILABLE) {
            response.extensions_mut().insert(Cause::of(&*source));
        }
        response
    }
}

/// Why a request was refused for now, for the log alone.
#[derive(Debug, Clone)]
pub struct Cause(pub String);

impl Cause {
    /// An error with everything that caused it: `a: b: c`.
    fn of(error: &(dyn Error + 'static)) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let said = error.to_string();
            // Several of our errors already include their cause.
            if !text.contains(&said) {
                text.push_str(": ");
                text.push_str(&said);
            }
            cause = error.source();
        }
        Self(text)
    }
}

impl Body {
    /// The body with the request id, for [`access`](super::access), which knows it.
    #[must_use]
    pub fn of_request(mut self, request_id: &str) -> Self {
        self.instance = Some(request_id.to_owned());
        self
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// What went wrong, for people.
    #[must_use]
    pub fn text(&self) -> &str {
        if self.detail.is_empty() { self.title } else { &self.detail }
    }
}

impl IntoResponse for Body {
    fn into_response(self) -> Response {
        let json = serde_json::to_vec(&self).unwrap_or_default();
        let problem = HeaderValue::from_static("application/problem+json");
        ([(header::CONTENT_TYPE, problem)], json).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Problem};
    use crate::infra::db::{DbError, DbErrorKind};
    use axum::http::header;
    use axum::response::IntoResponse;
    use std::collections::BTreeSet;

    #[test]
    fn every_kind_has_a_type_of_its_own_and_an_error_status() {
        let slugs: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.facts().1).collect();
        assert_eq!(slugs.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            let status = kind.facts().0;
            assert!(status.is_client_error() || status.is_server_error(), "{kind:?}");
        }
    }

    #[test]
    fn a_store_that_is_down_is_503_and_says_when_to_come_back() {
        for kind in [DbErrorKind::Unavailable, DbErrorKind::Contention, DbErrorKind::MissingPartition] {
            let response = Problem::from(DbError::new(kind, "gone")).into_response();
            assert_eq!(response.status(), 503);
            assert_eq!(response.headers()[header::RETRY_AFTER], "5");
        }
        for (kind, status) in
            [(DbErrorKind::Content, 422), (DbErrorKind::Conflict, 409), (DbErrorKind::Corrupt, 500)]
        {
            assert_eq!(Problem::from(DbError::new(kind, "no")).into_response().status(), status);
        }
    }

    #[tokio::test]
    async fn the_source_of_a_failure_is_not_shown_to_the_client() {
        let second = std::time::Duration::from_secs(1);
        let pace = crate::web::Pace { rate: 1, window: second, time: second };
        let response = Problem::internal("password of the store is hunter2").into_response();
        let cap = crate::web::Cap { bytes: 10_000, pace, decoder_bytes: 0 };
        let body =
            crate::web::Decoded::new(&axum::http::HeaderMap::new(), response.into_body(), cap).unwrap();
        let body = body.bytes().await.unwrap();
        assert!(!String::from_utf8_lossy(&body).contains("hunter2"));
    }

    #[test]
    fn waiting_is_rounded_up_to_seconds() {
        let busy = Problem::new(Kind::Busy, "").retry_after(std::time::Duration::from_millis(1100));
        assert_eq!(busy.into_response().headers()[header::RETRY_AFTER], "2");
    }
}
