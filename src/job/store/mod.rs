//! All SQL of the tables `job`, `job_done`, `queue`, `worker`, `timeline` and `leader`.
//!
//! `pg.rs` and `lite.rs` hold the same statements side by side; `read.rs` holds those that both stores understand. Every
//! function takes the caller's transaction. Multi-row statements work in key order, so that they do not deadlock.

mod age;
mod leave;
mod lite;
mod pg;
mod read;
mod select;

pub use leave::{cancel, discard, put_back, release};
pub use read::{
    Event, Filter, HeldCount, JobView, QueueDepth, arguments, get, held_counts, list, of_delivery,
    plan_of_list, queue_depths, rejections, repetition, timeline_of_delivery, timeline_of_job, unsettled,
};

use super::outcome::HoldReason;
use super::priority::Priority;
use super::queue::QueueRow;
use super::state::Ended;
use crate::ids::{BootId, DeliveryId, JobId, LeaseToken, QueueName, ReceiptId, Timestamp, micros};
use crate::infra::db::{DbError, Tx, days};
use crate::sql;
use leave::{Change, Changed};
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
    /// The job runs; its run is stopped at the next heartbeat.
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

/// Declares the functions whose statements differ between the stores: one signature, two bodies elsewhere.
macro_rules! side_by_side {
    ($($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),*) -> $out:ty;)*) => { $(
        $(#[$doc])*
        $vis async fn $name(tx: &mut Tx<'_>, $($arg: $ty),*) -> Result<$out, DbError> {
            match tx {
                Tx::Pg(connection) => pg::$name(connection, $($arg),*).await,
                Tx::Lite(connection) => lite::$name(connection, $($arg),*).await,
            }
        }
    )* };
}

side_by_side! {
    /// Inserts jobs and returns their ids, in the order given.
    pub fn insert(jobs: &[NewJob]) -> Vec<JobId>;
    /// Claims jobs: gives them leases under one fresh token.
    pub fn claim(claim: &Claim) -> Vec<Job>;
    /// Renews leases, skipping locked rows, and stores progress that changed.
    pub fn renew(leases: &[(JobId, LeaseToken, Option<serde_json::Value>)], lease: Duration) -> Vec<Renewed>;
    /// Which of these leases still hold, whether their rows are locked or not.
    pub fn standing(leases: &[(JobId, LeaseToken)]) -> Vec<JobId>;
    /// Ends leased jobs: moves them to the history. Returns those whose lease the caller still had.
    pub fn end(ends: &[End]) -> Vec<Won>;
    /// Makes due jobs available: scheduled and retryable ones, and waiting ones past their deadline.
    pub fn promote(limit: i32) -> u64;
    /// Signals jobs: one that waits becomes available; of any other live job the signal is kept for its next wait. Returns
    /// how many became available.
    pub fn signal(jobs: &[JobId]) -> u64;
    /// Removes history older than `keep`: whole days in Postgres, at most `limit` rows in SQLite.
    pub fn prune(keep: Duration, limit: i32) -> u64;
    /// Changes a leased job that is put back, and clears the lease; `None` if the lease was lost.
    fn change(id: JobId, token: LeaseToken, change: &Change<'_>) -> Option<Changed>;
    /// Whether a live job has a valid lease; `None` if there is no such job. Locks it.
    fn is_running(id: JobId) -> Option<bool>;
    /// Moves a job without a valid lease to the history; returns the job that its end signals.
    fn move_unleased(id: JobId, end: Ended, why: Option<&str>) -> Option<JobId>;
    /// Makes a job available as if it had never run.
    fn reset(id: JobId) -> ();
}

/// Ends the leases of processes that are gone. SQLite only: it has one process at a time, so all other leases are theirs.
/// With Postgres other processes are alive, or their leases expire.
pub async fn release_leases_of_others(tx: &mut Tx<'_>, worker: i32) -> Result<u64, DbError> {
    let Tx::Lite(connection) = tx else { return Ok(0) };
    let text = "UPDATE job SET lease_token = NULL, lease_until = NULL, progress = NULL
                WHERE lease_token IS NOT NULL AND claimed_by <> $1";
    Ok(sqlx::query(text).bind(worker).execute(&mut **connection).await?.rows_affected())
}

/// Creates the daily partitions of `job_done` and `log` from yesterday to a week ahead. SQLite has none.
pub async fn make_days(tx: &mut Tx<'_>) -> Result<(), DbError> {
    let Tx::Pg(connection) = tx else { return Ok(()) };
    days::make(connection, &["job_done", "log"]).await
}

/// Takes or keeps a duty for `term`; `false` if another process has it. With SQLite there is one process.
pub async fn lead(tx: &mut Tx<'_>, duty: &str, holder: BootId, term: Duration) -> Result<bool, DbError> {
    let Tx::Pg(connection) = tx else { return Ok(true) };
    let text = "
        INSERT INTO leader (duty, holder, term, expires_at) VALUES ($1, $2, 1, now() + $3 * interval '1 microsecond')
        ON CONFLICT (duty) DO UPDATE SET holder = $2, expires_at = excluded.expires_at,
          term = leader.term + (leader.holder <> excluded.holder)::int
        WHERE leader.holder = $2 OR leader.expires_at < now()";
    let query = sqlx::query(text).bind(duty).bind(holder).bind(micros(term));
    Ok(query.execute(&mut **connection).await?.rows_affected() > 0)
}

/// The row of a queue, created if it is missing.
pub async fn queue_row(tx: &mut Tx<'_>, queue: &QueueName) -> Result<QueueRow, DbError> {
    let name = &queue.to_string();
    let make = "INSERT INTO queue (name) VALUES ($1) ON CONFLICT (name) DO NOTHING";
    let find = "SELECT id FROM queue WHERE name = $1";
    let mut found: Option<i16> = sql!(&mut *tx, query_scalar(find, name).fetch_optional)?;
    if found.is_none() {
        sql!(&mut *tx, query(make, name).execute)?;
        found = sql!(tx, query_scalar(find, name).fetch_optional)?;
    }
    let id = found.ok_or(sqlx::Error::RowNotFound)?;
    Ok(QueueRow { id, kind: queue.kind })
}

/// All queues: row, name, paused.
pub async fn queues(tx: &mut Tx<'_>) -> Result<Vec<(i16, String, bool)>, DbError> {
    let text = "SELECT id, name, paused FROM queue ORDER BY id";
    Ok(sql!(tx, query_as(text).fetch_all)?)
}

/// Pauses or resumes a queue; `false` if there is no queue of that name.
pub async fn set_paused(tx: &mut Tx<'_>, name: &str, paused: bool) -> Result<bool, DbError> {
    let text = "UPDATE queue SET paused = $2 WHERE name = $1";
    Ok(sql!(tx, query(text, name, paused).execute)? > 0)
}

/// Registers this process start and returns its worker row.
pub async fn register_worker(tx: &mut Tx<'_>, boot: BootId, host: &str) -> Result<i32, DbError> {
    let text = "INSERT INTO worker (boot, host, seen_at) VALUES ($1, $2, $3) RETURNING id";
    Ok(sql!(tx, query_scalar(text, boot, host, Timestamp::now()).fetch_one)?)
}

/// Notes that the process of `boot` is alive.
pub async fn see_worker(tx: &mut Tx<'_>, boot: BootId) -> Result<(), DbError> {
    let text = "UPDATE worker SET seen_at = $2 WHERE boot = $1";
    sql!(tx, query(text, boot, Timestamp::now()).execute)?;
    Ok(())
}

/// Removes the rows of processes not seen since `before` that hold no lease. An expired lease counts, so that its owner can be
/// named until the job is taken over.
pub async fn prune_workers(tx: &mut Tx<'_>, before: Timestamp) -> Result<u64, DbError> {
    let text = "
        DELETE FROM worker WHERE seen_at < $1
        AND id NOT IN (SELECT claimed_by FROM job WHERE lane = 0 AND lease_token IS NOT NULL AND claimed_by IS NOT NULL)";
    Ok(sql!(tx, query(text, before).execute)?)
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

/// Inserts a job that is held from its beginning.
pub async fn insert_held(
    tx: &mut Tx<'_>,
    job: NewJob,
    reason: HoldReason,
    detail: &str,
) -> Result<JobId, DbError> {
    let inserted = insert(&mut *tx, &[job]).await?;
    let &id = inserted.first().ok_or(sqlx::Error::RowNotFound)?;
    let text = "UPDATE job SET lane = 3, wait_reason = $2, last_error = $3 WHERE id = $1";
    sql!(&mut *tx, query(text, id, reason.word(), storable(detail)).execute)?;
    let held = Note {
        job_id: Some(id),
        event: "held".into(),
        detail: Some(reason.word().to_owned()),
        ..Note::default()
    };
    note(tx, &[held]).await?;
    Ok(id)
}

/// Keeps the report of the run after which a job is held: where its progress was, of which there is none now.
pub async fn keep_report(tx: &mut Tx<'_>, id: JobId, report: &serde_json::Value) -> Result<(), DbError> {
    let text = "UPDATE job SET progress = $2 WHERE id = $1 AND lane = 3";
    sql!(tx, query(text, id, sqlx::types::Json(report)).execute)?;
    Ok(())
}

/// Makes a leased job name a delivery that its run made. Nothing happens when the lease was lost.
pub async fn name_delivery(
    tx: &mut Tx<'_>,
    (id, token): (JobId, LeaseToken),
    delivery: DeliveryId,
) -> Result<(), DbError> {
    let text = "UPDATE job SET delivery_id = $3 WHERE id = $1 AND lease_token = $2";
    sql!(tx, query(text, id, token, delivery).execute)?;
    Ok(())
}

/// Writes notes into the timeline.
pub async fn note(tx: &mut Tx<'_>, notes: &[Note]) -> Result<(), DbError> {
    let text = "INSERT INTO timeline (delivery_id, job_id, event, actor, detail) VALUES ($1, $2, $3, $4, $5)";
    for note in notes {
        let detail = note.detail.as_deref().map(storable);
        let (event, actor) = (note.event.as_ref(), note.actor.as_deref());
        sql!(&mut *tx, query(text, note.delivery_id, note.job_id, event, actor, detail).execute)?;
    }
    Ok(())
}

/// Removes notes from before `before`, oldest first, at most `limit`.
pub async fn prune_notes(tx: &mut Tx<'_>, before: Timestamp, limit: i32) -> Result<u64, DbError> {
    let text =
        "DELETE FROM timeline WHERE id IN (SELECT id FROM timeline WHERE at < $1 ORDER BY at LIMIT $2)";
    Ok(sql!(tx, query(text, before, limit).execute)?)
}
