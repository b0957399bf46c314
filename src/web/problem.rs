//! Refusals and failures: `application/problem+json` (RFC 9457), with the status decided in one place.
//!
//! ```text
//!   {"type":"/errors/invalid","title":"…","status":422,"detail":"…","instance":"<request id>",
//!    "errors":[{"pointer":"/rules/3/match","detail":"…"}]}
//! ```
//!
//! `type` is stable and what programs branch on; `title` is the same for all of a type; `detail` is about this
//! request. `instance` is the request id, added by [`edge`](super::edge) on the way out.

use crate::infra::db::{DbError, DbErrorKind};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::borrow::Cow;
use std::error::Error;
use std::time::Duration;

/// Declares the kinds: status, last part of `type`, title, and what a client can do about it.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $status:ident $slug:literal $title:literal $advice:literal;)*) => {
        /// What went wrong, as programs distinguish it.
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
    /// A limit on waiting work is reached.
    Busy = SERVICE_UNAVAILABLE "busy" "Too many requests are waiting"
        "Send the same request again after Retry-After.";
}

impl Kind {
    const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Unavailable => Some(Duration::from_secs(5)),
            Self::Busy => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}

/// A refusal or failure on its way to the client.
#[derive(Debug)]
pub struct Problem {
    // Boxed: `Result<_, Problem>` is what every handler returns.
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

/// One thing that is wrong with a request, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Fault {
    /// JSON pointer (RFC 6901) into the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Name of the query or path parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// What is wrong there.
    pub detail: String,
}

/// The body of an error answer (RFC 9457).
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub struct Body {
    /// What went wrong, for programs: a stable URI reference.
    #[serde(rename = "type")]
    kind: String,
    /// What went wrong, in words; the same for all of a type.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What went wrong with this request.
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: Cow<'static, str>,
    /// The request id, as in `X-Request-Id` and in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    /// Single faults, where there can be several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Fault>,
}

impl Problem {
    /// A problem of a kind; `detail` is a sentence for the client, and empty where the title says it all.
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

    /// What does not exist, or not for this caller: the two look the same.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(Kind::NotFound, "")
    }

    /// A value in the body that cannot be; `pointer` as in RFC 6901.
    #[must_use]
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, "").at(pointer, detail)
    }

    /// A query or path parameter that cannot be read.
    #[must_use]
    pub fn parameter(name: impl Into<String>, detail: impl Into<String>) -> Self {
        let fault = Fault { pointer: None, parameter: Some(name.into()), detail: detail.into() };
        let mut problem = Self::new(Kind::Malformed, "");
        problem.inner.faults.push(fault);
        problem
    }

    /// A defect. The client learns nothing but the request id; the source goes to the log.
    #[must_use]
    pub fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Kind::Internal, "").because(source)
    }

    /// One more fault, at a JSON pointer.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let fault = Fault { pointer: Some(pointer.into()), parameter: None, detail: detail.into() };
        self.inner.faults.push(fault);
        self
    }

    /// Why, for the log.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// When to try again, rounded up to seconds.
    #[must_use]
    pub fn retry_after(mut self, span: Duration) -> Self {
        self.inner.retry_after = Some(span);
        self
    }

    /// One more header of the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.inner.headers.push((name, value));
        self
    }

    /// What went wrong, for callers that answer in a foreign shape.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.inner.kind
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        let kind = match error.kind() {
            DbErrorKind::Unavailable | DbErrorKind::Contention | DbErrorKind::MissingPartition => {
                Kind::Unavailable
            }
            DbErrorKind::Content => Kind::Invalid,
            DbErrorKind::Conflict => Kind::Conflict,
            DbErrorKind::Corrupt => Kind::Internal,
        };
        Self::new(kind, "").because(error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let inner = *self.inner;
        let (status, slug, title) = inner.kind.facts();
        // The border where a failure is handled: the one line about it. Refusals are in the line of the request.
        match &inner.source {
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
        response
    }
}

impl Body {
    /// The answer once more, naming the request: for [`edge`](super::edge), which knows its id.
    pub fn named(mut self, request_id: &str) -> axum::body::Body {
        self.instance = Some(request_id.to_owned());
        self.into_response().into_body()
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
        let response = Problem::internal("password of the store is hunter2").into_response();
        let body = crate::web::Capped::new(
            response.into_body(),
            crate::web::Cap { bytes: 10_000, idle: std::time::Duration::from_secs(1) },
        );
        let body = body.bytes().await.unwrap();
        assert!(!String::from_utf8_lossy(&body).contains("hunter2"));
    }

    #[test]
    fn waiting_is_rounded_up_to_seconds() {
        let busy = Problem::new(Kind::Busy, "").retry_after(std::time::Duration::from_millis(1100));
        assert_eq!(busy.into_response().headers()[header::RETRY_AFTER], "2");
    }
}
