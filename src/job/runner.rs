//! Runs jobs: claim → run under a deadline → commit the outcome.
//!
//! ```text
//!   wake, poll, freed slot ──▶ claim ──▶ buffer ──▶ run ──▶ settle ──▶ finish (batched commit) or put back
//! ```
//!
//! Handlers and the commit that ends a run (`finish`) live on higher floors and are passed in. A process claims only from
//! queues whose kind has a handler here and whose home, if they have one, is one of this process; jobs of kinds that this
//! version does not know so stay where they are. A slot is free again when the handler has returned; nothing is claimed while
//! commits pile up.

mod dispatch;
mod settle;
mod slots;
mod start;

use super::lease::{Leases, Stop};
use super::outcome::{Became, Finished, Outcome};
use super::queue::QueueRules;
use super::run::Run;
use super::store::PutBack;
use super::wake::Wake;
use crate::ids::{Home, Kind, QueueName, SpoolId};
use crate::infra::db::{Db, DbError};
use futures_util::future::BoxFuture;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Runs jobs of one kind. The future may be dropped at any await: at its deadline, or when the lease is lost.
pub type Handler<W> = Arc<dyn Fn(Run) -> BoxFuture<'static, Outcome<W>> + Send + Sync>;

/// The handlers of a process, one per kind it runs.
pub type Handlers<W> = HashMap<Kind, Handler<W>>;

/// Commits the end of a run together with what it wants to write; writes nothing if the lease was lost.
pub type Finish<W> = Arc<dyn Fn(Finished<W>) -> BoxFuture<'static, Result<Became, DbError>> + Send + Sync>;

/// The limits of a queue; `None` if the configuration pauses it.
pub type RulesOf = Arc<dyn Fn(&QueueName) -> Option<QueueRules> + Send + Sync>;

/// How a process claims and runs.
#[derive(Debug, Clone, Copy)]
pub struct RunnerSettings {
    /// Length of a lease; it is renewed every third of it.
    pub lease: Duration,
    /// How far floors trail behind claims.
    pub claim_lag: Duration,
    /// How often a claim looks below the floors.
    pub sweep: Duration,
    /// Shortest poll, used after work was found.
    pub poll_min: Duration,
    /// Longest poll, used when there is none.
    pub poll_max: Duration,
    /// Crashes after which a job is held as poisoned.
    pub max_crashes: u16,
    /// Lost leases after which a job is held.
    pub max_lost: u16,
    /// Nothing is claimed while more jobs than this are being committed.
    pub max_finishing: usize,
    /// How long running jobs may go on after a stop.
    pub grace: Duration,
}

/// The parts of a runner; `W` is what a run may write in the commit that ends it.
pub struct Runner<W> {
    /// The store.
    pub db: Db,
    /// Worker row of this process.
    pub worker: i32,
    /// How to claim and run.
    pub settings: RunnerSettings,
    /// What to run.
    pub handlers: Handlers<W>,
    /// Spools that this process holds.
    pub homes: Vec<SpoolId>,
    /// Limits per queue.
    pub rules: RulesOf,
    /// Wake-ups.
    pub wake: Wake,
    /// Leases of this process; cancelling a job goes through them.
    pub leases: Leases,
    /// Commits the end of a run.
    pub finish: Finish<W>,
}

/// Counts of started jobs.
#[derive(Default)]
struct Started {
    tasks: TaskTracker,
    finishing: Arc<AtomicUsize>,
    /// Notified when a slot becomes free or a commit is done.
    freed: Arc<Notify>,
}

impl<W: Send + 'static> Runner<W> {
    /// Claims and runs until `stop`; then lets running jobs finish, and puts back those that do not within the grace.
    pub async fn run(self, stop: CancellationToken) {
        let runner = Arc::new(self);
        let heartbeat_stop = CancellationToken::new();
        let heartbeat = {
            let (runner, stop) = (Arc::clone(&runner), heartbeat_stop.clone());
            tokio::spawn(async move {
                runner.leases.renew_until(&runner.db, runner.settings.lease, &stop).await;
            })
        };
        let started = Started::default();
        let unstarted = Arc::clone(&runner).dispatch(&started, &stop).await;
        runner.put_all_back(&unstarted, PutBack::Release).await;
        started.tasks.close();
        if tokio::time::timeout(runner.settings.grace, started.tasks.wait()).await.is_err() {
            runner.leases.stop_all(Stop::Shutdown);
            started.tasks.wait().await;
        }
        heartbeat_stop.cancel();
        if let Err(error) = heartbeat.await {
            tracing::error!(%error, "the heartbeat task failed");
        }
    }

    /// Whether this process runs the jobs of a queue.
    fn runs(&self, queue: &QueueName) -> bool {
        let at_home = match queue.kind.facts().home {
            Home::Anywhere => true,
            Home::Spool => queue.home.is_some_and(|home| self.homes.contains(&home)),
        };
        at_home && self.handlers.contains_key(&queue.kind)
    }
}

/// A random number, for jitter.
fn random_u32() -> u32 {
    uuid::Uuid::new_v4().as_fields().0
}
