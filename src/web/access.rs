//! Middleware around every request: id, span, log line, metrics.

use super::dialect::{self, Dialect};
use super::open_requests::{Counted, CountedBody};
use super::request_id::{HEADER, RequestId};
use super::{host, problem};
use crate::infra::telemetry::condition::Condition;
use crate::infra::telemetry::metrics::{HTTP_REQUESTS, HTTP_SECONDS};
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::Instrument;
use tracing::field::Empty;

/// The middleware. Handlers find the [`RequestId`] as an extension; every line logged within carries it.
///
/// The log line names the route, not the URL: paths and queries contain ids and addresses.
pub async fn surround(State(dialects): State<Arc<[Dialect]>>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = RequestId::of(request.headers());
    let route = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_owned();
    let method = method(request.method());
    let path = request.uri().path().to_owned();
    request.extensions_mut().insert(id.clone());
    let counted = Counted::default();
    request.extensions_mut().insert(counted.clone());
    // At level error, so that no filter drops the span and every line has the id.
    let span = tracing::error_span!("request", request_id = id.as_str(), caller = Empty);
    let mut response = match host::refusal(&request) {
        Some(refusal) => span.in_scope(|| refusal.into_response()),
        None => next.run(request).instrument(span.clone()).await,
    };
    let mut refused = None;
    if let Some(problem) = response.extensions_mut().remove::<problem::Body>() {
        if problem.status() == StatusCode::SERVICE_UNAVAILABLE {
            let cause = response.extensions_mut().remove::<problem::Cause>();
            refused = Some(cause.map_or_else(|| problem.text().to_owned(), |problem::Cause(cause)| cause));
        }
        response = dialect::translate(&dialects, &path, problem.of_request(id.as_str()), response);
    }
    if !counted.is_new() {
        response = response.map(|body| Body::new(CountedBody { body, counted }));
    }
    response.headers_mut().insert(HEADER, id.to_header());
    span.in_scope(|| {
        note_refusal(method, &route, response.status(), refused);
        record(method, route, response.status(), began.elapsed());
    });
    response
}

/// Routes that have been refused with 503, and whether they still are.
static REFUSED: Mutex<BTreeMap<String, Arc<Condition>>> = Mutex::new(BTreeMap::new());

/// While something is down every request for it is refused: that is one condition per method and route, not a line for each.
fn note_refusal(method: &'static str, route: &str, status: StatusCode, refused: Option<String>) {
    let mut known = REFUSED.lock().unwrap_or_else(PoisonError::into_inner);
    if refused.is_none() && (known.is_empty() || !status.is_success()) {
        return;
    }
    let what = format!("{method} {route}");
    let Some(why) = refused else {
        let condition = known.get(&what).cloned();
        drop(known);
        return condition.iter().for_each(|condition| condition.ends());
    };
    let new = || Condition::of(what.clone().into(), "requests are refused", "requests are served again");
    let condition = Arc::clone(known.entry(what.clone()).or_insert_with(|| Arc::new(new())));
    drop(known);
    condition.holds(&why);
}

/// One line per request: failures at `warn`, refusals at `info`, successes and what is unavailable at `debug`.
fn record(method: &'static str, route: String, status: StatusCode, took: Duration) {
    let (code, ms) = (status.as_u16(), took.as_secs_f64() * 1000.0);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        tracing::debug!(method, route, status = code, ms, "request answered");
    } else if status.is_server_error() {
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

/// The method as a label: clients may send any word, labels come from a fixed set.
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
