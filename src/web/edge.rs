//! The outside of every router: what no route answers, panics, time, and the [`access`] line.

use super::{Dialect, Kind, Kit, Problem, Wait, access, caller};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;
use tower_http::catch_panic::CatchPanicLayer;

/// Puts the outside around a whole router; the last thing done to it before it is served. Doors with a dialect answer in it.
pub fn finish(router: Router, dialects: Vec<Dialect>) -> Router {
    router
        .fallback(|| async { Problem::new(Kind::NotFound, "no route has this path") })
        .method_not_allowed_fallback(|| async { Problem::new(Kind::MethodNotAllowed, "see Allow") })
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(Arc::from(dialects), access::surround))
}

/// Whether a method and path take a body of any length.
pub type Streams = fn(&Method, &str) -> bool;

/// Limits the time from a request's head to its answer's; by `wait` more where it asks to wait. Not where a large body `streams`
/// in: there its pace is limited instead ([`Cap::pace`](super::Cap)).
pub fn timed<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    limit: Duration,
    wait: Duration,
    streams: Vec<Streams>,
) -> Router<S> {
    router.layer(middleware::from_fn_with_state((limit, wait, Arc::from(streams)), in_time))
}

async fn in_time(
    State((limit, wait, streams)): State<(Duration, Duration, Arc<[Streams]>)>,
    request: Request,
    next: Next,
) -> Response {
    if streams.iter().any(|streams| streams(request.method(), request.uri().path())) {
        return next.run(request).await;
    }
    let limit = if Wait::is_asked(request.uri()) { limit + wait } else { limit };
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(elapsed) => Problem::new(Kind::Unavailable, "no answer in time").because(elapsed).into_response(),
    }
}

/// Marks a request of a connection in a reserved place: see [`places`](super::places).
#[derive(Debug, Clone, Copy)]
pub struct Reserved;

/// Serves a request in a reserved place only if it asks for health or an operator sent it.
pub fn reserve<S: Clone + Send + Sync + 'static>(router: Router<S>, kit: Kit) -> Router<S> {
    router.layer(middleware::from_fn_with_state(kit, keep_reserve))
}

async fn keep_reserve(State(kit): State<Kit>, request: Request, next: Next) -> Response {
    let is_open = request.extensions().get::<Reserved>().is_none()
        || ["/healthz", "/readyz"].contains(&request.uri().path());
    if is_open {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    match caller::authenticate(&parts, &kit).await {
        Ok(Some(caller)) if caller.is_operator() => next.run(Request::from_parts(parts, body)).await,
        _ => Problem::new(Kind::Busy, "every connection is taken: only health and operators are served")
            .into_response(),
    }
}

/// The panic itself is logged where it happens, by the hook that telemetry sets.
fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    Problem::new(Kind::Internal, "").into_response()
}
