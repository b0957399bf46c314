//! How the process is: `/healthz`, `/readyz`, `/version`, `/metrics`.
//!
//! `/healthz` touches nothing: it fails only where the process cannot answer at all. `/readyz` asks every dependency,
//! at most once a second however often it is asked itself, since it is open to all; the names of the dependencies are
//! shown to callers with a key.

use super::permit::Read;
use super::{Caller, Json, Kit, MayAll, Problem, Query};
use crate::infra::telemetry::metrics::Metrics;
use axum::extract::{FromRef, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::future::{BoxFuture, FutureExt, join_all};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Longest wait for one dependency.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long an answer is reused.
const STANDS: Duration = Duration::from_secs(1);

type Probe = Arc<dyn Fn() -> BoxFuture<'static, Result<Option<String>, String>> + Send + Sync>;

/// One dependency and how to ask it.
#[derive(Clone)]
pub struct Check {
    name: &'static str,
    probe: Probe,
}

impl Check {
    /// A dependency; `probe` returns in a few words what is wrong, or a remark although nothing is wrong. It is
    /// given up after two seconds.
    pub fn new<F, P>(name: &'static str, probe: P) -> Self
    where
        P: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<Option<String>, String>> + Send + 'static,
    {
        Self { name, probe: Arc::new(move || probe().boxed()) }
    }

    async fn ask(&self) -> Dependency {
        let asked = tokio::time::timeout(PATIENCE, (self.probe)()).await;
        match asked.unwrap_or_else(|_| Err("no answer".to_owned())) {
            Ok(note) => Dependency { name: self.name, ready: true, wrong: None, note },
            Err(wrong) => Dependency { name: self.name, ready: false, wrong: Some(wrong), note: None },
        }
    }
}

/// What the routes need.
#[derive(Clone)]
pub struct Health {
    kit: Kit,
    metrics: Metrics,
    checks: Arc<[Check]>,
    last: Arc<Mutex<Option<Round>>>,
}

/// The answers of all dependencies at one time.
struct Round {
    at: Instant,
    found: Vec<Dependency>,
}

impl Health {
    /// Health of a process with these dependencies.
    #[must_use]
    pub fn new(kit: Kit, metrics: Metrics, checks: Vec<Check>) -> Self {
        Self { kit, metrics, checks: checks.into(), last: Arc::default() }
    }

    /// Keys and limits.
    #[must_use]
    pub const fn kit(&self) -> &Kit {
        &self.kit
    }

    /// How the dependencies are; callers at the same time share one round of questions.
    async fn dependencies(&self) -> Vec<Dependency> {
        let mut last = self.last.lock().await;
        if let Some(round) = &*last
            && round.at.elapsed() < STANDS
        {
            return round.found.clone();
        }
        let found = join_all(self.checks.iter().map(Check::ask)).await;
        *last = Some(Round { at: Instant::now(), found: found.clone() });
        found
    }
}

impl FromRef<Health> for Kit {
    fn from_ref(health: &Health) -> Self {
        health.kit.clone()
    }
}

/// The routes.
pub fn routes(health: Health) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(readyz))
        .routes(routes!(version))
        .routes(routes!(metrics))
        .with_state(health)
}

/// Whether the process is ready to serve.
#[derive(Debug, Serialize, ToSchema)]
struct Readiness {
    /// Whether every dependency is.
    ready: bool,
    /// Each of them; with `?verbose` and a key only.
    #[serde(skip_serializing_if = "Option::is_none")]
    dependencies: Option<Vec<Dependency>>,
}

/// One thing the process needs.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct Dependency {
    /// What it is.
    name: &'static str,
    /// Whether it answers.
    ready: bool,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    wrong: Option<String>,
    /// A remark, although nothing is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// Which build this is.
#[derive(Debug, Serialize, ToSchema)]
struct Version {
    /// Version of the package.
    version: &'static str,
    /// Commit it was built from, where the build knew.
    commit: Option<&'static str>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ReadyQuery {
    /// Name each dependency; needs a key.
    verbose: Option<String>,
}

/// The process is alive.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()), responses((status = 200, body = str)))]
async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether every dependency is ready.
#[utoipa::path(get, path = "/readyz", tag = "health", params(ReadyQuery), security(()),
    responses((status = 200, body = Readiness), (status = 503, body = Readiness)))]
async fn readyz(
    caller: Option<Caller>,
    Query(query): Query<ReadyQuery>,
    State(health): State<Health>,
) -> Response {
    let found = health.dependencies().await;
    let ready = found.iter().all(|dependency| dependency.ready);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let named = query.verbose.is_some() && caller.is_some();
    (status, Json(Readiness { ready, dependencies: named.then_some(found) })).into_response()
}

/// Which build this is.
#[utoipa::path(get, path = "/version", tag = "health", security(()), responses((status = 200, body = Version)))]
async fn version() -> Json<Version> {
    Json(Version { version: env!("CARGO_PKG_VERSION"), commit: option_env!("HEADWORKS_COMMIT") })
}

/// Metrics in the Prometheus text format.
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, content_type = "text/plain", body = str)))]
async fn metrics(_may: MayAll<Read>, State(health): State<Health>) -> Result<Response, Problem> {
    let text = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((text, health.metrics.render()).into_response())
}
