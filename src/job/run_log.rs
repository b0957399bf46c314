//! Logs and measures runs: the span around a run, its duration, and a line if it did not succeed.

use super::outcome::{Became, FinishedEnd, HoldReason, Outcome};
use super::state::Ended;
use super::store::{Job, PutBack};
use crate::ids::QueueName;
use crate::infra::telemetry::metrics::JOB_SECONDS;
use std::time::Duration;
use tracing::field::display;

/// Module in the metrics of a job that needs none.
const NO_MODULE: &str = "-";

/// The span of a run: its fields appear in every line logged within. It has the highest level, so that no filter removes it.
pub fn span(job: &Job, queue: &QueueName) -> tracing::Span {
    let (kind, module) = (queue.kind.word(), queue.module.as_deref().unwrap_or(NO_MODULE));
    tracing::error_span!("job", job_id = %job.id, kind, module, attempt = job.attempt)
}

/// Measures one run.
pub fn measured<W>(queue: &QueueName, outcome: &Outcome<W>, took: Duration) {
    let module = queue.module.as_deref().unwrap_or(NO_MODULE).to_owned();
    metrics::histogram!(JOB_SECONDS, "kind" => queue.kind.word(), "module" => module, "outcome" => outcome.word())
        .record(took.as_secs_f64());
}

/// The end of a run was committed; a job that should have been held may have been cancelled in the meantime.
pub fn ended(job: &Job, end: &FinishedEnd, became: Became) {
    match end {
        FinishedEnd::Ended(Ended::Failed, error) => {
            let delivery_id = job.delivery_id.map(display);
            tracing::warn!(delivery_id, reason = error, "a job failed for good");
        }
        FinishedEnd::Ended(..) => {}
        FinishedEnd::PutBack(how) => put_back(job, how, became),
    }
}

/// A job was put back.
pub fn put_back(job: &Job, how: &PutBack, became: Became) {
    match (how, became) {
        (PutBack::Hold { reason, detail }, Became::Held) => held(job, *reason, detail),
        (PutBack::Crash { how, .. }, Became::Held) => held(job, HoldReason::Poisoned, how),
        (PutBack::Crash { how, .. }, Became::AsMeant | Became::Cancelled) => {
            tracing::warn!(delivery_id = job.delivery_id.map(display), reason = how, "a job crashed");
        }
        _ => {}
    }
}

fn held(job: &Job, reason: HoldReason, detail: &str) {
    let (delivery_id, reason) = (job.delivery_id.map(display), reason.word());
    tracing::warn!(delivery_id, reason, detail, "a job is held");
}
