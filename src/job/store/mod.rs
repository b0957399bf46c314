//! All SQL of the tables `job`, `job_done`, `queue`, `worker`, `timeline` and `leader`.
//!
//! `pg.rs` and `lite.rs` hold the same statements side by side; `read.rs` holds those that both stores understand. Every
//! function takes the caller's transaction. Multi-row statements work in key order, so that they do not deadlock.

mod lite;
mod pg;
mod read;
mod select;

pub use read::{
    Filter, HeldCount, JobView, QueueDepth, TimelineRow, arguments, get, held_counts, list, of_delivery,
    of_receipt, queue_depths, repetition, timeline_of_delivery, timeline_of_job,
};

use super::outcome::{Became, HoldReason};
use super::priority::Priority;
use super::queue::QueueRow;
use super::state::Ended;
use crate::ids::{BootId, DeliveryId, JobId, LeaseToken, QueueName, ReceiptId, Timestamp};
use crate::infra::db::{DbError, DbErrorKind, Tx};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::time::Duration;

/// A job to be inserted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewJob {
    /// Its queue, which says what it does.
    #[serde(flatten)]
    pub queue: QueueRow,
    /// How soon among its queue.
    pub priority: Priority,
    /// Delivery it works on.
    pub delivery_id: Option<DeliveryId>,
    /// Receipt whose state it counts in.
    pub receipt_id: Option<ReceiptId>,
    /// Job whose commit inserts it.
    pub parent_id: Option<JobId>,
    /// Finished job it repeats.
    pub retry_of: Option<JobId>,
    /// Job that its end signals.
    pub signals: Option<JobId>,
    /// Failed runs it may have.
    pub max_attempts: u16,
    /// Time from its insertion to its first run.
    pub delay: Duration,
    /// Small arguments (at most 2 kB); larger things belong in a volume.
    pub args: serde_json::Value,
}

/// A claimed job, as its run knows it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Job {
    /// Never used twice.
    pub id: JobId,
    /// Place in the fetch lane when it was claimed.
    pub pos: i64,
    /// Row of its queue.
    pub queue: i16,
    /// Number of its priority.
    #[sqlx(rename = "priority")]
    pub priority_code: i16,
    /// Delivery it works on.
    pub delivery_id: Option<DeliveryId>,
    /// Receipt whose state it counts in.
    pub receipt_id: Option<ReceiptId>,
    /// Finished job it repeats.
    pub retry_of: Option<JobId>,
    /// Job that its end signals.
    pub signals: Option<JobId>,
    /// Runs that failed before this one.
    pub attempt: i16,
    /// Module processes that died on it.
    pub crashes: i16,
    /// Leases that expired for no known reason, including the one before this.
    pub lost: i16,
    /// Failed runs it may have.
    pub max_attempts: i16,
    /// Its arguments.
    #[sqlx(json)]
    pub args: serde_json::Value,
    /// When it was inserted.
    pub created_at: Timestamp,
    /// It was cancelled during an earlier run that lost its lease.
    pub cancel_requested: bool,
    /// The right to finish it.
    pub lease_token: LeaseToken,
}

/// One part of a claim: jobs of one queue and priority above a floor.
#[derive(Debug, Clone, Copy)]
pub struct Want {
    /// Row of the queue.
    pub queue: i16,
    /// Number of the priority.
    pub priority: i16,
    /// Only jobs above this `pos`.
    pub floor: i64,
    /// At most this many.
    pub count: i32,
}

/// A claim for all queues of a process.
#[derive(Debug, Clone)]
pub struct Claim {
    /// What to claim; the store leaves out paused queues.
    pub wants: Vec<Want>,
    /// Worker row of this process.
    pub worker: i32,
    /// Length of the leases.
    pub lease: Duration,
    /// Whether expired leases may be taken over; not within one lease period of a reconnect.
    pub take_expired: bool,
}

/// The end of a leased job.
#[derive(Debug, Clone)]
pub struct End {
    /// The job.
    pub id: JobId,
    /// The token of its run; if the job has another one, nothing happens.
    pub token: LeaseToken,
    /// How it ended.
    pub end: Ended,
    /// Last error, if it did not complete.
    pub error: Option<String>,
    /// The report of its run, for the timeline.
    pub report: Option<serde_json::Value>,
}

/// A job whose end was accepted.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Won {
    /// The job.
    pub id: JobId,
    /// Job to signal.
    pub signals: Option<JobId>,
}

/// How a run gives its job back without ending it.
#[derive(Debug, Clone)]
pub enum PutBack {
    /// The run failed: costs an attempt, and the job runs again after `wait`.
    Retry {
        /// Wait before the next run.
        wait: Duration,
        /// What went wrong.
        error: String,
    },
    /// Something the run needs is unavailable: the job runs again after `wait`, at no cost.
    Snooze {
        /// Wait before the next run.
        wait: Duration,
        /// What is unavailable.
        reason: String,
    },
    /// Waits for an operator.
    Hold {
        /// Why.
        reason: HoldReason,
        /// The details.
        detail: String,
    },
    /// A module process died on it; the job is held as poisoned after `limit` crashes.
    Crash {
        /// How the process ended.
        how: String,
        /// Crashes after which it is held.
        limit: u16,
    },
    /// As if it had never been claimed.
    Release,
    /// Waits for a signal; available at once if one has come since the last wait.
    Wait {
        /// The deadline, by the clock of the store.
        until: Timestamp,
        /// What it waits for.
        reason: String,
    },
}

/// A renewed lease.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct Renewed {
    /// The job.
    pub id: JobId,
    /// Whether its run should stop because the job was cancelled.
    pub cancel_requested: bool,
}

/// Something that happened to a job or delivery and that no other table records.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Note {
    /// Delivery it concerns.
    pub delivery_id: Option<DeliveryId>,
    /// Job it concerns.
    pub job_id: Option<JobId>,
    /// Stable word: `attempt_failed`, `crashed`, `lost`, `held`, `released`, `assigned`, `cancelled`, …
    pub event: Cow<'static, str>,
    /// Who did it; `None`: headworks.
    pub actor: Option<String>,
    /// The details.
    pub detail: Option<String>,
}

/// The result of an operator's action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Done.
    Done,
    /// The job runs; its run is told at the next heartbeat.
    Requested,
    /// The state of the job does not allow it.
    WrongState,
    /// There is no such live job.
    NotFound,
}

/// Longest error or detail that is kept, in bytes.
pub const TEXT_BYTES: usize = 4096;

/// `text` as the store can hold it: without NUL, at most [`TEXT_BYTES`] long.
#[must_use]
pub fn storable(text: &str) -> String {
    let mut kept = text[..text.floor_char_boundary(TEXT_BYTES)].replace('\0', "\u{FFFD}");
    kept.truncate(kept.floor_char_boundary(TEXT_BYTES));
    kept
}

/// Whole microseconds, at most a thousand years, which both stores can add to the current time and subtract from it.
#[must_use]
pub fn micros(span: Duration) -> i64 {
    const MOST: i64 = 1_000 * 365 * 86_400 * 1_000_000;
    i64::try_from(span.as_micros()).unwrap_or(MOST).min(MOST)
}

/// Declares the functions whose statements differ between the stores: one signature, two bodies elsewhere.
macro_rules! side_by_side {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $ty:ty),*) -> $out:ty;)*) => { $(
        $(#[$doc])*
        pub async fn $name(tx: &mut Tx<'_>, $($arg: $ty),*) -> Result<$out, DbError> {
            match tx {
                Tx::Pg(connection) => pg::$name(connection, $($arg),*).await,
                Tx::Lite(connection) => lite::$name(connection, $($arg),*).await,
            }
        }
    )* };
}

side_by_side! {
    /// Inserts jobs and returns their ids, in the order given.
    fn insert(jobs: &[NewJob]) -> Vec<JobId>;
    /// Claims jobs: gives them leases under one fresh token.
    fn claim(claim: &Claim) -> Vec<Job>;
    /// Renews leases, skipping locked rows, and stores progress that changed.
    fn renew(leases: &[(JobId, LeaseToken, Option<serde_json::Value>)], lease: Duration) -> Vec<Renewed>;
    /// Which of these leases still hold, whether their rows are locked or not.
    fn standing(leases: &[(JobId, LeaseToken)]) -> Vec<JobId>;
    /// Ends leased jobs: moves them to the history. Returns those whose lease the caller still had.
    fn end(ends: &[End]) -> Vec<Won>;
    /// Gives a leased job back, and notes it. A job that was cancelled in the meantime ends as cancelled instead.
    fn put_back(id: JobId, token: LeaseToken, how: &PutBack) -> Became;
    /// Makes due jobs available: scheduled and retryable ones, and waiting ones past their deadline.
    fn promote(limit: i32) -> u64;
    /// Signals jobs: one that waits becomes available; of any other live job the signal is kept for its next wait. Returns
    /// how many became available.
    fn signal(jobs: &[JobId]) -> u64;
    /// Cancels a job. If it runs, its run is told; otherwise, or if its lease has expired, it ends at once.
    fn cancel(id: JobId, why: &str) -> Act;
    /// Makes a held job available again, and resets its attempts, crashes and losses.
    fn release(id: JobId) -> Act;
    /// Ends a held job as discarded.
    fn discard(id: JobId, why: &str) -> Act;
    /// Ends the leases of processes that are gone. SQLite only: it has one process at a time, so all other leases are theirs.
    fn release_leases_of_others(worker: i32) -> u64;
    /// Removes history older than `keep`: whole days in Postgres, at most `limit` rows in SQLite.
    fn prune(keep: Duration, limit: i32) -> u64;
    /// Creates the daily partitions of `job_done` and `log` from yesterday to a week ahead. SQLite has none.
    fn make_days() -> ();
    /// Takes or keeps a duty for `term`; `false` if another process has it.
    fn lead(duty: &str, holder: BootId, term: Duration) -> bool;
}

/// The row of a queue, created if it is missing.
pub async fn queue_row(tx: &mut Tx<'_>, queue: &QueueName) -> Result<QueueRow, DbError> {
    let name = queue.to_string();
    let id = queue_id(tx, &name).await?;
    Ok(QueueRow { id, kind: queue.kind })
}

async fn queue_id(tx: &mut Tx<'_>, name: &str) -> Result<i16, DbError> {
    let make = "INSERT INTO queue (name) VALUES ($1) ON CONFLICT (name) DO NOTHING";
    let find = "SELECT id FROM queue WHERE name = $1";
    let found: Option<i16> =
        crate::on_either!(&mut *tx, c => sqlx::query_scalar(find).bind(name).fetch_optional(c).await?);
    if let Some(id) = found {
        return Ok(id);
    }
    crate::on_either!(&mut *tx, c => { sqlx::query(make).bind(name).execute(c).await?; });
    Ok(crate::on_either!(tx, c => sqlx::query_scalar(find).bind(name).fetch_one(c).await?))
}

/// All queues: row, name, paused.
pub async fn queues(tx: &mut Tx<'_>) -> Result<Vec<(i16, String, bool)>, DbError> {
    let text = "SELECT id, name, paused FROM queue ORDER BY id";
    Ok(crate::on_either!(tx, c => sqlx::query_as(text).fetch_all(c).await?))
}

/// Pauses or resumes a queue; `false` if there is none of that name.
pub async fn set_paused(tx: &mut Tx<'_>, name: &str, paused: bool) -> Result<bool, DbError> {
    let text = "UPDATE queue SET paused = $2 WHERE name = $1";
    let changed = crate::on_either!(tx, c => {
        sqlx::query(text).bind(name).bind(paused).execute(c).await?.rows_affected()
    });
    Ok(changed > 0)
}

/// Registers this process start and returns its worker row.
pub async fn register_worker(tx: &mut Tx<'_>, boot: BootId, host: &str) -> Result<i32, DbError> {
    let text = "INSERT INTO worker (boot, host, seen_at) VALUES ($1, $2, $3) RETURNING id";
    Ok(crate::on_either!(tx, c => {
        sqlx::query_scalar(text).bind(boot).bind(host).bind(Timestamp::now()).fetch_one(c).await?
    }))
}

/// Notes that the process of `boot` is alive.
pub async fn see_worker(tx: &mut Tx<'_>, boot: BootId) -> Result<(), DbError> {
    let text = "UPDATE worker SET seen_at = $2 WHERE boot = $1";
    crate::on_either!(tx, c => { sqlx::query(text).bind(boot).bind(Timestamp::now()).execute(c).await?; });
    Ok(())
}

/// Removes the rows of processes not seen since `before` that hold no lease. An expired lease counts, so that its owner can be
/// named until the job is taken over.
pub async fn prune_workers(tx: &mut Tx<'_>, before: Timestamp) -> Result<u64, DbError> {
    let text = "
        DELETE FROM worker WHERE seen_at < $1
        AND id NOT IN (SELECT claimed_by FROM job WHERE lane = 0 AND lease_token IS NOT NULL AND claimed_by IS NOT NULL)";
    Ok(crate::on_either!(tx, c => sqlx::query(text).bind(before).execute(c).await?.rows_affected()))
}

/// Locks jobs, and those that their ends signal, in the order of their ids. With SQLite there is one writer anyway.
pub async fn lock_with_signalled(tx: &mut Tx<'_>, jobs: &[JobId]) -> Result<(), DbError> {
    if let Tx::Pg(connection) = tx {
        let text =
            "SELECT 1 FROM job WHERE id = ANY($1) OR id IN (SELECT signals FROM job WHERE id = ANY($1))
                    ORDER BY id FOR UPDATE";
        sqlx::query(text).bind(jobs).execute(&mut **connection).await?;
    }
    Ok(())
}

/// Makes a leased job name a delivery that its run made. Nothing happens when the lease was lost.
pub async fn name_delivery(
    tx: &mut Tx<'_>,
    (id, token): (JobId, LeaseToken),
    delivery: DeliveryId,
) -> Result<(), DbError> {
    let text = "UPDATE job SET delivery_id = $3 WHERE id = $1 AND lease_token = $2";
    crate::on_either!(tx, c => { sqlx::query(text).bind(id).bind(token).bind(delivery).execute(c).await?; });
    Ok(())
}

/// Writes notes into the timeline.
pub async fn note(tx: &mut Tx<'_>, notes: &[Note]) -> Result<(), DbError> {
    let text = "INSERT INTO timeline (delivery_id, job_id, event, actor, detail) VALUES ($1, $2, $3, $4, $5)";
    for note in notes {
        let detail = note.detail.as_deref().map(storable);
        crate::on_either!(&mut *tx, c => {
            sqlx::query(text)
                .bind(note.delivery_id)
                .bind(note.job_id)
                .bind(note.event.as_ref())
                .bind(note.actor.as_deref())
                .bind(detail)
                .execute(c)
                .await?;
        });
    }
    Ok(())
}

/// Removes notes from before `before`, oldest first, at most `limit`.
pub async fn prune_notes(tx: &mut Tx<'_>, before: Timestamp, limit: i32) -> Result<u64, DbError> {
    let text =
        "DELETE FROM timeline WHERE id IN (SELECT id FROM timeline WHERE at < $1 ORDER BY at LIMIT $2)";
    Ok(
        crate::on_either!(tx, c => sqlx::query(text).bind(before).bind(limit).execute(c).await?.rows_affected()),
    )
}

/// The word of a put-back in the timeline; `None` if it is not recorded.
const fn noted(how: &PutBack) -> Option<&'static str> {
    match how {
        PutBack::Retry { .. } => Some("attempt_failed"),
        PutBack::Crash { .. } => Some("crashed"),
        PutBack::Hold { .. } => Some("held"),
        PutBack::Snooze { .. } | PutBack::Release | PutBack::Wait { .. } => None,
    }
}

/// What a put-back changes, the same in both stores.
struct Change<'a> {
    lane: super::state::Lane,
    /// Time until the next run; `until` wins.
    wait: Duration,
    until: Option<Timestamp>,
    attempts: i16,
    crashes: i16,
    reason: Option<&'a str>,
    error: Option<&'a str>,
}

impl<'a> Change<'a> {
    fn of(how: &'a PutBack) -> Self {
        use super::state::Lane;
        let none = Self {
            lane: Lane::Fetch,
            wait: Duration::ZERO,
            until: None,
            attempts: 0,
            crashes: 0,
            reason: None,
            error: None,
        };
        match how {
            PutBack::Retry { wait, error } => {
                Self { lane: Lane::Timed, wait: *wait, attempts: 1, error: Some(error), ..none }
            }
            PutBack::Snooze { wait, reason } => {
                Self { lane: Lane::Timed, wait: *wait, reason: Some(reason), ..none }
            }
            PutBack::Hold { reason, detail } => Self {
                lane: Lane::Held,
                attempts: i16::from(*reason == HoldReason::OutOfAttempts),
                reason: Some(reason.word()),
                error: Some(detail),
                ..none
            },
            PutBack::Crash { how, .. } => Self { crashes: 1, error: Some(how), ..none },
            PutBack::Release => none,
            PutBack::Wait { until, reason } => {
                Self { lane: Lane::Waiting, until: Some(*until), reason: Some(reason), ..none }
            }
        }
    }

    /// What happened to the job, unless it was cancelled.
    fn became(&self) -> Became {
        if self.lane == super::state::Lane::Held { Became::Held } else { Became::AsMeant }
    }

    /// The details in the timeline.
    fn detail(&self) -> Option<&'a str> {
        self.error.or(self.reason)
    }
}

fn unknown_number(what: &str, code: i16) -> DbError {
    DbError::new(DbErrorKind::Corrupt, format!("{what} {code} is not known to this version"))
}
