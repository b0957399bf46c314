//! Reads of jobs, live and finished. Every one takes the caller's [`Scope`] first.

use super::select::select;
use super::unknown_number;
use crate::ids::{DeliveryId, JobId, ReceiptId, Scope, StoredKind, Timestamp};
use crate::infra::db::{DbError, Tx};
use crate::job::state::{Ended, Facts, State};
use crate::on_either;
use serde::Serialize;
use utoipa::ToSchema;

/// A job.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Job)]
pub struct JobView {
    /// Never used twice.
    pub id: JobId,
    /// State at the time of the answer.
    pub state: State,
    /// What it does; a number if this version does not know the kind.
    pub kind: StoredKind,
    /// Name of its queue.
    pub queue: String,
    /// 0 urgent, 1 normal, 2 low, 3 idle.
    pub priority: i16,
    /// Delivery it works on.
    pub delivery_id: Option<DeliveryId>,
    /// Receipt it counts in.
    pub receipt_id: Option<ReceiptId>,
    /// Job that made it.
    pub parent_id: Option<JobId>,
    /// Finished job it repeats.
    pub retry_of: Option<JobId>,
    /// Way in of its delivery, or of its receipt where it has no delivery.
    pub source: Option<String>,
    /// Coordinates of its delivery, as far as they are known; where it has none, the customer of its receipt.
    pub customer: Option<String>,
    /// See `customer`.
    pub category: Option<String>,
    /// See `customer`.
    #[serde(rename = "type")]
    pub type_: Option<String>,
    /// See `customer`.
    pub group: Option<String>,
    /// Runs that failed.
    pub attempt: i16,
    /// Module processes that died on it.
    pub crashes: i16,
    /// Leases that only expired.
    pub lost: i16,
    /// Failed runs it may have.
    pub max_attempts: i16,
    /// When it was queued.
    pub created_at: Timestamp,
    /// When it first ran.
    #[serde(rename = "started_at")]
    pub first_started_at: Option<Timestamp>,
    /// When it is due, or its wait ends; null once it has ended.
    pub run_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Why it waits or is held.
    pub wait_reason: Option<String>,
    /// Last error.
    pub last_error: Option<String>,
    /// How far it is, as its run said last: its `step` (`split`, `tree`; `expand`, `module`, `results`), and `rows` and
    /// `findings` so far where there are many.
    pub progress: Option<serde_json::Value>,
    /// What its run said of itself at the end.
    pub report: Option<serde_json::Value>,
}

/// Which jobs to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// In this state.
    pub state: Option<State>,
    /// Of this queue.
    pub queue: Option<String>,
    /// Came in this way.
    pub source: Option<String>,
    /// Of this customer.
    pub customer: Option<String>,
    /// Of this category.
    pub category: Option<String>,
    /// Of this type.
    pub type_: Option<String>,
    /// Of this group.
    pub group: Option<String>,
    /// Inserted since.
    pub since: Option<Timestamp>,
    /// Of this delivery.
    pub delivery_id: Option<DeliveryId>,
    /// Of this receipt.
    pub receipt_id: Option<ReceiptId>,
    /// Exactly this one.
    pub id: Option<JobId>,
    /// Repeats this one.
    pub retry_of: Option<JobId>,
    /// Only ids below this one: the cursor.
    pub before: Option<JobId>,
}

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    id: JobId,
    lane: Option<i16>,
    lease_until: Option<Timestamp>,
    outcome: Option<i16>,
    kind: i16,
    queue: String,
    priority: i16,
    delivery_id: Option<DeliveryId>,
    receipt_id: Option<ReceiptId>,
    parent_id: Option<JobId>,
    retry_of: Option<JobId>,
    source: Option<String>,
    customer: Option<String>,
    category: Option<String>,
    #[sqlx(rename = "type")]
    type_: Option<String>,
    grp: Option<String>,
    attempt: i16,
    crashes: i16,
    lost: i16,
    max_attempts: i16,
    created_at: Timestamp,
    first_started_at: Option<Timestamp>,
    run_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    wait_reason: Option<String>,
    last_error: Option<String>,
    progress: Option<sqlx::types::Json<serde_json::Value>>,
    report: Option<sqlx::types::Json<serde_json::Value>>,
    now: Timestamp,
}

pub(super) fn view(row: Row) -> Result<JobView, DbError> {
    let state = match (row.outcome, row.lane) {
        (Some(code), _) => {
            State::of_end(Ended::from_code(code).ok_or_else(|| unknown_number("outcome", code))?)
        }
        (None, lane) => State::of_live(
            Facts {
                lane: lane.unwrap_or(0),
                lease_until: row.lease_until,
                has_error: row.last_error.is_some(),
            },
            row.now,
        ),
    };
    Ok(JobView {
        id: row.id,
        state,
        kind: StoredKind::from_code(row.kind),
        queue: row.queue,
        priority: row.priority,
        delivery_id: row.delivery_id,
        receipt_id: row.receipt_id,
        parent_id: row.parent_id,
        retry_of: row.retry_of,
        source: row.source,
        customer: row.customer,
        category: row.category,
        type_: row.type_,
        group: row.grp,
        attempt: row.attempt,
        crashes: row.crashes,
        lost: row.lost,
        max_attempts: row.max_attempts,
        created_at: row.created_at,
        first_started_at: row.first_started_at,
        run_at: row.run_at,
        finished_at: row.finished_at,
        wait_reason: row.wait_reason,
        last_error: row.last_error,
        progress: row.progress.map(|json| json.0),
        report: row.report.map(|json| json.0),
    })
}

/// Jobs that match, newest first, at most `limit`.
pub async fn list(
    scope: &Scope,
    tx: &mut Tx<'_>,
    filter: &Filter,
    limit: u32,
) -> Result<Vec<JobView>, DbError> {
    select(scope, tx, filter, limit).await
}

/// One job, live or finished; `None` also where the scope may not see it.
pub async fn get(scope: &Scope, tx: &mut Tx<'_>, id: JobId) -> Result<Option<JobView>, DbError> {
    Ok(select(scope, tx, &Filter { id: Some(id), ..Filter::default() }, 1).await?.pop())
}

/// All jobs of a delivery, newest first.
pub async fn of_delivery(scope: &Scope, tx: &mut Tx<'_>, id: DeliveryId) -> Result<Vec<JobView>, DbError> {
    select(scope, tx, &Filter { delivery_id: Some(id), ..Filter::default() }, 1000).await
}

/// All jobs of a receipt, newest first.
pub async fn of_receipt(scope: &Scope, tx: &mut Tx<'_>, id: ReceiptId) -> Result<Vec<JobView>, DbError> {
    select(scope, tx, &Filter { receipt_id: Some(id), ..Filter::default() }, 1000).await
}

/// The job that repeats a finished one, if there is one. Both are of the same receipt and delivery.
pub async fn repetition(tx: &mut Tx<'_>, job: &JobView) -> Result<Option<JobId>, DbError> {
    let filter = Filter {
        retry_of: Some(job.id),
        delivery_id: job.delivery_id,
        receipt_id: job.receipt_id,
        ..Filter::default()
    };
    Ok(select(&Scope::All, tx, &filter, 1).await?.pop().map(|found| found.id))
}

/// Arguments of a finished job, for its repetition.
pub async fn arguments(tx: &mut Tx<'_>, id: JobId) -> Result<Option<serde_json::Value>, DbError> {
    let text = "SELECT args FROM job_done WHERE id = $1";
    let found: Option<sqlx::types::Json<serde_json::Value>> =
        on_either!(tx, c => sqlx::query_scalar(text).bind(id).fetch_optional(c).await?);
    Ok(found.map(|json| json.0))
}

/// A queue, and how full it is.
#[derive(Debug, Clone, Serialize, ToSchema, sqlx::FromRow)]
#[schema(as = Queue)]
pub struct QueueDepth {
    /// `kind[:module][@home]`.
    pub name: String,
    /// Its jobs are not claimed.
    pub paused: bool,
    /// Jobs that can be claimed.
    pub available: i64,
    /// Jobs that run.
    pub running: i64,
    /// Jobs that wait for their time and have not failed.
    pub scheduled: i64,
    /// Jobs that wait for another attempt after an error.
    pub retryable: i64,
    /// Jobs that wait for a signal.
    pub waiting: i64,
    /// Jobs that wait for an operator.
    pub held: i64,
    /// When the oldest job that can be claimed was queued.
    pub oldest_at: Option<Timestamp>,
    /// Since when the first of the jobs has waited that wait for an operator.
    pub oldest_held_at: Option<Timestamp>,
}

/// How full queues are, by name: those behind `after`, at most `limit`. Global: for operators.
pub async fn queue_depths(
    tx: &mut Tx<'_>,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<QueueDepth>, DbError> {
    let text = "
        SELECT q.name, q.paused,
               count(CASE WHEN j.lane = 0 AND j.lease_until IS NULL THEN 1 END) AS available,
               count(CASE WHEN j.lane = 0 AND j.lease_until IS NOT NULL THEN 1 END) AS running,
               count(CASE WHEN j.lane = 1 AND j.last_error IS NULL THEN 1 END) AS scheduled,
               count(CASE WHEN j.lane = 1 AND j.last_error IS NOT NULL THEN 1 END) AS retryable,
               count(CASE WHEN j.lane = 2 THEN 1 END) AS waiting,
               count(CASE WHEN j.lane = 3 THEN 1 END) AS held,
               min(CASE WHEN j.lane = 0 AND j.lease_until IS NULL THEN j.created_at END) AS oldest_at,
               min(CASE WHEN j.lane = 3 THEN j.run_at END) AS oldest_held_at
        FROM (SELECT id, name, paused FROM queue WHERE CAST($1 AS text) IS NULL OR name > $1 ORDER BY name LIMIT $2) q
        LEFT JOIN job j ON j.queue = q.id GROUP BY q.name, q.paused ORDER BY q.name";
    Ok(on_either!(tx, c => sqlx::query_as(text).bind(after).bind(limit).fetch_all(c).await?))
}

/// Jobs that wait for an operator for the same reason.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct HeldCount {
    /// Word of the reason: [`HoldReason::word`](crate::job::HoldReason::word).
    pub reason: Option<String>,
    /// How many.
    pub jobs: i64,
    /// Since when the first of them has waited.
    pub oldest_at: Option<Timestamp>,
}

/// Held jobs by reason. Global: for operators.
pub async fn held_counts(tx: &mut Tx<'_>) -> Result<Vec<HeldCount>, DbError> {
    let text = "
        SELECT wait_reason AS reason, count(*) AS jobs, min(run_at) AS oldest_at
        FROM job WHERE lane = 3 GROUP BY wait_reason ORDER BY wait_reason";
    Ok(on_either!(tx, c => sqlx::query_as(text).fetch_all(c).await?))
}

/// One row of the timeline.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct TimelineRow {
    /// When.
    pub at: Timestamp,
    /// Which job, where it concerns one.
    pub job_id: Option<JobId>,
    /// Stable word.
    pub event: String,
    /// Who did it; `None`: headworks.
    pub actor: Option<String>,
    /// What exactly.
    pub detail: Option<String>,
}

/// What happened to a delivery and its jobs that no other table can tell, oldest first.
pub async fn timeline_of_delivery(
    scope: &Scope,
    tx: &mut Tx<'_>,
    id: DeliveryId,
) -> Result<Vec<TimelineRow>, DbError> {
    let text = "
        SELECT t.at, t.job_id, t.event, t.actor, t.detail FROM timeline t JOIN delivery d ON d.id = t.delivery_id
        WHERE t.delivery_id = $1 AND (CAST($2 AS text) IS NULL OR d.customer = $2) ORDER BY t.id LIMIT 10000";
    Ok(on_either!(tx, c => sqlx::query_as(text).bind(id).bind(scope.customer()).fetch_all(c).await?))
}

/// What happened to a job that no other table can tell, oldest first. The caller may see the job, for it has read it.
pub async fn timeline_of_job(tx: &mut Tx<'_>, job: &JobView) -> Result<Vec<TimelineRow>, DbError> {
    let text =
        "SELECT at, job_id, event, actor, detail FROM timeline WHERE job_id = $1 ORDER BY id LIMIT 10000";
    Ok(on_either!(tx, c => sqlx::query_as(text).bind(job.id).fetch_all(c).await?))
}
