//! The loop that claims jobs and starts them.

use super::super::claim::Claimer;
use super::super::outcome::HoldReason;
use super::super::run_log;
use super::super::store::{self, Job, PutBack};
use super::slots::{Slots, free_slots};
use super::{Runner, RunnerSettings, Started, random_u32};
use crate::ids::QueueName;
use crate::infra::db::{DbError, View};
use crate::warn_unless_outage;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

impl<W: Send + 'static> Runner<W> {
    /// Claims and starts jobs until `stop`. Returns jobs that were claimed and not started.
    pub(super) async fn dispatch(self: Arc<Self>, started: &Started, stop: &CancellationToken) -> Vec<Job> {
        let RunnerSettings { lease, claim_lag, sweep, poll_min, poll_max, .. } = self.settings;
        let mut claimer = Claimer::new(self.db.clone(), self.worker, lease, claim_lag, sweep);
        let mut slots: HashMap<i16, Slots> = HashMap::new();
        let mut refreshed: Option<Instant> = None;
        let mut poll = poll_min;
        let mut poll_at = Instant::now();
        while !stop.is_cancelled() {
            if refreshed.is_none_or(|at| at.elapsed() >= poll_min) {
                let paused = self.refresh_queues(&mut slots).await;
                if !paused.is_empty() {
                    let runner = Arc::clone(&self);
                    started.tasks.spawn(async move { runner.put_all_back(&paused, PutBack::Release).await });
                }
                refreshed = Some(Instant::now());
            }
            let polls = Instant::now() >= poll_at;
            // A sweep covers all queues: nobody is woken for the jobs that only a sweep can see.
            if polls || claimer.is_sweep_due() {
                slots.values_mut().for_each(|slot| slot.worth_asking = true);
            }
            let mut found = 0;
            let free = free_slots(&slots);
            if !free.is_empty() && started.finishing.load(Ordering::Relaxed) <= self.settings.max_finishing {
                // On SQLite, no lease is taken over while an end is being committed to its two files.
                let take_over = self.db.is_pg() || started.finishing.load(Ordering::Relaxed) == 0;
                found = self.fill(&mut claimer, &mut slots, &free, take_over).await;
            }
            self.start(&mut slots, started);
            if found > 0 {
                poll = poll_min;
            } else if polls {
                poll = (poll * 2).min(poll_max);
            }
            let next = Instant::now() + jittered(poll);
            poll_at = if polls { next } else { poll_at.min(next) };
            if found > 0 && !free_slots(&slots).is_empty() {
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wake.woken() => {
                    slots.values_mut().for_each(|slot| slot.worth_asking = true);
                    poll = poll_min;
                    poll_at = poll_at.min(Instant::now() + jittered(poll));
                }
                () = started.freed.notified() => {}
                () = tokio::time::sleep_until(poll_at.into()) => {}
            }
        }
        slots.into_values().flat_map(|slot| slot.buffer).map(|(job, _)| job).collect()
    }

    /// Claims into the buffers; returns the number of jobs claimed.
    async fn fill(
        &self,
        claimer: &mut Claimer,
        slots: &mut HashMap<i16, Slots>,
        free: &[(i16, u32)],
        take_over: bool,
    ) -> usize {
        let jobs = match claimer.claim(free, take_over).await {
            Ok(jobs) => jobs,
            Err(error) => {
                warn_unless_outage!(error, %error, "claiming failed");
                return 0;
            }
        };
        let found = jobs.len();
        for job in jobs {
            let Some(slot) = slots.get_mut(&job.queue) else { continue };
            let lease = self.leases.hold(job.id, job.lease_token);
            if u16::try_from(job.lost).unwrap_or(0) >= self.settings.max_lost {
                lease.finishing();
                let detail = format!("its lease expired {} times", job.lost);
                let span = run_log::span(&job, &slot.queue);
                let hold = PutBack::Hold { reason: HoldReason::Lost, detail };
                self.put_back(&job, hold).instrument(span).await;
            } else {
                slot.buffer.push_back((job, lease));
            }
        }
        for (queue, _) in free {
            slots.entry(*queue).and_modify(|slot| slot.worth_asking = !claimer.is_dry(*queue));
        }
        for slot in slots.values_mut() {
            slot.buffer.make_contiguous().sort_by_key(|(job, _)| (job.priority_code, job.pos));
        }
        found
    }

    /// Reads the queues and their limits; returns the jobs claimed ahead of queues that are paused now.
    async fn refresh_queues(&self, slots: &mut HashMap<i16, Slots>) -> Vec<Job> {
        let queues = match self.queues().await {
            Ok(queues) => queues,
            Err(error) => {
                warn_unless_outage!(error, %error, "reading the queues failed");
                return Vec::new();
            }
        };
        let mut unstarted = Vec::new();
        for (id, name, paused) in queues {
            // A name that cannot be read is of a kind that only a newer version knows.
            let Ok(queue) = name.parse::<QueueName>() else { continue };
            if !self.runs(&queue) {
                continue;
            }
            match (self.rules)(&queue).filter(|_| !paused) {
                Some(rules) => {
                    slots.entry(id).or_insert_with(|| Slots::new(queue, rules)).rules = Some(rules);
                }
                None => unstarted.extend(slots.get_mut(&id).into_iter().flat_map(Slots::close)),
            }
        }
        unstarted.into_iter().map(|(job, _)| job).collect()
    }

    async fn queues(&self) -> Result<Vec<(i16, String, bool)>, DbError> {
        store::queues(&mut self.db.reader(View::State).await?.tx()).await
    }
}

/// Up to a quarter more or less, so that processes do not poll in step.
fn jittered(poll: Duration) -> Duration {
    poll.mul_f64(0.75 + f64::from(random_u32()) / f64::from(u32::MAX) / 2.0)
}
