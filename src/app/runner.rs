//! The job runner, folded from the handlers of the features.

use crate::config::{Config, QueueLimits};
use crate::delivery::{Core, Feature, KindHandler, Work};
use crate::job::{
    Backoff, Finish, Handler, HoldReason, Outcome, QueueName, QueueRules, Run, Runner, RunnerSettings,
};
use std::sync::Arc;

/// The runner of this process; `None` where no feature runs jobs here.
pub fn of(core: &Arc<Core>, features: &[Feature]) -> Option<Runner<Work>> {
    let handlers: Arc<[KindHandler]> = features.iter().flat_map(|feature| feature.handlers.clone()).collect();
    let worker = core.worker.filter(|_| !handlers.is_empty())?;
    let rules_core = Arc::clone(core);
    let mine = Arc::clone(&handlers);
    Some(Runner {
        db: core.db.clone(),
        worker,
        settings: settings(&core.live.config()),
        rules: Arc::new(move |queue: &QueueName| {
            let runs = |handler: &KindHandler| handler.kind == queue.kind && handler.home == queue.home;
            mine.iter().any(runs).then(|| queue_rules(&rules_core, queue)).flatten()
        }),
        wake: core.wake.clone(),
        leases: core.leases.clone(),
        perform: perform(handlers),
        finish: finish(core),
    })
}

fn perform(handlers: Arc<[KindHandler]>) -> Handler<Work> {
    Arc::new(move |run: Run| {
        let kind = run.job.kind();
        match handlers.iter().find(|handler| Some(handler.kind) == kind) {
            Some(handler) => (handler.run)(run),
            None => Box::pin(async move {
                Outcome::Hold {
                    reason: HoldReason::Operator,
                    detail: format!("job kind {} is of a newer version", run.job.kind_code),
                    work: None,
                }
            }),
        }
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
fn queue_rules(core: &Core, queue: &QueueName) -> Option<QueueRules> {
    let (config, limits): (_, QueueLimits) = (core.live.config(), core.queue_limits(queue));
    (!limits.paused).then(|| QueueRules {
        concurrency: limits.concurrency.get(),
        prefetch: limits.prefetch,
        max_attempts: u16::try_from(limits.max_attempts.get()).unwrap_or(u16::MAX),
        soft_timeout: limits.soft_timeout,
        hard_timeout: limits.hard_timeout,
        backoff: Backoff { base: config.jobs.backoff_base.get(), max: config.jobs.backoff_max.get() },
    })
}
