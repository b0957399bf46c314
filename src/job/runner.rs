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
use super::lease::{LeaseHandle, Leases, Stop};
use super::outcome::{Became, Finished, FinishedEnd, HoldReason, Outcome};
use super::queue::{QueueName, QueueRules};
use super::run::Run;
use super::run_log;
use super::store::{self, Job, PutBack};
use super::wake::Wake;
use crate::infra::db::{Db, DbError, DbErrorKind, Lane, View};
use futures_util::FutureExt;
use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// Does a job. The future may be dropped at any await: at its deadline, or when the lease is lost.
pub type Handler<W> = Arc<dyn Fn(Run) -> Pin<Box<dyn Future<Output = Outcome<W>> + Send>> + Send + Sync>;

/// Commits the end of a job together with what it wants written; nothing is written where the lease was lost.
pub type Finish<W> =
    Arc<dyn Fn(Finished<W>) -> Pin<Box<dyn Future<Output = Result<Became, DbError>> + Send>> + Send + Sync>;

/// Limits of a queue by its name; `None` for queues that are not this process's, or paused by configuration.
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
    pub perform: Handler<W>,
    /// Commits its end.
    pub finish: Finish<W>,
}

/// One queue as the dispatcher sees it.
struct Slots {
    /// Module of its jobs, where they need one.
    module: Option<Arc<str>>,
    /// Its limits; `None` while it is paused: what runs goes on, nothing is claimed or started.
    rules: Option<QueueRules>,
    running: Arc<AtomicUsize>,
    /// Claimed, under their lease, and not yet started.
    buffer: VecDeque<(Job, LeaseHandle)>,
    /// There may be something to claim. A queue that gave all it had is asked again after a wake-up or at the next poll, not
    /// for every slot that falls free.
    worth_asking: bool,
}

impl Slots {
    fn new(module: Option<Arc<str>>, rules: QueueRules) -> Self {
        Self {
            module,
            rules: Some(rules),
            running: Arc::default(),
            buffer: VecDeque::new(),
            worth_asking: true,
        }
    }

    /// Pauses it; what was claimed ahead is to be given back.
    fn close(&mut self) -> VecDeque<(Job, LeaseHandle)> {
        self.rules = None;
        self.worth_asking = true;
        std::mem::take(&mut self.buffer)
    }
}

/// Where started jobs are counted.
#[derive(Default)]
struct Started {
    tasks: TaskTracker,
    finishing: Arc<AtomicUsize>,
    /// A slot is free, or a commit is through.
    freed: Arc<Notify>,
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
            tracing::error!(%error, "the heartbeat ended badly");
        }
    }

    /// The loop. Returns jobs that were claimed and not started.
    async fn dispatch(self: Arc<Self>, started: &Started, stop: &CancellationToken) -> Vec<Job> {
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
            // A sweep is for all queues: what only it can see wakes nobody.
            if polls || claimer.is_sweep_due() {
                slots.values_mut().for_each(|slot| slot.worth_asking = true);
            }
            let mut found = 0;
            let free = free_slots(&slots);
            if !free.is_empty() && started.finishing.load(Ordering::Relaxed) <= self.settings.max_finishing {
                // With SQLite, no lease is taken over while an end is being committed to its two files.
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

    /// Claims into the buffers; returns how many jobs there were.
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
            let lease = self.leases.hold(job.id, job.lease_token);
            let slot = slots.get_mut(&job.queue);
            if u16::try_from(job.lost).unwrap_or(0) >= self.settings.max_lost {
                lease.finishing();
                let detail = format!("its lease expired {} times", job.lost);
                let span = run_log::span(&job, slot.and_then(|slot| slot.module.as_deref()));
                let hold = PutBack::Hold { reason: HoldReason::Lost, detail };
                self.put_back(&job, hold).instrument(span).await;
            } else if let Some(slot) = slot {
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

    /// Starts what the buffers hold, as far as there are slots.
    fn start(self: &Arc<Self>, slots: &mut HashMap<i16, Slots>, started: &Started) {
        for slot in slots.values_mut() {
            let Some(rules) = slot.rules else { continue };
            while slot.running.load(Ordering::Relaxed) < rules.concurrency as usize
                && let Some((job, lease)) = slot.buffer.pop_front()
            {
                let slot_ticket = Ticket::take(&slot.running, &started.freed);
                let finishing = Arc::clone(&started.finishing);
                let freed = Arc::clone(&started.freed);
                let (runner, module) = (Arc::clone(self), slot.module.clone());
                let span = run_log::span(&job, module.as_deref());
                let work = async move {
                    let run =
                        Run { job: job.clone(), lease: lease.clone(), soft_timeout: rules.soft_timeout };
                    let begun = Instant::now();
                    let outcome = runner.perform(run, rules).await;
                    run_log::measured(&job, module.as_deref(), &outcome, begun.elapsed());
                    let finish_ticket = Ticket::take(&finishing, &freed);
                    drop(slot_ticket);
                    lease.finishing();
                    runner.settle(job, rules, outcome).await;
                    drop(finish_ticket);
                };
                started.tasks.spawn(work.instrument(span));
            }
        }
    }

    async fn queues(&self) -> Result<Vec<(i16, String, bool)>, DbError> {
        store::queues(&mut self.db.reader(View::State).await?.tx()).await
    }

    /// Reads which queues there are, and their limits; returns what was claimed ahead of those that are paused now.
    async fn refresh_queues(&self, slots: &mut HashMap<i16, Slots>) -> Vec<Job> {
        let queues = match self.queues().await {
            Ok(queues) => queues,
            Err(error) => {
                tracing::warn!(%error, "reading the queues failed");
                return Vec::new();
            }
        };
        let mut unstarted = Vec::new();
        for (id, name, paused) in queues {
            let Ok(name) = name.parse::<QueueName>() else { continue };
            match (self.rules)(&name).filter(|_| !paused) {
                Some(rules) => {
                    let fresh = || Slots::new(name.module.map(Arc::from), rules);
                    slots.entry(id).or_insert_with(fresh).rules = Some(rules);
                }
                None => unstarted.extend(slots.get_mut(&id).into_iter().flat_map(Slots::close)),
            }
        }
        unstarted.into_iter().map(|(job, _)| job).collect()
    }

    /// Runs the handler until it returns, nobody waits for it any more, or it is given up at its deadline.
    async fn perform(&self, run: Run, rules: QueueRules) -> Outcome<W> {
        if run.job.cancel_requested {
            return Outcome::Cancelled;
        }
        let lease = run.lease.clone();
        tokio::select! {
            biased;
            why = lease.stopped() => match why {
                Stop::Cancelled => Outcome::Cancelled,
                Stop::Lost | Stop::Shutdown => Outcome::Released,
            },
            // A handler that panics has failed, like one that says so; its lease must not stay behind.
            outcome = AssertUnwindSafe((self.perform)(run)).catch_unwind() => {
                outcome.unwrap_or_else(|_| Outcome::Retry { error: "its handler panicked".into() })
            }
            () = lease.at_work_for(rules.hard_timeout) => {
                Outcome::Retry { error: format!("gave up after hard_timeout of {:?}", rules.hard_timeout) }
            }
        }
    }

    /// Turns an outcome into a commit.
    async fn settle(&self, job: Job, rules: QueueRules, outcome: Outcome<W>) {
        match outcome {
            Outcome::Done(work) => self.finish(job, rules, Some(work), FinishedEnd::Completed).await,
            Outcome::Failed { error, work } => {
                self.finish(job, rules, work, FinishedEnd::Failed(error)).await;
            }
            Outcome::Hold { reason, detail, work } => {
                self.finish(job, rules, work, FinishedEnd::Held(reason, detail)).await;
            }
            Outcome::Cancelled => self.finish(job, rules, None, FinishedEnd::Cancelled).await,
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

    /// Another attempt, or the end where there were enough: out of attempts a mail is held, everything else has failed.
    async fn retry(&self, job: Job, rules: QueueRules, error: String) {
        let attempt = u16::try_from(job.attempt).unwrap_or(0) + 1;
        if attempt < u16::try_from(job.max_attempts).unwrap_or(1) {
            let wait = rules.backoff.wait(attempt, random_u32());
            return self.put_back(&job, PutBack::Retry { wait, error }).await;
        }
        let end = match job.kind() {
            Some(Kind::Sort) => FinishedEnd::Held(HoldReason::OutOfAttempts, error),
            _ => FinishedEnd::Failed(error),
        };
        if let Err(error) = self.commit(&job, None, end).await {
            self.store_failed(&job, &error).await;
        }
    }

    /// Ends a job. Where the store is away the job is run again later and nobody is blamed; where it refuses what the
    /// run wants written, that run has failed.
    async fn finish(&self, job: Job, rules: QueueRules, work: Option<W>, end: FinishedEnd) {
        match self.commit(&job, work, end).await {
            Ok(()) => {}
            Err(error) if error.is_temporary() => self.store_failed(&job, &error).await,
            Err(error) => {
                tracing::warn!(%error, "what a run wanted written was refused");
                self.retry(job, rules, format!("its results could not be stored: {error}")).await;
            }
        }
    }

    async fn commit(&self, job: &Job, work: Option<W>, end: FinishedEnd) -> Result<(), DbError> {
        match (self.finish)(Finished { job: job.clone(), work, end: end.clone() }).await? {
            Became::Lost => tracing::warn!("the lease was lost before the job was finished"),
            became => run_log::ended(job, &end, became),
        }
        self.leases.drop(job.id, job.lease_token);
        Ok(())
    }

    async fn store_failed(&self, job: &Job, error: &DbError) {
        tracing::warn!(%error, "finishing failed; the job will run again");
        let reason = format!("the store failed: {error}");
        self.put_back(job, PutBack::Snooze { wait: self.settings.poll_max, reason }).await;
    }

    async fn put_back(&self, job: &Job, how: PutBack) {
        self.put_all_back(std::slice::from_ref(job), how).await;
    }

    /// Puts jobs back in one commit, each behind those that are available; while the store is away again and again for up to
    /// one lease: after that they expire by themselves.
    async fn put_all_back(&self, jobs: &[Job], how: PutBack) {
        let deadline = Instant::now() + self.settings.lease;
        let leases: Arc<[_]> = jobs.iter().map(|job| (job.id, job.lease_token)).collect();
        loop {
            let (leases, change) = (Arc::clone(&leases), how.clone());
            let putting = self.db.write(Lane::State, move |mut tx| {
                Box::pin(async move {
                    let mut became = Vec::with_capacity(leases.len());
                    for &(id, token) in leases.iter() {
                        became.push(store::put_back(&mut tx, id, token, &change).await?);
                    }
                    Ok(became)
                })
            });
            match putting.await {
                Err(error) if error.kind() != DbErrorKind::Content && Instant::now() < deadline => {
                    tracing::debug!(%error, "putting back failed; trying again");
                    tokio::time::sleep(self.settings.poll_min).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "putting back failed; the lease will expire");
                    break;
                }
                Ok(became) => {
                    jobs.iter().zip(became).for_each(|(job, became)| run_log::put_back(job, &how, became));
                    break;
                }
            }
        }
        leases.iter().for_each(|&(id, token)| self.leases.drop(id, token));
    }
}

/// One of a count, given back when dropped.
struct Ticket {
    count: Arc<AtomicUsize>,
    freed: Arc<Notify>,
}

impl Ticket {
    fn take(count: &Arc<AtomicUsize>, freed: &Arc<Notify>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self { count: Arc::clone(count), freed: Arc::clone(freed) }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.freed.notify_one();
    }
}

/// Queues to claim for: those that may have jobs and whose buffer has run low, each up to its concurrency and what may be
/// claimed ahead, so that claims come in batches and a freed slot finds its next job here.
fn free_slots(slots: &HashMap<i16, Slots>) -> Vec<(i16, u32)> {
    let mut free: Vec<_> = slots
        .iter()
        .filter(|(_, slot)| slot.worth_asking)
        .filter_map(|(&queue, slot)| {
            let rules = slot.rules?;
            let limit = rules.concurrency as usize;
            let running = slot.running.load(Ordering::Relaxed);
            let ahead = rules.prefetch as usize;
            let low = slot.buffer.len() * 2 <= ahead;
            let want = (limit + ahead).saturating_sub(running + slot.buffer.len());
            (low && want > 0 && limit > 0).then(|| (queue, u32::try_from(want).unwrap_or(u32::MAX)))
        })
        .collect();
    free.sort_unstable();
    free
}

/// Up to a quarter more or less, so that processes do not poll in step.
fn jittered(poll: Duration) -> Duration {
    poll.mul_f64(0.75 + f64::from(random_u32()) / f64::from(u32::MAX) / 2.0)
}

/// Any number.
fn random_u32() -> u32 {
    uuid::Uuid::new_v4().as_fields().0
}
