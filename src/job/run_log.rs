//! What a run says of itself: the span around it, its measurement, and a line where it did not end well.

use super::kind::Kind;
use super::outcome::{Became, FinishedEnd, HoldReason, Outcome};
use super::store::{Job, PutBack};
use crate::infra::telemetry::metrics::JOB_SECONDS;
use std::time::Duration;
use tracing::field::display;

/// Stands for the module of a job that needs none.
const NO_MODULE: &str = "-";

/// The span of a run: every line logged within carries what is in it. At the highest level, so that it is there whatever
/// the filter lets through.
pub fn span(job: &Job, module: Option<&str>) -> tracing::Span {
    let (kind, module) = (kind(job), module.unwrap_or(NO_MODULE));
    tracing::error_span!("job", job_id = %job.id, kind, module, attempt = job.attempt)
}

/// Measures one run.
pub fn measured<W>(job: &Job, module: Option<&str>, outcome: &Outcome<W>, took: Duration) {
    let module = module.unwrap_or(NO_MODULE).to_owned();
    metrics::histogram!(JOB_SECONDS, "kind" => kind(job), "module" => module, "outcome" => outcome.word())
        .record(took.as_secs_f64());
}

/// The end of a job was committed; one that was to be held may have been called off in the meantime.
pub fn ended(job: &Job, end: &FinishedEnd, became: Became) {
    match end {
        FinishedEnd::Completed | FinishedEnd::Cancelled => {}
        FinishedEnd::Failed(error) => {
            tracing::warn!(
                delivery_id = job.delivery_id.map(display),
                reason = error,
                "a job failed for good"
            );
        }
        FinishedEnd::Held(reason, detail) if became == Became::Held => held(job, *reason, detail),
        FinishedEnd::Held(..) => {}
    }
}

/// A job was put back, and this is what became of it.
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

fn kind(job: &Job) -> &'static str {
    job.kind().map_or("unknown", Kind::word)
}
