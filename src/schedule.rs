//! Every periodic duty in one table.
//!
//! A duty of the leader is done by one process among all that share the store; the others ask again at their next turn. A
//! duty that fails is logged and done again at its next turn: none of them is urgent, and none may stop the process.

mod gauges;

use crate::config::Live;
use crate::delivery;
use crate::ids::{BootId, Timestamp};
use crate::infra::db::{Db, DbError, Lane, View};
use crate::infra::telemetry::metrics::Metrics;
use crate::job::{self, Attention, Leader, Urgency, Wake};
use crate::log;
use crate::mail::{Leftovers, Sorter};
use crate::web::key::Keys;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Rows that one round of a duty touches at most, so that none holds a lock for long.
const ROUND: i32 = 5_000;
/// A leader that says nothing for so long is replaced.
const TERM: Duration = Duration::from_secs(15);
/// A process that says nothing for so long is gone, its row too.
const WORKER_SILENCE: Duration = Duration::from_secs(7 * 86_400);
/// Scratch files younger than this may belong to work on its way.
const SCRATCH_AGE: Duration = Duration::from_secs(3600);

/// What the duties need.
#[derive(Clone)]
pub struct Keeper {
    /// The configuration in force.
    pub live: Live,
    /// The store.
    pub db: Db,
    /// This process start.
    pub boot: BootId,
    /// Wakes workers when jobs become due.
    pub wake: Wake,
    /// Keys whose last use is to be written.
    pub keys: Keys,
    /// What was measured.
    pub metrics: Metrics,
    /// What is left over in the spool of this process.
    pub leftovers: Option<Leftovers>,
    /// What keeps held mail of this process's spool.
    pub sorter: Option<Sorter>,
    /// Scratch directory of this process.
    pub tmp: PathBuf,
    /// What operators were told of held jobs.
    pub attention: Arc<Mutex<Attention>>,
}

/// Who does a duty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// Every process, for itself.
    Each,
    /// One process with role `keeper` for all.
    Leader,
}

type Done = Pin<Box<dyn Future<Output = Result<(), DbError>> + Send>>;
type Work = fn(Keeper) -> Done;

struct Duty {
    name: &'static str,
    by: By,
    every: fn(&Live) -> Duration,
    work: Work,
}

/// The table.
const DUTIES: [Duty; 13] = [
    Duty {
        name: "promote",
        by: By::Leader,
        every: |live| live.config().keeper.promote_every.get(),
        work: promote,
    },
    Duty {
        name: "expire",
        by: By::Leader,
        every: |live| live.config().keeper.expire_every.get(),
        work: expire,
    },
    Duty {
        name: "days",
        by: By::Leader,
        every: |live| live.config().keeper.partition_every.get(),
        work: days,
    },
    Duty { name: "attention", by: By::Leader, every: |_| Duration::from_secs(10), work: attention },
    Duty { name: "damaged", by: By::Each, every: |_| Duration::from_secs(10), work: damaged },
    Duty { name: "gauges", by: By::Each, every: |_| Duration::from_secs(10), work: gauges },
    Duty { name: "sizes", by: By::Each, every: |_| Duration::from_secs(60), work: sizes },
    Duty { name: "presence", by: By::Each, every: |_| Duration::from_secs(300), work: presence },
    Duty { name: "key_use", by: By::Each, every: |_| Duration::from_secs(60), work: key_use },
    Duty { name: "metrics", by: By::Each, every: |_| Duration::from_secs(60), work: fold_metrics },
    Duty { name: "spool", by: By::Each, every: |live| live.config().keeper.spool_every.get(), work: spool },
    Duty { name: "held", by: By::Each, every: |live| live.config().keeper.spool_every.get(), work: held },
    Duty { name: "tmp", by: By::Each, every: |live| live.config().keeper.tmp_every.get(), work: tmp },
];

impl Keeper {
    /// Does every duty at its interval until `stop`. `leads`: whether this process may lead at all.
    pub async fn run(self, leads: bool, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        for duty in DUTIES.iter().filter(|duty| leads || duty.by == By::Each) {
            tasks.spawn(self.clone().keep(duty, stop.clone()));
        }
        tasks.close();
        tasks.wait().await;
    }

    async fn keep(self, duty: &'static Duty, stop: CancellationToken) {
        let leader = Leader::new(self.db.clone(), self.boot, TERM);
        loop {
            let turn = async {
                if duty.by == By::Leader && !leader.leads(duty.name).await? {
                    return Ok(());
                }
                (duty.work)(self.clone()).await
            };
            if let Err(error) = turn.await {
                tracing::warn!(duty = duty.name, %error, "a periodic duty failed and is done again at its next turn");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep((duty.every)(&self.live)) => {}
            }
        }
    }
}

fn promote(keeper: Keeper) -> Done {
    Box::pin(async move {
        let work = keeper
            .db
            .write(Lane::State, |mut tx| Box::pin(async move { job::store::promote(&mut tx, ROUND).await }));
        if work.await? > 0 {
            keeper.wake.wake();
        }
        Ok(())
    })
}

fn expire(keeper: Keeper) -> Done {
    Box::pin(async move {
        let work = keeper.db.write(Lane::State, |mut tx| {
            Box::pin(async move { delivery::store::expire_keys(&mut tx, i64::from(ROUND)).await })
        });
        work.await.map(|_| ())
    })
}

fn days(keeper: Keeper) -> Done {
    Box::pin(async move {
        let making = keeper
            .db
            .write(Lane::State, |mut tx| Box::pin(async move { job::store::make_days(&mut tx).await }));
        making.await?;
        // Round after round, so that what comes in between two turns of this duty cannot outgrow them.
        while prune(&keeper).await? {}
        let gone = keeper.db.write(Lane::State, |mut tx| {
            let before = Timestamp::now().before(WORKER_SILENCE);
            Box::pin(async move { job::store::prune_workers(&mut tx, before).await })
        });
        gone.await?;
        keeper.db.give_back_space().await
    })
}

/// One round of removing what is past its retention; whether there may be more of it.
async fn prune(keeper: &Keeper) -> Result<bool, DbError> {
    let config = keeper.live.config();
    let (history, entries) = (config.history.retention.get(), config.log.retention.get());
    let round = keeper.db.write(Lane::State, move |mut tx| {
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

/// What every process shows of the store it shares: the same numbers, so that no scrape depends on who leads.
fn gauges(keeper: Keeper) -> Done {
    Box::pin(async move {
        let mut state = keeper.db.reader(View::State).await?;
        let depths = job::store::queue_depths(&mut state.tx(), None, i64::MAX).await?;
        let held = job::store::held_counts(&mut state.tx()).await?;
        drop(state);
        gauges::show_queues(&depths);
        gauges::show_held(&held);
        Ok(())
    })
}

/// Less often than the other gauges: Postgres looks at every file of its database for it.
fn sizes(keeper: Keeper) -> Done {
    Box::pin(async move {
        gauges::show_sizes(&keeper.db.sizes().await?);
        Ok(())
    })
}

fn presence(keeper: Keeper) -> Done {
    Box::pin(async move {
        let boot = keeper.boot;
        let saying = keeper.db.write(Lane::Relaxed, move |mut tx| {
            Box::pin(async move { job::store::see_worker(&mut tx, boot).await })
        });
        saying.await
    })
}

/// Nothing waits unseen: who reads the log hears of held jobs.
fn attention(keeper: Keeper) -> Done {
    Box::pin(async move {
        let counts = job::store::held_counts(&mut keeper.db.reader(View::State).await?.tx()).await?;
        let jobs = counts.iter().map(|count| count.jobs).sum();
        let oldest = age(counts.iter().filter_map(|count| count.oldest_at).min());
        let due = keeper.attention.lock().unwrap_or_else(PoisonError::into_inner).due(jobs, oldest);
        tell(due, jobs, oldest, "jobs wait for an operator: headworks held list");
        Ok(())
    })
}

/// The same for damaged entries of this process's spool.
fn damaged(keeper: Keeper) -> Done {
    Box::pin(async move {
        let Some(damaged) = keeper.leftovers.map(|leftovers| leftovers.damaged) else { return Ok(()) };
        let entries = damaged.count();
        gauges::show_damaged(entries);
        let waiting = i64::try_from(entries).unwrap_or(i64::MAX);
        tell(damaged.due(), waiting, damaged.oldest(), "damaged entries in the spool wait for an operator");
        Ok(())
    })
}

/// Says that something waits for operators, the more urgently the longer it has.
fn tell(due: Option<Urgency>, waiting: i64, oldest: Duration, what: &'static str) {
    let hours = oldest.as_secs() / 3_600;
    match due {
        None => {}
        Some(Urgency::Notice) => tracing::info!(waiting, "{what}"),
        Some(Urgency::Warning) => tracing::warn!(waiting, hours, "{what}"),
        Some(Urgency::Alarm) => tracing::error!(waiting, hours, "{what}"),
    }
}

/// How long ago that was, by this process's clock; nothing where there is no such time.
fn age(at: Option<Timestamp>) -> Duration {
    let micros = at.map_or(0, |at| Timestamp::now().0 - at.0);
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

fn key_use(keeper: Keeper) -> Done {
    Box::pin(async move { keeper.keys.write_last_used().await })
}

fn fold_metrics(keeper: Keeper) -> Done {
    Box::pin(async move {
        keeper.metrics.upkeep();
        Ok(())
    })
}

fn spool(keeper: Keeper) -> Done {
    Box::pin(async move {
        match keeper.leftovers {
            Some(leftovers) => leftovers.clear().await,
            None => Ok(()),
        }
    })
}

/// Mail whose job was held by a crash or after its last attempt says so, and gets the tree its job never made.
fn held(keeper: Keeper) -> Done {
    Box::pin(async move {
        let noting = keeper
            .db
            .write(Lane::State, |mut tx| Box::pin(async move { delivery::store::note_held(&mut tx).await }));
        noting.await?;
        match keeper.sorter {
            Some(sorter) => sorter.keep_all_held(i64::from(ROUND)).await,
            None => Ok(()),
        }
    })
}

fn tmp(keeper: Keeper) -> Done {
    Box::pin(async move {
        let cleared = tokio::task::spawn_blocking(move || clear_scratch(&keeper.tmp)).await;
        if let Ok(Err(error)) = cleared {
            tracing::warn!(%error, "the scratch directory could not be cleared");
        }
        Ok(())
    })
}

/// Removes files of the scratch directory that nobody can be using any more: work in progress uses nameless ones.
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
