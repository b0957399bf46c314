//! Starts claimed jobs, each in a task of its own.

use super::super::lease::{LeaseHandle, Stop};
use super::super::outcome::Outcome;
use super::super::queue::QueueRules;
use super::super::run::Run;
use super::super::run_log;
use super::super::store::Job;
use super::slots::{Slots, Ticket};
use super::{Handler, Runner, Started};
use crate::ids::QueueName;
use futures_util::FutureExt;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tracing::Instrument;

/// A job that runs, and the limits it started under.
pub struct Running {
    pub job: Job,
    pub lease: LeaseHandle,
    pub queue: Arc<QueueName>,
    pub rules: QueueRules,
}

impl<W: Send + 'static> Runner<W> {
    /// Starts jobs from the buffers while there are free slots.
    pub(super) fn start(self: &Arc<Self>, slots: &mut HashMap<i16, Slots>, started: &Started) {
        for slot in slots.values_mut() {
            let (Some(rules), Some(handler)) = (slot.rules, self.handlers.get(&slot.queue.kind)) else {
                continue;
            };
            while slot.running.load(Ordering::Relaxed) < rules.concurrency as usize
                && let Some((job, lease)) = slot.buffer.pop_front()
            {
                let slot_ticket = Ticket::take(&slot.running, &started.freed);
                let finishing = Arc::clone(&started.finishing);
                let freed = Arc::clone(&started.freed);
                let (runner, handler) = (Arc::clone(self), Arc::clone(handler));
                let span = run_log::span(&job, &slot.queue);
                let running = Running { job, lease, queue: Arc::clone(&slot.queue), rules };
                let work = async move {
                    let begun = Instant::now();
                    let outcome = perform(&running, &handler).await;
                    run_log::measured(&running.queue, &outcome, begun.elapsed());
                    let finish_ticket = Ticket::take(&finishing, &freed);
                    drop(slot_ticket);
                    running.lease.finishing();
                    runner.settle(&running, outcome).await;
                    drop(finish_ticket);
                };
                started.tasks.spawn(work.instrument(span));
            }
        }
    }
}

/// Runs the handler until it returns, it is stopped, or its deadline passes.
async fn perform<W>(running: &Running, handler: &Handler<W>) -> Outcome<W> {
    let Running { job, lease, rules, .. } = running;
    if job.cancel_requested {
        return Outcome::Cancelled;
    }
    let run = Run { job: job.clone(), lease: lease.clone(), soft_timeout: rules.soft_timeout };
    tokio::select! {
        biased;
        why = lease.stopped() => match why {
            Stop::Cancelled => Outcome::Cancelled,
            Stop::Lost | Stop::Shutdown => Outcome::Released,
        },
        // A handler that panics has failed like one that returns an error; its lease must not stay behind.
        outcome = AssertUnwindSafe(handler(run)).catch_unwind() => {
            outcome.unwrap_or_else(|_| Outcome::Retry { error: "its handler panicked".into() })
        }
        () = lease.at_work_for(rules.hard_timeout) => {
            Outcome::Retry { error: format!("stopped after {:?}, twice soft_timeout", rules.hard_timeout) }
        }
    }
}
