//! How the process is: `/healthz`, `/readyz`, `/version`, `/metrics`.
//!
//! `/healthz` touches nothing: it fails only where the process cannot answer at all. `/readyz` asks every dependency,
//! at most once a second however often it is asked itself, since it is open to all; the names of the dependencies are
//! shown to callers with a key. The log has a line when one of them fails and one when it is well again.

use super::permit::Read;
use super::{Caller, Json, Kit, MayAll, Problem, Query};
use crate::infra::telemetry::condition::Condition;
use crate::infra::telemetry::metrics::Metrics;
use axum::extract::{FromRef, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::future::{BoxFuture, FutureExt, join_all};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Longest wait for one dependency.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long an answer is reused.
const STANDS: Duration = Duration::from_secs(1);
/// Pause between two trial writes.
const TRIAL_PAUSE: Duration = Duration::from_secs(10);
const TRIAL_BYTES: usize = 4096;
/// How often the log hears of the dependencies, whether anybody asks or not.
const WATCH: Duration = Duration::from_secs(2);

type Probe = Arc<dyn Fn() -> BoxFuture<'static, Result<Option<String>, String>> + Send + Sync>;

/// One dependency and how to ask it.
#[derive(Clone)]
pub struct Check {
    name: &'static str,
    probe: Probe,
    condition: Arc<Condition>,
}

impl Check {
    /// A dependency; `probe` returns in a few words what is wrong, or a remark although nothing is wrong. It is
    /// given up after two seconds.
    pub fn new<F, P>(name: &'static str, probe: P) -> Self
    where
        P: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<Option<String>, String>> + Send + 'static,
    {
        let condition = Arc::new(Condition::of(name.into(), "not ready", "ready again"));
        Self { name, probe: Arc::new(move || probe().boxed()), condition }
    }

    async fn ask(&self) -> Dependency {
        let asked = tokio::time::timeout(PATIENCE, (self.probe)()).await;
        match asked.unwrap_or_else(|_| Err("no answer".to_owned())) {
            Ok(note) => {
                self.condition.ends();
                Dependency { name: self.name, ready: true, wrong: None, note }
            }
            Err(wrong) => {
                self.condition.holds(&wrong);
                Dependency { name: self.name, ready: false, wrong: Some(wrong), note: None }
            }
        }
    }
}

/// A trial write: what can be read may be full, read-only or somebody else's. It is repeated at most every ten seconds; in
/// between the last answer stands.
#[derive(Debug, Default)]
pub struct Trial(Option<(Instant, Result<(), String>)>);

impl Trial {
    /// The last answer, if it still stands.
    #[must_use]
    pub fn standing(&self) -> Option<Result<(), String>> {
        let (at, answer) = self.0.as_ref()?;
        (at.elapsed() < TRIAL_PAUSE).then(|| answer.clone())
    }

    /// Notes an answer and returns it.
    ///
    /// # Errors
    /// The answer's.
    pub fn answered(&mut self, answer: Result<(), String>) -> Result<(), String> {
        self.0 = Some((Instant::now(), answer.clone()));
        answer
    }

    /// Writes, unless the last answer still stands.
    ///
    /// # Errors
    /// What is wrong.
    pub fn write(&mut self, write: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
        self.standing().unwrap_or_else(|| self.answered(write()))
    }
}

/// Writes a little to a file without a name in `directory`, and fsyncs it.
///
/// # Errors
/// What the system reports.
pub fn try_write(directory: &Path) -> std::io::Result<()> {
    let mut file = tempfile::tempfile_in(directory)?;
    file.write_all(&[0; TRIAL_BYTES])?;
    file.sync_all()
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

    /// Asks again and again until `stop`, so that the log says when the process stops being ready and when it is ready again.
    pub async fn watch(self, stop: CancellationToken) {
        let watching = async {
            loop {
                self.dependencies().await;
                tokio::time::sleep(WATCH).await;
            }
        };
        stop.run_until_cancelled(watching).await;
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
