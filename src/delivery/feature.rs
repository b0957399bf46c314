//! What a feature adds to a process.
//!
//! A feature is a folder on floor 5: a way in, a job kind, or both. Its [`FeatureSpec`] says what it needs before anything is
//! opened; its `build` gets the [`Core`] and returns what it adds. `app.rs` has the one list of features; router, schedule, job
//! runner, readiness and the check of `--roles` are folded from it.
//!
//! ```text
//!   FeatureSpec ── roles, volumes ──▶ Core is built ──▶ build(core) ──▶ Feature
//!                                                                         ├ api, door      router
//!                                                                         ├ handlers       job runner
//!                                                                         ├ duties         schedule
//!                                                                         ├ checks         /readyz
//!                                                                         ├ tasks          run until the process stops
//!                                                                         └ remake         verify --repair
//! ```

use super::{Core, InsertRows, Work};
use crate::config::{self, Config, Role};
use crate::ids::VolumeName;
use crate::ids::{DeliveryId, SpoolId};
use crate::infra::db::DbError;
use crate::job::{Handler, Interrupted, Kind, Outcome, Run};
use crate::web::health::Check;
use crate::web::{Dialect, Kit, Streams};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

/// A feature before it is built.
pub struct FeatureSpec {
    /// Its name, in errors.
    pub name: &'static str,
    /// Roles in which it works. A process without them builds it too, only for its API.
    pub roles: &'static [Role],
    /// Volumes it uses in these roles: they must be there when the process starts.
    pub volumes: &'static [VolumeName],
    /// What inserts rows of its own tables in the two commits, by name.
    pub rows: &'static [(&'static str, InsertRows)],
    /// Builds it.
    pub build: fn(Arc<Core>) -> BoxFuture<'static, Result<Feature, FeatureError>>,
}

/// Why a feature could not be built.
pub type FeatureError = Box<dyn Error + Send + Sync>;

/// What a feature adds. Defaults add nothing.
#[derive(Default)]
pub struct Feature {
    /// Routes below `/api/1.0`.
    pub api: ApiRoutes,
    /// A door of its own, with its own paths and error bodies.
    pub door: Option<Door>,
    /// What runs its job kinds.
    pub handlers: Vec<KindHandler>,
    /// What it does periodically.
    pub duties: Vec<Duty>,
    /// What it depends on.
    pub checks: Vec<Check>,
    /// What it does until the process stops.
    pub tasks: Vec<Task>,
    /// Makes the damaged tree of one of its deliveries again.
    pub remake: Option<Remake>,
}

/// Routes of our own API, their own state applied.
#[derive(Default)]
pub struct ApiRoutes {
    /// Behind a key.
    pub keyed: OpenApiRouter<Kit>,
    /// For everybody who knows the URL.
    pub open: OpenApiRouter<Kit>,
}

/// A door with paths of its own.
pub struct Door {
    /// Its word in `[[listen]] doors`.
    pub name: config::Door,
    /// Its routes, with absolute paths and their state applied.
    pub routes: OpenApiRouter,
    /// Which of its requests have a body of any length: the time limit of requests does not hold for them.
    pub streams: Streams,
    /// How it answers below its paths when no handler does: 404, 405, 408, 413, 500, 503.
    pub dialect: Option<Dialect>,
}

/// What runs the jobs of one kind.
#[derive(Clone)]
pub struct KindHandler {
    /// The kind.
    pub kind: Kind,
    /// The spool whose jobs it runs, for a kind whose queues have a home.
    pub home: Option<SpoolId>,
    /// Does one job.
    pub run: Handler<Work>,
}

impl KindHandler {
    /// A handler for jobs of `kind`, with a home only those of `home`.
    pub fn new<F>(kind: Kind, home: Option<SpoolId>, run: impl Fn(Run) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Outcome<Work>> + Send + 'static,
    {
        Self { kind, home, run: Arc::new(move |job| run(job).boxed()) }
    }
}

/// Periodic work. A failure is logged, and the duty runs again at its next turn.
#[derive(Clone)]
pub struct Duty {
    /// Its name, in the log; of a leader's duty also the name of its lease.
    pub name: &'static str,
    /// Who does it.
    pub by: By,
    /// Pause between two turns, as configured now.
    pub every: fn(&Config) -> Duration,
    /// One turn.
    pub work: Arc<dyn Fn() -> BoxFuture<'static, Result<(), DbError>> + Send + Sync>,
}

/// Who does a duty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Every process, for itself.
    Each,
    /// One process with role `keeper`, for all that share the store.
    Leader,
}

impl Duty {
    /// A duty whose turn is `work(state)`.
    pub fn new<S, F>(
        name: &'static str,
        by: By,
        every: fn(&Config) -> Duration,
        state: &S,
        work: impl Fn(S) -> F + Send + Sync + 'static,
    ) -> Self
    where
        S: Clone + Send + Sync + 'static,
        F: Future<Output = Result<(), DbError>> + Send + 'static,
    {
        let state = state.clone();
        Self { name, by, every, work: Arc::new(move || work(state.clone()).boxed()) }
    }
}

/// Work that goes on until the process stops.
#[derive(Clone)]
pub struct Task(Arc<dyn Fn(CancellationToken) -> BoxFuture<'static, ()> + Send + Sync>);

impl Task {
    /// A task; `run` returns soon after its token is cancelled.
    pub fn new<F>(run: impl Fn(CancellationToken) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self(Arc::new(move |stop| run(stop).boxed()))
    }

    /// Runs it.
    #[must_use]
    pub fn run(&self, stop: CancellationToken) -> BoxFuture<'static, ()> {
        (self.0)(stop)
    }
}

/// Makes the tree of a delivery again, from what the feature still holds of it.
pub type Remake = Arc<dyn Fn(DeliveryId) -> BoxFuture<'static, Result<(), Interrupted>> + Send + Sync>;
