//! Every periodic duty of a process: the ones below, and those of its features.
//!
//! A leader's duty is done by one process among all that share the store; the others ask again at their next turn. A duty that
//! fails is logged and done again at its next turn: none of them is urgent, and none may stop the process.

mod gauges;

use crate::delivery::pending::LeftOver;
use crate::delivery::{self, By, Core, Duty, Feature};
use crate::ids::{Timestamp, VolumeName};
use crate::in_tx;
use crate::infra::db::{DbError, Lane, View};
use crate::infra::telemetry::condition::Condition;
use crate::job::store::HeldCount;
use crate::job::{self, Attention, HoldReason, Leader, Urgency};
use crate::log;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Rows that one round of a duty touches at most, so that none holds a lock for long.
const ROUND: i32 = 5_000;
/// As `ROUND`, for a duty that takes several statements for each.
const ACTS: i32 = 500;
/// A leader that says nothing for so long is replaced.
const TERM: Duration = Duration::from_secs(15);
/// A process that says nothing for so long is gone, its row too.
const WORKER_SILENCE: Duration = Duration::from_secs(7 * 86_400);
/// Scratch files younger than this may belong to work in progress.
const SCRATCH_AGE: Duration = Duration::from_secs(3600);
/// An upload to a bucket that began longer ago is nobody's: each is ended or aborted by the call that began it.
const UPLOAD_AGE: Duration = Duration::from_secs(86_400);
/// Pause between two looks for such uploads.
const UPLOADS_EVERY: Duration = Duration::from_secs(3600);
const TEN_SECONDS: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_secs(60);

/// Does the duties of a process.
#[derive(Clone)]
pub struct Keeper {
    core: Arc<Core>,
    duties: Vec<Duty>,
}

/// The table.
fn duties(core: &Arc<Core>) -> Vec<Duty> {
    let attention = (Arc::clone(core), Arc::<Mutex<[Attention; 2]>>::default());
    let pending = (Arc::clone(core), Arc::<LeftOver>::default());
    vec![
        Duty::new("promote", By::Leader, |config| config.keeper.promote_every.get(), core, promote),
        Duty::new("expire", By::Leader, |config| config.keeper.expire_every.get(), core, expire),
        Duty::new("days", By::Leader, |config| config.keeper.partition_every.get(), core, days),
        Duty::new("attention", By::Leader, |_| TEN_SECONDS, &attention, tell_held),
        Duty::new("held", By::Leader, |config| config.keeper.spool_every.get(), core, note_held),
        Duty::new(
            "rejections",
            By::Leader,
            |config| config.keeper.partition_every.get(),
            core,
            end_rejections,
        ),
        Duty::new("gauges", By::Each, |_| TEN_SECONDS, core, show_gauges),
        Duty::new("sizes", By::Each, |_| MINUTE, core, show_sizes),
        Duty::new("presence", By::Each, |_| 5 * MINUTE, core, show_presence),
        Duty::new("key_use", By::Each, |_| MINUTE, core, write_key_use),
        Duty::new("metrics", By::Each, |_| MINUTE, core, fold_metrics),
        Duty::new("pending", By::Each, |config| config.keeper.pending_every.get(), &pending, decide_pending),
        Duty::new("tmp", By::Each, |config| config.keeper.tmp_every.get(), core, clear_tmp),
        Duty::new("uploads", By::Leader, |_| UPLOADS_EVERY, core, abort_uploads),
    ]
}

impl Keeper {
    /// The duties of `core` and `features`.
    #[must_use]
    pub fn new(core: &Arc<Core>, features: &[Feature]) -> Self {
        let mut all = duties(core);
        all.extend(features.iter().flat_map(|feature| feature.duties.clone()));
        Self { core: Arc::clone(core), duties: all }
    }

    /// Does every duty at its interval until `stop`. `leads`: whether this process may lead at all.
    pub async fn run(self, leads: bool, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        for duty in self.duties.into_iter().filter(|duty| leads || duty.by == By::Each) {
            tasks.spawn(keep(Arc::clone(&self.core), duty, stop.clone()));
        }
        tasks.close();
        tasks.wait().await;
    }
}

async fn keep(core: Arc<Core>, duty: Duty, stop: CancellationToken) {
    let leader = Leader::new(core.db.clone(), core.boot, TERM);
    let failing = Condition::of(duty.name.into(), "a periodic duty fails", "a periodic duty is done again");
    loop {
        let turn = async {
            if duty.by == By::Leader && !leader.leads(duty.name).await? {
                return Ok(());
            }
            (duty.work)().await
        };
        match turn.await {
            Ok(()) => failing.ends(),
            // That the store is away is said once for all that use it.
            Err(error) if error.is_outage() => {
                tracing::debug!(duty = duty.name, %error, "a periodic duty failed")
            }
            Err(error) => failing.holds(&error),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep((duty.every)(&core.live.config())) => {}
        }
    }
}

async fn promote(core: Arc<Core>) -> Result<(), DbError> {
    if in_tx!(core.db, Lane::State, tx => job::store::promote(tx, ROUND)).await? > 0 {
        core.wake.wake();
    }
    Ok(())
}

async fn expire(core: Arc<Core>) -> Result<(), DbError> {
    in_tx!(core.db, Lane::State, tx => delivery::store::expire_keys(tx, i64::from(ROUND))).await.map(|_| ())
}

/// Makes the daily partitions ahead, and removes what is past its retention.
async fn days(core: Arc<Core>) -> Result<(), DbError> {
    in_tx!(core.db, Lane::State, tx => job::store::make_days(tx)).await?;
    let config = core.live.config();
    let unrelayed = match config.kafka.is_used() {
        true => Some(unrelayed(&core, &config.log).await?),
        false => None,
    };
    // Round after round, so that what arrives between two turns of this duty cannot outgrow them.
    while prune(&core, unrelayed).await? {}
    let before = Timestamp::now().before(WORKER_SILENCE);
    in_tx!(core.db, Lane::State, tx => job::store::prune_workers(tx, before)).await?;
    core.db.give_back_space().await
}

/// One round of removing what is past its retention; whether there may be more of it.
async fn prune(core: &Core, unrelayed: Option<log::Unrelayed>) -> Result<bool, DbError> {
    let config = core.live.config();
    let history = config.history.retention.get();
    let entries = log::Retention { keep: config.log.retention.get(), unrelayed };
    let round = core.db.write(Lane::State, move |mut tx| {
        Box::pin(async move {
            tx.take_time().await?;
            let jobs = job::store::prune(&mut tx, history, ROUND).await?;
            let notes = job::store::prune_notes(&mut tx, Timestamp::now().before(history), ROUND).await?;
            let entries = log::prune(&mut tx, entries, ROUND.unsigned_abs()).await?;
            Ok(jobs.max(notes).max(entries))
        })
    });
    Ok(round.await? >= u64::from(ROUND.unsigned_abs()))
}

/// How long entries are kept for the relay.
async fn unrelayed(core: &Core, limits: &crate::config::Log) -> Result<log::Unrelayed, DbError> {
    let mut reader = core.db.reader(View::State).await?;
    let (keep, most) = (limits.retention.get(), limits.unrelayed_bytes.bytes());
    let held_back = log::held_back(&mut reader.tx(), keep, most).await?;
    Ok(log::Unrelayed { keep: limits.unrelayed_retention.get(), excess: held_back.excess })
}

/// Logs held jobs, so that operators who read the log know of them. Rejections are counted apart and never urgent: they have
/// an end.
async fn tell_held((core, attention): (Arc<Core>, Arc<Mutex<[Attention; 2]>>)) -> Result<(), DbError> {
    let counts = job::store::held_counts(&mut core.db.reader(View::State).await?.tx()).await?;
    let (rejections, others): (Vec<_>, Vec<_>) = counts.iter().partition(|count| is_rejection(count));
    let mut attention = attention.lock().unwrap_or_else(PoisonError::into_inner);
    let (jobs, oldest) = waiting(&others);
    if let Some(urgency) = attention[0].due(jobs, oldest) {
        urgency.log(jobs, oldest, "jobs wait for an operator: headworks held list");
    }
    let (jobs, oldest) = waiting(&rejections);
    if attention[1].due(jobs, oldest).is_some() {
        let what = "mails of which nothing could be read are held, and discarded after held.keep";
        Urgency::Notice.log(jobs, oldest, what);
    }
    Ok(())
}

fn is_rejection(count: &HeldCount) -> bool {
    let reason = count.reason.as_deref().and_then(|word| word.parse::<HoldReason>().ok());
    reason.is_some_and(HoldReason::is_rejection)
}

/// How many jobs wait, and the oldest for how long.
fn waiting(counts: &[&HeldCount]) -> (i64, Duration) {
    let jobs = counts.iter().map(|count| count.jobs).sum();
    (jobs, gauges::age(counts.iter().filter_map(|count| count.oldest_at).min()))
}

/// Discards rejections that were held for long enough.
async fn end_rejections(core: Arc<Core>) -> Result<(), DbError> {
    loop {
        let keep = core.live.config().held.keep;
        let (before, why) = (Timestamp::now().before(keep.get()), format!("held for {keep}"));
        let round = in_tx!(core.db, Lane::State, tx => delivery::discard_rejections(tx, before, &why, ACTS));
        match round.await? {
            0 => return Ok(()),
            jobs => tracing::info!(jobs, "held mails of which nothing could be read were discarded"),
        }
    }
}

/// Notes on deliveries why they wait, where their job was held by a crash or after its last attempt.
async fn note_held(core: Arc<Core>) -> Result<(), DbError> {
    in_tx!(core.db, Lane::State, tx => delivery::store::note_held(tx)).await.map(|_| ())
}

/// Shows what is in the store: the same numbers in every process, so that no scrape depends on who leads.
async fn show_gauges(core: Arc<Core>) -> Result<(), DbError> {
    let mut state = core.db.reader(View::State).await?;
    let depths = job::store::queue_depths(&mut state.tx(), None, i64::MAX).await?;
    let held = job::store::held_counts(&mut state.tx()).await?;
    gauges::show_queues(&depths);
    gauges::show_held(&held);
    Ok(())
}

/// Less often than the other gauges: Postgres looks at every file of its database for it.
async fn show_sizes(core: Arc<Core>) -> Result<(), DbError> {
    gauges::show_sizes(&core.db.sizes().await?);
    Ok(())
}

async fn show_presence(core: Arc<Core>) -> Result<(), DbError> {
    let boot = core.boot;
    in_tx!(core.db, Lane::Relaxed, tx => job::store::see_worker(tx, boot)).await
}

async fn write_key_use(core: Arc<Core>) -> Result<(), DbError> {
    core.keys.write_last_used().await
}

async fn fold_metrics(core: Arc<Core>) -> Result<(), DbError> {
    core.metrics.upkeep();
    Ok(())
}

/// Decides trees that a crash or an undecided commit left without a row.
async fn decide_pending((core, left_over): (Arc<Core>, Arc<LeftOver>)) -> Result<(), DbError> {
    left_over.decide(&core.pending, &core.db, &core.volumes).await
}

async fn clear_tmp(core: Arc<Core>) -> Result<(), DbError> {
    let cleared = tokio::task::spawn_blocking(move || clear_scratch(&core.tmp)).await;
    if let Ok(Err(error)) = cleared {
        tracing::warn!(%error, "the scratch directory could not be cleared");
    }
    Ok(())
}

/// Aborts uploads to buckets that a crash left: their parts are kept and paid for, and seen by nobody.
async fn abort_uploads(core: Arc<Core>) -> Result<(), DbError> {
    for volume in VolumeName::ALL.iter().map(|name| core.volume(*name)) {
        let name = volume.name().to_owned();
        match tokio::task::spawn_blocking(move || volume.sweep(UPLOAD_AGE)).await {
            Ok(Ok(0)) | Err(_) => {}
            Ok(Ok(swept)) => tracing::info!(volume = name, swept, "uploads that nobody ended were aborted"),
            Ok(Err(error)) => {
                tracing::warn!(volume = name, %error, why = %error.source, "uploads that nobody ended cannot be aborted");
            }
        }
    }
    Ok(())
}

/// Removes old files of the scratch directory: work in progress uses nameless ones.
fn clear_scratch(tmp: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(tmp)? {
        let entry = entry?;
        let found = entry.metadata()?;
        let age = SystemTime::now().duration_since(found.modified()?).unwrap_or_default();
        if found.is_file() && age > SCRATCH_AGE {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
