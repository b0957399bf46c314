//! The second compound commit: the end of a job together with everything it produced.
//!
//! Order: the fence (jobs whose lease was lost drop out) → rows of modules → deliveries → coordinates → children → rows of features → notes →
//! log entries last.
//!
//! **Postgres**: one transaction. **SQLite** is two files and one process: a finishing job is marked in memory, so that
//! nobody takes its lease over; `results.db` gets the rows and the encoded end in one commit, then `state.db` the end
//! itself. A crash between the two leaves a *stored end*, applied at start before the first claim.

mod lite;
mod state;
mod stored;
mod tally;
mod told;

pub use told::{Sealer, published_entry, sweep_files};

use super::accept::NewDelivery;
use super::batch::{BatchSettings, Batcher, Busy};
use super::feature_rows::{FeatureRow, RowWriters};
use super::rows::Rows;
use crate::ids::{Coordinates, DeliveryId, JobId, Timestamp};
use crate::in_tx;
use crate::infra::db::{Db, DbError, DbErrorKind, Lane, Tx};
use crate::job::store::{NewJob, Note};
use crate::job::{self, Became, Finished, Wake};
use crate::load::{self, NewLoad, Tables};
use crate::log;
use serde::{Deserialize, Serialize};
use state::{Ending, Fenced};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tally::Tally;
use told::{Made, Telling, Told};

/// A load above this many rows is large.
const LARGE: u64 = 2_000;
const CHUNK: usize = 2_000;

/// A large load commits alone, on the pool for large loads, and its rows are read piece by piece. Alone, because the entries of a
/// batch are in order of its items, not of its writes.
fn is_large(rows: &Rows) -> bool {
    rows.len() > LARGE || rows.in_memory().is_none()
}

/// What a finished job wants written.
#[derive(Debug, Default)]
pub struct Work {
    /// A delivery that the run made.
    pub delivery: Option<Created>,
    /// What sorting decided.
    pub sorted: Option<Sorted>,
    /// The load that a module returned.
    pub load: Option<(NewLoad, Rows)>,
    /// Jobs to run next; their parent is this job.
    pub children: Vec<NewJob>,
    /// Rows of the feature's own tables.
    pub rows: Vec<FeatureRow>,
    /// Events that leave if this commits.
    pub entries: Vec<log::Entry>,
    /// Entries of the timeline that no other table has.
    pub notes: Vec<Note>,
    /// The report of the run, kept with the finished job.
    pub report: Option<serde_json::Value>,
}

/// A delivery that a run made. It belongs to the receipt of the finishing job and has the same source.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Created {
    /// The delivery; children that work on it name its id.
    pub delivery: NewDelivery,
    /// When its bytes arrived.
    pub received_at: Timestamp,
    /// Whether the finishing job works on this delivery from now on: its own row names it then.
    pub adopt: bool,
}

/// What sorting decided about a delivery. Its tree is made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sorted {
    /// Which.
    pub id: DeliveryId,
    /// Where it belongs; `None` while it is held.
    pub coordinates: Option<Coordinates>,
    /// The rule that decided; `None`: an operator.
    pub rule: Option<String>,
    /// Settings of that rule, for the module.
    pub settings: serde_json::Value,
    /// Captures of its named groups.
    #[serde(default)]
    pub captures: BTreeMap<String, String>,
    /// Keep a copy of the original.
    pub archive: bool,
    /// Why it waits for an operator.
    pub held_reason: Option<String>,
}

/// Gathers ends into commits; cheap to clone.
#[derive(Clone)]
pub struct Finisher {
    batcher: Batcher<Finished<Work>, Result<Became, DbError>>,
}

struct Context {
    db: Db,
    tables: Tables,
    telling: Arc<Telling>,
    wake: Wake,
    writers: RowWriters,
    committed: stored::Committed,
}

impl Finisher {
    /// Starts gathering. `writers` insert the rows of features. Topics and schemas of published tables are looked up
    /// once, here.
    pub async fn start(
        db: Db,
        tables: Tables,
        wake: Wake,
        writers: RowWriters,
        settings: BatchSettings,
        sealer: Sealer,
    ) -> Result<Self, DbError> {
        let telling = Arc::new(Telling::start(&db, &tables, sealer).await?);
        let committed = stored::Committed::default();
        let context = Arc::new(Context { db, tables, telling, wake, writers, committed });
        let weigh = |item: &Finished<Work>| {
            item.work.as_ref().map_or(0, |work| work.children.len() + work.rows.len())
        };
        let batcher = Batcher::start(settings, weigh, move |items| {
            let context = Arc::clone(&context);
            Box::pin(async move { commit(&context, items).await })
        });
        Ok(Self { batcher })
    }

    /// Ends a job, and returns after the commit what became of it; if its lease was lost, nothing was written.
    ///
    /// # Errors
    /// [`Content`](DbErrorKind::Content) when a value cannot be stored; other kinds only if the store is away for
    /// so long that another run may have the lease by now.
    pub async fn finish(&self, finished: Finished<Work>) -> Result<Became, DbError> {
        let answer = self.batcher.join_patiently(finished).await;
        answer.unwrap_or_else(|Busy| Err(DbError::new(DbErrorKind::Unavailable, "the finisher has stopped")))
    }
}

/// Applies the ends that were stored with their rows and not yet in the job table. Before the first claim.
pub async fn recover(db: &Db, writers: &RowWriters) -> Result<usize, DbError> {
    stored::recover(db, writers).await
}

/// How often, and with what pause, a commit is repeated while the store is away. A longer outage makes the leases
/// expire, and the jobs run again.
const REPEATS: u32 = 60;
const PAUSE: Duration = Duration::from_millis(500);

async fn commit(context: &Context, items: Vec<Finished<Work>>) -> Vec<Result<Became, DbError>> {
    let (large, small): (Vec<_>, Vec<_>) = items.into_iter().enumerate().partition(|(_, item)| {
        item.work.as_ref().and_then(|work| work.load.as_ref()).is_some_and(|(_, rows)| is_large(rows))
    });
    let mut answers: Vec<(usize, Result<Became, DbError>)> = Vec::new();
    for (at, item) in large {
        let mut answer = repeatedly(context, vec![Ending::new(item)]).await;
        answers.push((at, answer.pop().unwrap_or(Ok(Became::Lost))));
    }
    if !small.is_empty() {
        let (places, endings): (Vec<_>, Vec<_>) =
            small.into_iter().map(|(at, item)| (at, Ending::new(item))).unzip();
        answers.extend(places.into_iter().zip(repeatedly(context, endings).await));
    }
    answers.sort_by_key(|(at, _)| *at);
    if answers.iter().any(|(_, answer)| matches!(answer, Ok(became) if *became != Became::Lost)) {
        context.wake.wake();
    }
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// Commits a batch. Repeats while the store is away; if one end is refused, commits each on its own.
async fn repeatedly(context: &Context, mut batch: Vec<Ending>) -> Vec<Result<Became, DbError>> {
    let mut repeats = 0;
    loop {
        let (back, result) = once(context, batch).await;
        batch = back;
        match result {
            Ok(fenced) => return batch.iter().map(|ending| Ok(fenced.became(ending.job()))).collect(),
            Err(error) if error.kind() == DbErrorKind::MissingPartition && repeats < REPEATS => {
                let making = in_tx!(context.db, Lane::State, tx => job::store::make_days(tx));
                if let Err(error) = making.await {
                    tracing::warn!(%error, "making a missing day failed");
                    tokio::time::sleep(PAUSE).await;
                }
            }
            Err(error) if error.is_temporary() && repeats < REPEATS => {
                tracing::debug!(%error, "finishing failed; trying again");
                if error.kind() != DbErrorKind::Contention {
                    tokio::time::sleep(PAUSE).await;
                }
            }
            Err(error) if batch.len() > 1 && !error.is_temporary() => {
                let mut answers = Vec::with_capacity(batch.len());
                for ending in batch {
                    answers.extend(Box::pin(repeatedly(context, vec![ending])).await);
                }
                return answers;
            }
            Err(error) => {
                let (kind, text) = (error.kind(), error.to_string());
                return batch.iter().map(|_| Err(DbError::new(kind, text.clone()))).collect();
            }
        }
        repeats += 1;
    }
}

/// One try. Returns the batch, which is needed again if it fails.
async fn once(context: &Context, batch: Vec<Ending>) -> (Vec<Ending>, Result<Fenced, DbError>) {
    // Shared with the transaction's task, which may outlive this one; taken back when it is done.
    let shared = Arc::new(tokio::sync::Mutex::new(batch));
    let result = if context.db.is_pg() {
        in_one(context, Arc::clone(&shared)).await
    } else {
        lite::finish(context, Arc::clone(&shared)).await
    };
    let batch = std::mem::take(&mut *shared.lock().await);
    (batch, result)
}

type Shared = Arc<tokio::sync::Mutex<Vec<Ending>>>;

async fn in_one(context: &Context, shared: Shared) -> Result<Fenced, DbError> {
    let (tables, telling, writers) =
        (context.tables.clone(), Arc::clone(&context.telling), context.writers.clone());
    let large = shared.lock().await.iter().any(Ending::is_large);
    let lane = if large { Lane::Results } else { Lane::State };
    let made = Made::default();
    let making = Arc::clone(&made);
    let result = context
        .db
        .write(lane, move |mut tx| {
            Box::pin(async move {
                let mut batch = shared.lock().await;
                let fenced = state::fence(&mut tx, &batch).await?;
                let mut told = telling.begin(&making);
                let tally = write_loads(&mut tx, &tables, &mut told, &mut batch, &fenced.jobs()).await?;
                let entries = told.finish().await?;
                state::apply(&mut tx, &writers, &batch, &fenced, &entries).await?;
                Ok((fenced, tally))
            })
        })
        .await;
    match result {
        Ok((fenced, tally)) => {
            tally.count();
            Ok(fenced)
        }
        Err(error) => {
            context.telling.undo(made, &error).await;
            Err(error)
        }
    }
}

/// A log entry and the job it comes from.
type Entry = (JobId, log::Entry);

/// Writes the loads of jobs whose lease held, tells their changes, and returns the counts of rows.
async fn write_loads(
    tx: &mut Tx<'_>,
    tables: &Tables,
    told: &mut Told<'_>,
    batch: &mut [Ending],
    won: &[JobId],
) -> Result<Tally, DbError> {
    let mut tally = Tally::default();
    // It is alone in its batch.
    for ending in batch.iter_mut().filter(|ending| won.contains(&ending.job())) {
        if ending.load().is_some_and(|(_, rows)| is_large(rows)) {
            write_large(tx, tables, told, ending, &mut tally).await?;
        }
    }
    let mut small = Vec::new();
    for ending in batch.iter().filter(|ending| won.contains(&ending.job())) {
        if let Some((load, rows)) = ending.load().filter(|(_, rows)| !is_large(rows))
            && let Some(rows) = rows.in_memory()
        {
            small.push((ending.job(), load, rows));
        }
    }
    if small.is_empty() {
        return Ok(tally);
    }
    let loads: Vec<_> = small.iter().map(|(_, load, rows)| (*load, *rows)).collect();
    let written = load::write(tx, tables, &loads).await?;
    for ((load, _), report) in loads.iter().zip(&written.loads) {
        tally.add(&load.module, report);
    }
    for (at, entry) in written.entries {
        if let Some((job, ..)) = small.get(at) {
            told.add(*job, [entry])?;
        }
    }
    Ok(tally)
}

/// Streams the rows of one large load.
async fn write_large(
    tx: &mut Tx<'_>,
    tables: &Tables,
    told: &mut Told<'_>,
    ending: &mut Ending,
    tally: &mut Tally,
) -> Result<(), DbError> {
    let job = ending.job();
    let Some((load, rows)) = ending.load_mut() else { return Ok(()) };
    let mut loading = load::Loading::begin(tx, tables, &[load]).await?;
    let mut reader = rows.read().map_err(DbError::unavailable)?;
    loop {
        let chunk = reader.next(CHUNK).map_err(DbError::unavailable)?;
        if chunk.is_empty() {
            break;
        }
        told.add(job, loading.rows(tx, &[(0, &chunk)]).await?.into_iter().map(|(_, entry)| entry))?;
    }
    let (reports, last) = loading.finish(tx).await?;
    reports.iter().for_each(|report| tally.add(&load.module, report));
    told.add(job, last.into_iter().map(|(_, entry)| entry))
}
