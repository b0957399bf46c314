//! All SQL of the tables `job`, `job_done`, `queue`, `worker`, `timeline` and `leader`.
//!
//! `pg.rs` and `lite.rs` hold the same statements side by side; `read.rs` what both understand. Every function takes
//! the caller's transaction; multi-row statements go in key order, so no two of them can wait for each other.

mod lite;
mod pg;
mod read;
mod select;

pub use read::{
    Filter, HeldCount, JobView, QueueDepth, TimelineRow, arguments, get, held_counts, list, of_delivery,
    of_receipt, queue_depths, repetition, timeline_of_delivery, timeline_of_job,
};

use super::kind::{Kind, Priority};
use super::outcome::{Became, HoldReason};
use super::state::Ended;
use crate::ids::{BootId, DeliveryId, JobId, LeaseToken, ReceiptId, Timestamp};
use crate::infra::db::{DbError, DbErrorKind, Tx};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::time::Duration;

/// A job to be inserted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewJob {
    /// Row of its queue.
    pub queue: i16,
    /// What it does.
    pub kind: Kind,
    /// How soon among its queue.
    pub priority: Priority,
    /// Delivery it works on.
    pub delivery_id: Option<DeliveryId>,
    /// Receipt whose state it counts in.
    pub receipt_id: Option<ReceiptId>,
    /// Job whose finishing commit inserts it.
    pub parent_id: Option<JobId>,
    /// Finished job it repeats.
    pub retry_of: Option<JobId>,
    /// Waiting job that its end lets go on.
    pub signals: Option<JobId>,
    /// Failed runs it may have.
    pub max_attempts: u16,
    /// Not before so long after its insertion.
    pub delay: Duration,
    /// Small arguments (at most 2 kB): bytes belong into a volume.
    pub args: serde_json::Value,
}

/// A claimed job: what a run knows of it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Job {
    /// Never used twice.
    pub id: JobId,
    /// Place in the fetch lane when it was claimed.
    pub pos: i64,
    /// Row of its queue.
    pub queue: i16,
    /// Number of its kind; [`Kind::from_code`].
    #[sqlx(rename = "kind")]
    pub kind_code: i16,
    /// Number of its priority.
    #[sqlx(rename = "priority")]
    pub priority_code: i16,
    /// Delivery it works on.
    pub delivery_id: Option<DeliveryId>,
    /// Receipt whose state it counts in.
    pub receipt_id: Option<ReceiptId>,
    /// Finished job it repeats.
    pub retry_of: Option<JobId>,
    /// Runs that failed before this one.
    pub attempt: i16,
    /// Module children that died on it.
    pub crashes: i16,
    /// Leases that only expired, the one before this included.
    pub lost: i16,
    /// Failed runs it may have.
    pub max_attempts: i16,
    /// Its arguments.
    #[sqlx(json)]
    pub args: serde_json::Value,
    /// When it was inserted.
    pub created_at: Timestamp,
    /// Somebody called it off while an earlier run, now lost, had it.
    pub cancel_requested: bool,
    /// The right to finish it.
    pub lease_token: LeaseToken,
}

/// One probe of a claim: so many jobs of this queue and priority above this floor.
#[derive(Debug, Clone, Copy)]
pub struct Want {
    /// Row of the queue.
    pub queue: i16,
    /// Number of the priority.
    pub priority: i16,
    /// Ask above this `pos` only.
    pub floor: i64,
    /// At most so many.
    pub count: i32,
}

/// A claim for all queues of a process.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Probes; paused queues are left out by the store.
    pub wants: Vec<Want>,
    /// Worker row of this process.
    pub worker: i32,
    /// Length of the leases.
    pub lease: Duration,
    /// Whether expired leases may be taken over: not within one lease period of a reconnect.
    pub take_expired: bool,
}

/// The end of a leased job.
#[derive(Debug, Clone)]
pub struct End {
    /// Which.
    pub id: JobId,
    /// The run's token: without it nothing happens.
    pub token: LeaseToken,
    /// How.
    pub end: Ended,
    /// Last error, where it did not complete.
    pub error: Option<String>,
    /// What the run says of itself, for the timeline.
    pub report: Option<serde_json::Value>,
}

/// A job whose end was accepted.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Won {
    /// Which.
    pub id: JobId,
    /// Waiting job to be signalled.
    pub signals: Option<JobId>,
}

/// What else a run can do with its job.
#[derive(Debug, Clone)]
pub enum PutBack {
    /// It failed: one attempt more, and again after `wait`.
    Retry {
        /// Wait before the next run.
        wait: Duration,
        /// What went wrong.
        error: String,
    },
    /// Something it needs is away: again after `wait`, no attempt used.
    Snooze {
        /// Wait before the next run.
        wait: Duration,
        /// What is away.
        reason: String,
    },
    /// Waits for an operator.
    Hold {
        /// Why.
        reason: HoldReason,
        /// What exactly.
        detail: String,
    },
    /// A module child died on it; held as poisoned when that makes `limit`.
    Crash {
        /// How the child ended.
        how: String,
        /// Crashes that are one too many.
        limit: u16,
    },
    /// As if it had never been claimed.
    Release,
    /// Waits for a signal, at most so long.
    Wait {
        /// For what.
        reason: String,
        /// Deadline from now.
        deadline: Duration,
    },
}

/// A renewed lease.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct Renewed {
    /// Which job.
    pub id: JobId,
    /// Somebody wants it called off.
    pub cancel_requested: bool,
}

/// Something that happened to a job or delivery and that no other table can tell.
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
    /// What exactly.
    pub detail: Option<String>,
}

/// What became of an operator's wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Done.
    Done,
    /// It runs; its run is told at the next heartbeat.
    Requested,
    /// There is such a job, and its state does not allow this.
    WrongState,
    /// There is no such live job.
    NotFound,
}

/// Longest error or detail that is kept, in bytes.
pub const TEXT_BYTES: usize = 4096;

/// `text` as the store can hold it: without NUL, at most [`TEXT_BYTES`].
#[must_use]
pub fn storable(text: &str) -> String {
    let mut kept = text[..text.floor_char_boundary(TEXT_BYTES)].replace('\0', "\u{FFFD}");
    kept.truncate(kept.floor_char_boundary(TEXT_BYTES));
    kept
}

/// Whole microseconds, at most a thousand years: both stores can add that to today and take it away.
#[must_use]
pub fn micros(span: Duration) -> i64 {
    const MOST: i64 = 1_000 * 365 * 86_400 * 1_000_000;
    i64::try_from(span.as_micros()).unwrap_or(MOST).min(MOST)
}

impl Job {
    /// What it does; `None` where a newer program inserted it.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        Kind::from_code(self.kind_code)
    }
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
    /// Claims jobs: fresh leases under one fresh token.
    fn claim(claim: &Claim) -> Vec<Job>;
    /// Renews leases, skipping rows that somebody has locked, and stores progress that changed.
    fn renew(leases: &[(JobId, LeaseToken, Option<serde_json::Value>)], lease: Duration) -> Vec<Renewed>;
    /// Which of these leases still stand, locked or not.
    fn standing(leases: &[(JobId, LeaseToken)]) -> Vec<JobId>;
    /// Ends leased jobs: moves them to the history. Only those returned were the caller's to end.
    fn end(ends: &[End]) -> Vec<Won>;
    /// Does something else with a leased job, and notes it; one that was called off meanwhile ends as cancelled instead
    /// of waiting for another run.
    fn put_back(id: JobId, token: LeaseToken, how: &PutBack) -> Became;
    /// Makes due jobs available: scheduled and retryable ones, and waiting ones past their deadline.
    fn promote(limit: i32) -> u64;
    /// Lets waiting jobs go on.
    fn signal(jobs: &[JobId]) -> u64;
    /// Calls a job off: one that does not run ends at once, as does one whose lease has expired; one that runs is told.
    fn cancel(id: JobId, why: &str) -> Act;
    /// Makes a held job available again, with a clean slate of crashes and losses.
    fn release(id: JobId) -> Act;
    /// Ends a held job as discarded.
    fn discard(id: JobId, why: &str) -> Act;
    /// Gives back the leases of processes that are gone. SQLite only: one process at a time, so all but ours are.
    fn release_leases_of_others(worker: i32) -> u64;
    /// Removes history that ended before so long ago: whole days in Postgres, at most `limit` rows in SQLite.
    fn prune(keep: Duration, limit: i32) -> u64;
    /// Makes the daily partitions of `job_done` and `log` from yesterday to a week ahead. Nothing to do in SQLite.
    fn make_days() -> ();
    /// Takes or keeps a duty for `term`; `false` when somebody else has it.
    fn lead(duty: &str, holder: BootId, term: Duration) -> bool;
}

/// The row of a queue, made where it is missing.
pub async fn queue_id(tx: &mut Tx<'_>, name: &str) -> Result<i16, DbError> {
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

/// Pauses or resumes a queue; `false` when there is none of that name.
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

/// Says that the process of `boot` is there.
pub async fn see_worker(tx: &mut Tx<'_>, boot: BootId) -> Result<(), DbError> {
    let text = "UPDATE worker SET seen_at = $2 WHERE boot = $1";
    crate::on_either!(tx, c => { sqlx::query(text).bind(boot).bind(Timestamp::now()).execute(c).await?; });
    Ok(())
}

/// Removes the rows of processes that nobody has seen since `before` and that hold no lease, expired ones counted: whose
/// they were is said until somebody takes them over.
pub async fn prune_workers(tx: &mut Tx<'_>, before: Timestamp) -> Result<u64, DbError> {
    let text = "
        DELETE FROM worker WHERE seen_at < $1
        AND id NOT IN (SELECT claimed_by FROM job WHERE lane = 0 AND lease_token IS NOT NULL AND claimed_by IS NOT NULL)";
    Ok(crate::on_either!(tx, c => sqlx::query(text).bind(before).execute(c).await?.rows_affected()))
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

/// The word and text of a put-back that belong into the timeline; `None` for one that leaves no trace.
const fn noted(how: &PutBack) -> Option<&'static str> {
    match how {
        PutBack::Retry { .. } => Some("attempt_failed"),
        PutBack::Crash { .. } => Some("crashed"),
        PutBack::Hold { .. } => Some("held"),
        PutBack::Snooze { .. } | PutBack::Release | PutBack::Wait { .. } => None,
    }
}

/// What a put-back changes, alike in both stores.
struct Change<'a> {
    lane: super::state::Lane,
    wait: Duration,
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
            PutBack::Wait { reason, deadline } => {
                Self { lane: Lane::Waiting, wait: *deadline, reason: Some(reason), ..none }
            }
        }
    }

    /// What became of the job, where nobody called it off.
    fn became(&self) -> Became {
        if self.lane == super::state::Lane::Held { Became::Held } else { Became::AsMeant }
    }

    /// What the timeline says of it.
    fn detail(&self) -> Option<&'a str> {
        self.error.or(self.reason)
    }
}

fn unknown_number(what: &str, code: i16) -> DbError {
    DbError::new(DbErrorKind::Corrupt, format!("{what} {code} is not known to this program"))
}
