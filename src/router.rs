//! Every URL in one table.
//!
//! | path | what | who |
//! |---|---|---|
//! | `/healthz`, `/readyz`, `/version`, `/openapi.json`, `/errors/…` | how it is, what it can | anybody |
//! | `/metrics` | what was measured | any valid key |
//! | `/api/1.0/…` | our own API: [`crate::jobs_api`] | by grant; receipts: whoever holds the id |

use crate::config::Door;
use crate::jobs_api::{self, Api};
use crate::web::health::{self, Health};
use crate::web::{edge, openapi};
use axum::Router;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;

/// What the routes are served by.
#[derive(Clone)]
pub struct Doors {
    /// `/api/1.0`.
    pub api: Arc<Api>,
    /// Health, version, metrics.
    pub health: Health,
    /// Longest time from the first byte of a request to its answer.
    pub request_timeout: Duration,
}

impl Doors {
    /// The router of one listener: what every listener serves, and the doors asked for.
    ///
    /// # Errors
    /// When the API document cannot be written.
    pub fn router(&self, doors: &BTreeSet<Door>) -> Result<Router, serde_json::Error> {
        let mut routes = OpenApiRouter::new().merge(health::routes(self.health.clone()));
        if doors.contains(&Door::Api) {
            routes = routes.nest(jobs_api::BASE, jobs_api::routes(Arc::clone(&self.api)));
        }
        let (routes, document) = routes.split_for_parts();
        Ok(edge::finish(edge::timed(
            routes.merge(openapi::routes(document)?),
            self.request_timeout,
            jobs_api::streams,
        )))
    }
}
