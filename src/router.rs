//! Every URL of a process, folded from its features.
//!
//! | path | what | who |
//! |---|---|---|
//! | `/healthz`, `/readyz`, `/version`, `/openapi.json`, `/errors/…` | how it is, what it can | anybody |
//! | `/metrics` | what was measured | a key with `read` for all customers |
//! | `/api/1.0/…` | our own API: [`jobs_api`], and what other features add to it | by permission; receipts: whoever holds the id |
//! | the paths of a feature's [`Door`] | what that door says | as its source says |

use crate::config;
use crate::delivery::{ApiRoutes, Door, Feature};
use crate::jobs_api;
use crate::web::health::{self, Health};
use crate::web::{Caller, Kind, Kit, Problem, edge, openapi};
use axum::Router;
use std::collections::BTreeSet;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;

/// The router of one listener: what every listener serves, and those of the features' `doors` that it names. A request that
/// does not stream is answered within `timeout`.
///
/// # Errors
/// When the API document cannot be written.
pub fn router(
    features: &[Feature],
    health: &Health,
    doors: &BTreeSet<config::Door>,
    timeout: Duration,
) -> Result<Router, serde_json::Error> {
    let mut routes = OpenApiRouter::new().merge(health::routes(health.clone()));
    if doors.contains(&config::Door::Api) {
        routes = routes.nest(jobs_api::BASE, api(features.iter().map(|feature| &feature.api), health.kit()));
    }
    let served: Vec<&Door> = features
        .iter()
        .filter_map(|feature| feature.door.as_ref())
        .filter(|door| doors.contains(&door.name))
        .collect();
    for door in &served {
        routes = routes.merge(door.routes.clone());
    }
    let streams =
        served.iter().map(|door| door.streams).chain([jobs_api::streams as edge::Streams]).collect();
    let dialects = served.iter().filter_map(|door| door.dialect).collect();
    let (routes, document) = routes.split_for_parts();
    let wait = health.kit().limits.wait;
    let routes = edge::timed(routes.merge(openapi::routes(document)?), timeout, wait, streams);
    Ok(edge::finish(edge::reserve(routes, health.kit().clone()), dialects))
}

/// The API, to be nested at its base. Only callers with a key learn which paths and methods exist.
pub fn api<'a>(parts: impl IntoIterator<Item = &'a ApiRoutes>, kit: &Kit) -> OpenApiRouter {
    let (mut keyed, mut open) = (OpenApiRouter::<Kit>::default(), OpenApiRouter::<Kit>::default());
    for part in parts {
        keyed = keyed.merge(part.keyed.clone());
        open = open.merge(part.open.clone());
    }
    let (router, document) = keyed.split_for_parts();
    let mut keyed = OpenApiRouter::from(router.fallback(no_path).method_not_allowed_fallback(no_method));
    *keyed.get_openapi_mut() = document;
    keyed.merge(open).with_state(kit.clone())
}

async fn no_path(_caller: Caller) -> Problem {
    Problem::new(Kind::NotFound, "no route has this path")
}

async fn no_method(_caller: Caller) -> Problem {
    Problem::new(Kind::MethodNotAllowed, "see Allow")
}
