//! The job runner, folded from the handlers of the features.

use crate::config::Config;
use crate::delivery::{Core, Feature, KindHandler, Work};
use crate::ids::QueueName;
use crate::job::{Backoff, Finish, Handlers, QueueRules, Runner, RunnerSettings};
use std::sync::Arc;

/// The runner of this process; `None` where no feature runs jobs here.
pub fn of(core: &Arc<Core>, features: &[Feature]) -> Option<Runner<Work>> {
    let all = || features.iter().flat_map(|feature| &feature.handlers);
    let handlers: Handlers<Work> =
        all().map(|KindHandler { kind, run, .. }| (*kind, Arc::clone(run))).collect();
    let worker = core.worker.filter(|_| !handlers.is_empty())?;
    let live = core.live.clone();
    Some(Runner {
        db: core.db.clone(),
        worker,
        settings: settings(&core.live.config()),
        handlers,
        homes: all().filter_map(|handler| handler.home).collect(),
        rules: Arc::new(move |queue: &QueueName| queue_rules(&live.config(), queue)),
        wake: core.wake.clone(),
        leases: core.leases.clone(),
        finish: finish(core),
    })
}

fn finish(core: &Arc<Core>) -> Finish<Work> {
    let finisher = core.finisher.clone();
    Arc::new(move |finished| {
        let finisher = finisher.clone();
        Box::pin(async move { finisher.finish(finished).await })
    })
}

fn settings(config: &Config) -> RunnerSettings {
    let jobs = &config.jobs;
    RunnerSettings {
        lease: jobs.lease.get(),
        claim_lag: jobs.claim_lag.get(),
        sweep: jobs.sweep.get(),
        poll_min: jobs.poll_min.get(),
        poll_max: jobs.poll_max.get(),
        max_crashes: u16::try_from(jobs.max_crashes.get()).unwrap_or(u16::MAX),
        max_lost: u16::try_from(jobs.max_lost.get()).unwrap_or(u16::MAX),
        max_finishing: config.store.batch_items.get() as usize * 2,
        grace: config.server.shutdown_grace.get(),
    }
}

/// The limits of a queue; `None` for one that the configuration pauses.
fn queue_rules(config: &Config, queue: &QueueName) -> Option<QueueRules> {
    let limits = config.queue_limits(queue);
    (!limits.paused).then(|| QueueRules {
        concurrency: limits.concurrency.get(),
        prefetch: limits.prefetch,
        max_attempts: limits.max_attempts,
        soft_timeout: limits.soft_timeout,
        hard_timeout: limits.hard_timeout(),
        backoff: Backoff { base: config.jobs.backoff_base.get(), max: config.jobs.backoff_max.get() },
    })
}
