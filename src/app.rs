//! Builds every part once, in the order they stand on each other, and runs them.
//!
//! ```text
//!   store (migrated, recovered) ─▶ worker row ─▶ volumes (markers) ─▶ modules ─▶ tables ─▶ queues, acceptor, finisher
//!                                                                                  └▶ spool ─▶ sorter, sealer, intake
//! ```
//!
//! Where something low must cause something above it, the function is passed in here: the job runner gets its handlers and `finish`, which knows deliveries.

mod build;
mod customers;
mod explain;
mod spool;
mod volumes;

pub use build::{BuildError, beside_this_program, host_settings, make_directory, open_store};
pub use spool::HomeSpool;

use crate::config::{Config, Live, Role};
use crate::delivery::{Acceptor, Finisher, Work};
use crate::ids::{BootId, SpoolId};
use crate::infra::db::Db;
use crate::infra::host::Host;
use crate::infra::volume::Volume;
use crate::job::{
    Backoff, Finish, Handler, Handlers, Kind, Leases, QueueName, QueueRules, Queues, RulesOf, Runner,
    RunnerSettings, Wake,
};
use crate::jobs_api::{self, Api};
use crate::load::Tables;
use crate::mail::{Intake, Leftovers, Sealer, Sorter};
use crate::parse::Parser;
use crate::web::Kit;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Every part of a running headworks.
pub struct App {
    /// The configuration in force.
    pub live: Live,
    /// Hears of every reload since before the customers were registered.
    reloads: watch::Receiver<Arc<Config>>,
    /// The store.
    pub db: Db,
    /// This process start.
    pub boot: BootId,
    /// Its worker row; none of a command on Postgres, which claims nothing.
    pub worker: Option<i32>,
    /// Its scratch directory.
    pub tmp: PathBuf,
    /// Whether its roles put, read or take apart what was delivered.
    pub touches_deliveries: bool,
    /// The module processes.
    pub host: Host,
    /// What the modules declare.
    pub tables: Tables,
    /// Ids of the modules there are.
    pub modules: Arc<BTreeSet<String>>,
    /// Where trees are.
    pub inbox: Arc<Volume>,
    /// Where copies of originals are.
    pub archive: Arc<Volume>,
    /// The spool, where this process holds it.
    pub spool: Option<HomeSpool>,
    /// Queues and their rows.
    pub queues: Queues,
    /// Wake-ups.
    pub wake: Wake,
    /// Leases of running jobs.
    pub leases: Leases,
    /// The first compound commit.
    pub acceptor: Acceptor,
    /// The second one.
    pub finisher: Finisher,
}

impl App {
    /// Runs what the roles ask for until `stop`: intake, sorting, parsing, sealing. Returns when everything has ended.
    pub async fn run(&self, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        let roles = self.live.config().server.roles.clone();
        if let Some(home) = self.spool.as_ref().filter(|_| roles.contains(&Role::Mail)) {
            let sealer = self.sealer(home);
            let intake = Intake {
                spool: home.spool.clone(),
                directory: home.directory.clone(),
                acceptor: self.acceptor.clone(),
                live: self.live.clone(),
                damaged: home.damaged.clone(),
            };
            tasks.spawn(intake.run(stop.clone()));
            let sealing = stop.clone();
            tasks.spawn(async move { sealer.run(sealing).await });
        }
        let runs = roles.contains(&Role::Mail) || roles.contains(&Role::Worker);
        if let Some(worker) = self.worker.filter(|_| runs) {
            tasks.spawn(self.runner(worker).run(stop.clone()));
        }
        let (db, live, reloads) = (self.db.clone(), self.live.clone(), self.reloads.clone());
        tasks.spawn(customers::keep_registered(db, live, reloads, stop.clone()));
        let (wake, db) = (self.wake.clone(), self.db.clone());
        tasks.spawn(async move { wake.relay(&db, &stop).await });
        tasks.close();
        tasks.wait().await;
    }

    /// The parts of the REST API.
    #[must_use]
    pub fn api(&self, kit: Kit) -> Arc<Api> {
        let spool = self.live.config().spool.path.clone();
        Arc::new(Api {
            db: self.db.clone(),
            kit,
            live: self.live.clone(),
            tables: self.tables.clone(),
            modules: self.host.declarations().into(),
            door: jobs_api::Door {
                db: self.db.clone(),
                inbox: Arc::clone(&self.inbox),
                acceptor: self.acceptor.clone(),
                modules: Arc::clone(&self.modules),
            },
            tmp: self.tmp.clone(),
            wake: self.wake.clone(),
            leases: self.leases.clone(),
            explain: explain::explainer(self.host.clone(), self.live.clone(), self.tmp.clone()),
            in_spool: Arc::new(move |id| spool::holds(&spool, id)),
        })
    }

    /// What clears leftovers from this process's spool.
    #[must_use]
    pub fn leftovers(&self) -> Option<Leftovers> {
        self.spool.as_ref().map(|home| Leftovers {
            spool: home.spool.clone(),
            acceptor: self.acceptor.clone(),
            db: self.db.clone(),
            live: self.live.clone(),
            damaged: home.damaged.clone(),
        })
    }

    /// The sealer of this process's spool.
    #[must_use]
    pub fn sealer(&self, home: &HomeSpool) -> Sealer {
        Sealer {
            db: self.db.clone(),
            spool: home.spool.clone(),
            inbox: Arc::clone(&self.inbox),
            archive: Arc::clone(&self.archive),
            live: self.live.clone(),
            deferred: Arc::default(),
        }
    }

    /// Whether the spool takes mail: what `mailhandler` asks before each; and what is worth knowing of it though it does.
    ///
    /// # Errors
    /// What is wrong with it, in a few words.
    pub async fn check_spool(&self) -> Result<Option<String>, String> {
        let Some(home) = &self.spool else { return Ok(None) };
        let (spool, settings) = (home.spool.clone(), self.live.config().spool.clone());
        let asked = tokio::task::spawn_blocking(move || {
            spool.require_free(settings.min_free_bytes.bytes(), settings.min_free_inodes)
        });
        asked.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        let damaged = home.damaged.count();
        Ok((damaged > 0).then(|| format!("damaged entries: {damaged}")))
    }

    fn runner(&self, worker: i32) -> Runner<Work> {
        let jobs = &self.live.config().jobs;
        Runner {
            db: self.db.clone(),
            worker,
            settings: RunnerSettings {
                lease: jobs.lease.get(),
                claim_lag: jobs.claim_lag.get(),
                sweep: jobs.sweep.get(),
                poll_min: jobs.poll_min.get(),
                poll_max: jobs.poll_max.get(),
                max_crashes: u16::try_from(jobs.max_crashes.get()).unwrap_or(u16::MAX),
                max_lost: u16::try_from(jobs.max_lost.get()).unwrap_or(u16::MAX),
                max_finishing: self.live.config().store.batch_items.get() as usize * 2,
                grace: self.live.config().server.shutdown_grace.get(),
            },
            handlers: self.handlers(),
            homes: self.spool.iter().map(|home| SpoolId(home.spool.id())).collect(),
            rules: self.rules(),
            wake: self.wake.clone(),
            leases: self.leases.clone(),
            finish: self.finish(),
        }
    }

    /// What each kind of job does: the one place that lists them. Kinds of roles that this process has not are left out.
    fn handlers(&self) -> Handlers<Work> {
        let parser = Parser {
            db: self.db.clone(),
            host: self.host.clone(),
            inbox: Arc::clone(&self.inbox),
            tmp: self.tmp.clone(),
            live: self.live.clone(),
        };
        let parse: Handler<Work> = Arc::new(move |run| {
            let parser = parser.clone();
            Box::pin(async move { parser.run(run).await })
        });
        let sort = self.spool.as_ref().map(|home| {
            let sorter = self.sorter(home);
            let sort: Handler<Work> = Arc::new(move |run| {
                let sorter = sorter.clone();
                Box::pin(async move { sorter.run(run).await })
            });
            (Kind::Sort, sort)
        });
        let roles = self.live.config().server.roles.clone();
        let all = sort.into_iter().chain([(Kind::Parse, parse)]);
        all.filter(|(kind, _)| roles.contains(&kind.facts().role)).collect()
    }

    /// The sorter of this process's spool.
    #[must_use]
    pub fn sorter(&self, home: &HomeSpool) -> Sorter {
        Sorter {
            db: self.db.clone(),
            host: self.host.clone(),
            spool: home.spool.clone(),
            inbox: Arc::clone(&self.inbox),
            archive: Arc::clone(&self.archive),
            live: self.live.clone(),
            queues: self.queues.clone(),
            modules: Arc::clone(&self.modules),
        }
    }

    fn finish(&self) -> Finish<Work> {
        let finisher = self.finisher.clone();
        Arc::new(move |finished| {
            let finisher = finisher.clone();
            Box::pin(async move { finisher.finish(finished).await })
        })
    }

    /// Limits of queues.
    fn rules(&self) -> RulesOf {
        let live = self.live.clone();
        Arc::new(move |queue: &QueueName| queue_rules(&live.config(), queue))
    }
}

/// The limits of a queue; none of one that the configuration pauses.
fn queue_rules(config: &Config, queue: &QueueName) -> Option<QueueRules> {
    let limits = config.queue_limits(queue);
    (!limits.paused).then(|| QueueRules {
        concurrency: limits.concurrency.get(),
        prefetch: limits.prefetch,
        max_attempts: u16::try_from(limits.max_attempts.get()).unwrap_or(u16::MAX),
        soft_timeout: limits.soft_timeout,
        hard_timeout: limits.hard_timeout,
        backoff: Backoff { base: config.jobs.backoff_base.get(), max: config.jobs.backoff_max.get() },
    })
}
