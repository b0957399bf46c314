//! A whole headworks: the [`Core`], and the features that stand on it.
//!
//! ```text
//!   store (migrated, recovered) ─▶ worker row ─▶ volumes (markers) ─▶ modules ─▶ tables ─▶ queues, acceptor, finisher = Core
//!   Core ─▶ each of FEATURES is built ─▶ router, schedule, job runner, readiness are folded from what they add
//! ```

mod build;
mod customers;
mod kafka;
mod object_stores;
mod patience;
mod readiness;
mod runner;
mod server;
mod volumes;

pub use build::{BuildError, beside_this_program, host_settings, make_state_directory, open_store};
pub use kafka::kafka;
pub use object_stores::{ObjectStores, Place};
pub use server::{Server, StartError, tls_files};

use crate::config::{Config, Door, Live, Role};
use crate::delivery::{Core, Feature, FeatureSpec, Remake};
use crate::infra::telemetry::metrics::Metrics;
use crate::schedule::Keeper;
use crate::web::health::Health;
use crate::{jobs_api, mail, parse, relay, router};
use axum::Router;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Every feature there is. A new one is a word here.
const FEATURES: &[FeatureSpec] = &[mail::FEATURE, parse::FEATURE, jobs_api::FEATURE, relay::FEATURE];

/// A headworks of some roles.
pub struct App {
    /// What the features stand on.
    pub core: Arc<Core>,
    features: Vec<Feature>,
    /// Hears of every reload since before the customers were registered.
    reloads: watch::Receiver<Arc<Config>>,
}

impl App {
    /// Builds every part for the roles of the configuration. With Postgres away at start this waits for it.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub async fn build(live: Live, metrics: Metrics) -> Result<Self, BuildError> {
        let roles = live.config().server.roles.clone();
        Self::build_for(live, roles, metrics, true).await
    }

    /// As [`build`](Self::build), for a command that somebody waits for: a store that is away is an error. Most commands
    /// need no role.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub async fn build_at_once(
        live: Live,
        roles: BTreeSet<Role>,
        metrics: Metrics,
    ) -> Result<Self, BuildError> {
        Self::build_for(live, roles, metrics, false).await
    }

    async fn build_for(
        live: Live,
        roles: BTreeSet<Role>,
        metrics: Metrics,
        patient: bool,
    ) -> Result<Self, BuildError> {
        if is_idle(&live.config(), &roles) {
            return Err(BuildError::Idle);
        }
        let reloads = live.subscribe();
        let core = Arc::new(build::core(live, roles, metrics, patient).await?);
        let mut features = Vec::with_capacity(FEATURES.len());
        for &FeatureSpec { name, build, .. } in FEATURES {
            let built = build(Arc::clone(&core)).await;
            features.push(built.map_err(|source| BuildError::Feature { name, source })?);
        }
        Ok(Self { core, features, reloads })
    }

    /// Does what the roles ask for until `stop`: intake, jobs, sealing. Returns when everything has ended.
    pub async fn run(&self, stop: CancellationToken) {
        let (tasks, core) = (TaskTracker::new(), &self.core);
        for task in self.features.iter().flat_map(|feature| &feature.tasks) {
            tasks.spawn(task.run(stop.clone()));
        }
        if let Some(runner) = runner::of(core, &self.features) {
            tasks.spawn(runner.run(stop.clone()));
        }
        let (db, live, reloads) = (core.db.clone(), core.live.clone(), self.reloads.clone());
        tasks.spawn(customers::keep_registered(db, live, reloads, stop.clone()));
        let core = Arc::clone(core);
        tasks.spawn(async move { core.wake.relay(&core.db, &stop).await });
        tasks.close();
        tasks.wait().await;
    }

    /// What does the periodic duties.
    #[must_use]
    pub fn keeper(&self) -> Keeper {
        Keeper::new(&self.core, &self.features)
    }

    /// The health of this process, for all its listeners. `/readyz` is 503 from when `stop` is cancelled.
    #[must_use]
    pub fn health(&self, stop: &CancellationToken) -> Health {
        let checks = readiness::checks(&self.core, &self.features, stop);
        Health::new(self.core.kit(), self.core.metrics.clone(), checks)
    }

    /// The router of a listener that serves these doors.
    ///
    /// # Errors
    /// When the API document cannot be written.
    pub fn router(&self, doors: &BTreeSet<Door>, health: &Health) -> Result<Router, serde_json::Error> {
        let timeout = self.core.live.config().http.request_timeout.get();
        router::router(&self.features, health, doors, timeout)
    }

    /// What the features can make damaged trees again with.
    pub fn remakes(&self) -> impl Iterator<Item = &Remake> {
        self.features.iter().filter_map(|feature| feature.remake.as_ref())
    }
}

/// Whether a process of these roles would do nothing: the relay alone, without a Kafka.
#[must_use]
pub fn is_idle(config: &Config, roles: &BTreeSet<Role>) -> bool {
    !config.kafka.is_used() && roles.iter().eq(&[Role::Relay])
}
