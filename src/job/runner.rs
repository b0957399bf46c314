//! Runs jobs: claim → perform under a deadline → commit what came of it.
//!
//! ```text
//!   wake, poll, freed slot ──▶ claim ──▶ buffer ──▶ run ──▶ settle ──▶ finish (batched commit) or put back
//! ```
//!
//! What a job does (`perform`) and how its end is committed together with its rows (`finish`) live on higher floors and
//! are passed in. A slot is free again when the handler has returned; claims stop while commits pile up.

use super::claim::Claimer;
use super::kind::Kind;
use super::lease::{Held, Leases, Stop};
use super::outcome::{Finished, FinishedEnd, HoldReason, Outcome};
use super::queue::{QueueName, QueueRules};
use super::store::{self, Job, PutBack};
use super::wake::Wake;
use crate::infra::db::{Db, DbError, DbErrorKind, Lane};
use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What a handler gets: the job, and the lease that tells it to stop.
#[derive(Debug)]
pub struct Run {
    /// The claimed job.
    pub job: Job,
    /// Its lease.
    pub held: Held,
}

/// Does a job. The future may be dropped at any await: at its deadline, or when the lease is lost.
pub type Perform<W> = Arc<dyn Fn(Run) -> Pin<Box<dyn Future<Output = Outcome<W>> + Send>> + Send + Sync>;

/// Commits the end of a job together with what it wants written. `false`: the lease was lost and nothing was written.
pub type Finish<W> =
    Arc<dyn Fn(Finished<W>) -> Pin<Box<dyn Future<Output = Result<bool, DbError>> + Send>> + Send + Sync>;

/// Limits of a queue by its name; `None` for queues that are not this process's.
pub type RulesOf = Arc<dyn Fn(&QueueName) -> Option<QueueRules> + Send + Sync>;

/// How a process claims and runs.
#[derive(Debug, Clone, Copy)]
pub struct RunnerSettings {
    /// Length of a lease; the heartbeat comes every third of it.
    pub lease: Duration,
    /// How far floors trail.
    pub claim_lag: Duration,
    /// How often everything below the floors is looked at.
    pub sweep: Duration,
    /// Shortest poll, after work was found.
    pub poll_min: Duration,
    /// Longest poll, when there is none.
    pub poll_max: Duration,
    /// Crashes that make a job poisoned.
    pub max_crashes: u16,
    /// Lost leases that make a job held.
    pub max_lost: u16,
    /// Finishing jobs above which nothing is claimed.
    pub max_finishing: usize,
    /// How long running jobs may go on after a stop.
    pub grace: Duration,
}

/// The parts of a runner; `W` is what a finishing commit writes.
pub struct Runner<W> {
    /// The store.
    pub db: Db,
    /// Worker row of this process.
    pub worker: i32,
    /// Limits.
    pub settings: RunnerSettings,
    /// Limits per queue.
    pub rules: RulesOf,
    /// Wake-ups.
    pub wake: Wake,
    /// Leases held, shared with whoever cancels.
    pub leases: Leases,
    /// Does a job.
    pub perform: Perform<W>,
    /// Commits its end.
    pub finish: Finish<W>,
}

/// One queue as the dispatcher sees it.
struct Slots {
    rules: QueueRules,
    running: Arc<AtomicUsize>,
    buffer: VecDeque<Job>,
}

impl<W: Send + 'static> Runner<W> {
    /// Claims and runs until `stop`; then lets running jobs finish, and gives back what does not.
    pub async fn run(self, stop: CancellationToken) {
        let runner = Arc::new(self);
        let heartbeat_stop = CancellationToken::new();
        let heartbeat = {
            let (runner, stop) = (Arc::clone(&runner), heartbeat_stop.clone());
            tokio::spawn(async move {
                runner.leases.renew_until(&runner.db, runner.settings.lease, &stop).await;
            })
        };
        let tasks = TaskTracker::new();
        let buffered = Arc::clone(&runner).dispatch(&tasks, &stop).await;
        for job in buffered {
            runner.put_back(&job, PutBack::Release).await;
        }
        tasks.close();
        if tokio::time::timeout(runner.settings.grace, tasks.wait()).await.is_err() {
            runner.leases.stop_all(Stop::Shutdown);
            tasks.wait().await;
        }
        heartbeat_stop.cancel();
        if let Err(error) = heartbeat.await {
            tracing::error!(%error, "the heartbeat ended badly");
        }
    }

    /// The loop. Returns jobs that were claimed and not started.
    async fn dispatch(self: Arc<Self>, tasks: &TaskTracker, stop: &CancellationToken) -> Vec<Job> {
        let RunnerSettings { lease, claim_lag, sweep, poll_min, poll_max, .. } = self.settings;
        let mut claimer = Claimer::new(self.db.clone(), self.worker, lease, claim_lag, sweep);
        let mut slots: HashMap<i16, Slots> = HashMap::new();
        let finishing = Arc::new(AtomicUsize::new(0));
        let freed = Arc::new(Notify::new());
        let mut looked: Option<Instant> = None;
        let mut poll = poll_min;
        while !stop.is_cancelled() {
            if looked.is_none_or(|at| at.elapsed() >= poll_min) {
                self.refresh_queues(&mut slots).await;
                looked = Some(Instant::now());
            }
            let mut found = 0;
            let free = free_slots(&slots);
            if !free.is_empty() && finishing.load(Ordering::Relaxed) <= self.settings.max_finishing {
                // With SQLite, no lease is taken over while an end is being committed to its two files.
                let take_over = self.db.is_pg() || finishing.load(Ordering::Relaxed) == 0;
                found = self.fill(&mut claimer, &mut slots, &free, take_over).await;
            }
            for slot in slots.values_mut() {
                while slot.running.load(Ordering::Relaxed) < slot.rules.concurrency as usize
                    && let Some(job) = slot.buffer.pop_front()
                {
                    slot.running.fetch_add(1, Ordering::Relaxed);
                    let ticket = Ticket { running: Arc::clone(&slot.running), freed: Arc::clone(&freed) };
                    let finishing = Arc::clone(&finishing);
                    tasks.spawn(Arc::clone(&self).one(job, slot.rules, ticket, finishing));
                }
            }
            poll = if found > 0 { poll_min } else { (poll * 2).min(poll_max) };
            if found > 0 && !free_slots(&slots).is_empty() {
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wake.woken() => { looked = None; poll = poll_min; }
                () = freed.notified() => {}
                () = tokio::time::sleep(jittered(poll)) => {}
            }
        }
        slots.into_values().flat_map(|slot| slot.buffer).collect()
    }

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
                tracing::warn!(%error, "claiming failed");
                return 0;
            }
        };
        let found = jobs.len();
        for job in jobs {
            self.leases.hold(job.id, job.lease_token);
            if u16::try_from(job.lost).unwrap_or(0) >= self.settings.max_lost {
                let detail = format!("its lease expired {} times", job.lost);
                self.put_back(&job, PutBack::Hold { reason: HoldReason::Lost, detail }).await;
            } else if let Some(slot) = slots.get_mut(&job.queue) {
                slot.buffer.push_back(job);
            }
        }
        for slot in slots.values_mut() {
            slot.buffer.make_contiguous().sort_by_key(|job| (job.priority_code, job.pos));
        }
        found
    }

    async fn refresh_queues(&self, slots: &mut HashMap<i16, Slots>) {
        let queues = self
            .db
            .write(Lane::Relaxed, |mut tx| Box::pin(async move { store::queues(&mut tx).await }))
            .await;
        let queues = match queues {
            Ok(queues) => queues,
            Err(error) => return tracing::warn!(%error, "reading the queues failed"),
        };
        for (id, name, _) in queues {
            let Ok(name) = name.parse::<QueueName>() else { continue };
            let Some(rules) = (self.rules)(&name) else { continue };
            let slot = slots.entry(id).or_insert_with(|| Slots {
                rules,
                running: Arc::default(),
                buffer: VecDeque::new(),
            });
            slot.rules = rules;
        }
    }

    /// One job from start to end.
    async fn one(self: Arc<Self>, job: Job, rules: QueueRules, ticket: Ticket, finishing: Arc<AtomicUsize>) {
        let held = self.leases.hold(job.id, job.lease_token);
        let started = Instant::now();
        let outcome = self.perform(&job, &held, rules).await;
        metrics::histogram!("headworks_job_seconds", "kind" => job.kind().map_or("unknown", Kind::word))
            .record(started.elapsed().as_secs_f64());
        drop(ticket);
        finishing.fetch_add(1, Ordering::Relaxed);
        self.settle(job, rules, outcome).await;
        finishing.fetch_sub(1, Ordering::Relaxed);
    }

    /// Runs the handler under both deadlines.
    async fn perform(&self, job: &Job, held: &Held, rules: QueueRules) -> Outcome<W> {
        let run = (self.perform)(Run { job: job.clone(), held: held.clone() });
        tokio::pin!(run);
        let soft = tokio::time::sleep(rules.soft_timeout);
        let hard = tokio::time::sleep(rules.hard_timeout);
        tokio::pin!(soft, hard);
        let mut asked = false;
        loop {
            tokio::select! {
                outcome = &mut run => return outcome,
                () = &mut soft, if !asked => { asked = true; held.stop(Stop::Deadline); }
                () = &mut hard => {
                    return Outcome::Retry { error: format!("gave up at its deadline of {:?}", rules.hard_timeout) };
                }
                why = held.stopped(), if !asked => {
                    asked = true;
                    match why {
                        Stop::Lost => return Outcome::Released,
                        Stop::Cancelled => return Outcome::Cancelled,
                        Stop::Shutdown => return Outcome::Released,
                        Stop::Deadline => {}
                    }
                }
            }
        }
    }

    /// Turns an outcome into a commit.
    async fn settle(&self, job: Job, rules: QueueRules, outcome: Outcome<W>) {
        match outcome {
            Outcome::Done(work) => self.finish(job, Some(work), FinishedEnd::Completed).await,
            Outcome::Failed { error, work } => self.finish(job, work, FinishedEnd::Failed(error)).await,
            Outcome::Hold { reason, detail, work } => {
                self.finish(job, work, FinishedEnd::Held(reason, detail)).await;
            }
            Outcome::Cancelled => self.finish(job, None, FinishedEnd::Cancelled).await,
            Outcome::Retry { error } => self.retry(job, rules, error).await,
            Outcome::Snooze { after, reason } => {
                self.put_back(&job, PutBack::Snooze { wait: after, reason }).await;
            }
            Outcome::Crashed { how } => {
                self.put_back(&job, PutBack::Crash { how, limit: self.settings.max_crashes }).await;
                self.wake.wake();
            }
            Outcome::Released => self.put_back(&job, PutBack::Release).await,
        }
    }

    async fn retry(&self, job: Job, rules: QueueRules, error: String) {
        let attempt = u16::try_from(job.attempt).unwrap_or(0) + 1;
        if attempt < u16::try_from(job.max_attempts).unwrap_or(1) {
            let luck =
                u32::from_le_bytes(uuid::Uuid::new_v4().as_bytes()[..4].try_into().unwrap_or_default());
            let wait = rules.backoff.wait(attempt, luck);
            return self.put_back(&job, PutBack::Retry { wait, error }).await;
        }
        match job.kind() {
            Some(Kind::Sort) => {
                let held = FinishedEnd::Held(HoldReason::OutOfAttempts, error);
                self.finish(job, None, held).await;
            }
            _ => self.finish(job, None, FinishedEnd::Failed(error)).await,
        }
    }

    /// Commits an end, again and again while the store is away: the token keeps that harmless.
    async fn finish(&self, job: Job, work: Option<W>, end: FinishedEnd) {
        self.leases.drop(job.id);
        let (id, put_back) = (job.id, job.clone());
        match (self.finish)(Finished { job, work, end }).await {
            Ok(true) => {}
            Ok(false) => tracing::warn!(job_id = %id, "the lease was lost before the job was finished"),
            Err(error) => {
                tracing::warn!(job_id = %id, %error, "finishing failed");
                let error = format!("its results could not be stored: {error}");
                let wait = self.settings.poll_max;
                self.put_back(&put_back, PutBack::Retry { wait, error }).await;
            }
        }
    }

    /// Puts a job back, while the store is away again and again for up to one lease: after that it expires by itself.
    async fn put_back(&self, job: &Job, how: PutBack) {
        let deadline = Instant::now() + self.settings.lease;
        loop {
            let (id, token, how) = (job.id, job.lease_token, how.clone());
            let result = self
                .db
                .write(Lane::State, move |mut tx| {
                    Box::pin(async move { store::put_back(&mut tx, id, token, &how).await })
                })
                .await;
            match result {
                Err(error) if error.kind() != DbErrorKind::Content && Instant::now() < deadline => {
                    tracing::debug!(job_id = %id, %error, "putting back failed; trying again");
                    tokio::time::sleep(self.settings.poll_min).await;
                }
                Err(error) => {
                    tracing::warn!(job_id = %id, %error, "putting back failed; the lease will expire");
                    break;
                }
                Ok(_) => break,
            }
        }
        self.leases.drop(job.id);
    }
}

/// A running job's slot, free again when dropped.
struct Ticket {
    running: Arc<AtomicUsize>,
    freed: Arc<Notify>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
        self.freed.notify_one();
    }
}

/// Queues to claim for: those whose buffer has run low, each up to twice its concurrency in all, so that claims come in
/// batches and a freed slot finds its next job here.
fn free_slots(slots: &HashMap<i16, Slots>) -> Vec<(i16, u32)> {
    let mut free: Vec<_> = slots
        .iter()
        .filter_map(|(&queue, slot)| {
            let limit = slot.rules.concurrency as usize;
            let running = slot.running.load(Ordering::Relaxed);
            let low = slot.buffer.len() * 2 <= limit;
            let want = (limit * 2).saturating_sub(running + slot.buffer.len());
            (low && want > 0 && limit > 0).then(|| (queue, u32::try_from(want).unwrap_or(u32::MAX)))
        })
        .collect();
    free.sort_unstable();
    free
}

/// Up to a quarter more or less, so that processes do not poll in step.
fn jittered(poll: Duration) -> Duration {
    let luck = uuid::Uuid::new_v4().as_bytes()[0];
    poll.mul_f64(0.75 + f64::from(luck) / 255.0 / 2.0)
}
