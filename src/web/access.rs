//! What surrounds one request: its id, its span, its one line, its measurement.

use super::dialect::{self, Dialect};
use super::problem;
use super::request_id::{HEADER, RequestId};
use crate::infra::telemetry::metrics::{HTTP_REQUESTS, HTTP_SECONDS};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::Instrument;
use tracing::field::Empty;

/// The middleware. Handlers find the [`RequestId`] as an extension; every line logged within carries it.
///
/// The line names the route, not the URL: paths and queries hold ids and addresses.
pub async fn surround(State(dialects): State<Arc<[Dialect]>>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = RequestId::of(request.headers());
    let route = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_owned();
    let method = method(request.method());
    let path = request.uri().path().to_owned();
    request.extensions_mut().insert(id.clone());
    // At the highest level, so that the id is in every line whatever the filter lets through.
    let span = tracing::error_span!("request", request_id = id.as_str(), caller = Empty);
    let mut response = next.run(request).instrument(span.clone()).await;
    if let Some(problem) = response.extensions_mut().remove::<problem::Body>() {
        response = dialect::translate(&dialects, &path, problem.of_request(id.as_str()), response);
    }
    response.headers_mut().insert(HEADER, id.to_header());
    span.in_scope(|| tell(method, route, response.status(), began.elapsed()));
    response
}

/// One line per request: failures at `warn`, refusals at `info`, what went well at `debug`.
fn tell(method: &'static str, route: String, status: StatusCode, took: Duration) {
    let (code, ms) = (status.as_u16(), took.as_secs_f64() * 1000.0);
    if status.is_server_error() {
        tracing::warn!(method, route, status = code, ms, "request answered");
    } else if status.is_client_error() {
        tracing::info!(method, route, status = code, ms, "request answered");
    } else {
        tracing::debug!(method, route, status = code, ms, "request answered");
    }
    let status = status.as_str().to_owned();
    metrics::counter!(HTTP_REQUESTS, "method" => method, "route" => route.clone(), "status" => status)
        .increment(1);
    metrics::histogram!(HTTP_SECONDS, "route" => route).record(took.as_secs_f64());
}

/// A client may send any word as method; a label may not.
fn method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
