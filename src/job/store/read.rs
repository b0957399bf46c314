//! Reads of jobs, live and finished. Every one takes the caller's [`Scope`] first.

use super::select::{plan, select};
use crate::ids::{DeliveryId, JobId, ReceiptId, Scope, StoredKind, Timestamp};
use crate::infra::db::{DbError, Tx};
use crate::job::state::{Facts, State};
use crate::{on_either, sql};
use serde::Serialize;
use sqlx::QueryBuilder;
use std::borrow::Cow;
use utoipa::ToSchema;

/// A job.
#[derive(Debug, Clone, Serialize, ToSchema, sqlx::FromRow)]
#[schema(as = Job)]
pub struct JobView {
    /// Never used twice.
    pub id: JobId,
    /// State at the time of the answer.
    #[sqlx(flatten, try_from = "Facts")]
    pub state: State,
    /// What it does; a number if this version does not know the kind.
    #[sqlx(try_from = "i16")]
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
    /// Source of its delivery, or of its receipt if it has no delivery.
    pub source: Option<String>,
    /// Coordinates of its delivery, as far as they are known; without a delivery, the customer of its receipt.
    pub customer: Option<String>,
    /// See `customer`.
    pub category: Option<String>,
    /// See `customer`.
    #[serde(rename = "type")]
    #[sqlx(rename = "type")]
    pub type_: Option<String>,
    /// See `customer`.
    #[sqlx(rename = "grp")]
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
    /// Progress its run reported last: its `step` (`split`, `tree`; `expand`, `module`, `results`), and `rows` and
    /// `findings` so far where there are many.
    #[sqlx(json(nullable))]
    pub progress: Option<serde_json::Value>,
    /// What its run reported at the end, or before it was held.
    #[sqlx(json(nullable))]
    pub report: Option<serde_json::Value>,
}

/// Which jobs to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// In this state.
    pub state: Option<State>,
    /// Of this queue.
    pub queue: Option<String>,
    /// Of this source.
    pub source: Option<String>,
    /// Of this customer.
    pub customer: Option<String>,
    /// Of this category.
    pub category: Option<String>,
    /// Of this type.
    pub type_: Option<String>,
    /// Of this group.
    pub group: Option<String>,
    /// Queued at or after this.
    pub since: Option<Timestamp>,
    /// Queued before this.
    pub until: Option<Timestamp>,
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

/// Jobs that match, newest first, at most `limit`.
pub async fn list(
    scope: &Scope,
    tx: &mut Tx<'_>,
    filter: &Filter,
    limit: u32,
) -> Result<Vec<JobView>, DbError> {
    select(scope, tx, filter, limit).await
}

/// How the store would find the jobs of [`list`], one line per step.
pub async fn plan_of_list(
    scope: &Scope,
    tx: &mut Tx<'_>,
    filter: &Filter,
    limit: u32,
) -> Result<Vec<String>, DbError> {
    plan(scope, tx, filter, limit).await
}

/// One job, live or finished; `None` also where the scope may not see it.
pub async fn get(scope: &Scope, tx: &mut Tx<'_>, id: JobId) -> Result<Option<JobView>, DbError> {
    Ok(select(scope, tx, &Filter { id: Some(id), ..Filter::default() }, 1).await?.pop())
}

/// The jobs among `ids` that go on without an operator.
pub async fn unsettled(tx: &mut Tx<'_>, ids: &[JobId]) -> Result<Vec<JobId>, DbError> {
    Ok(on_either!(tx, c => {
        let mut query = QueryBuilder::new("SELECT id FROM job WHERE lane <> 3 AND id IN (NULL");
        for id in ids {
            query.push(", ").push_bind(*id);
        }
        query.push(")").build_query_scalar().persistent(false).fetch_all(c).await?
    }))
}

/// All jobs of a delivery, newest first.
pub async fn of_delivery(scope: &Scope, tx: &mut Tx<'_>, id: DeliveryId) -> Result<Vec<JobView>, DbError> {
    select(scope, tx, &Filter { delivery_id: Some(id), ..Filter::default() }, 1000).await
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
    let found: Option<sqlx::types::Json<_>> = sql!(tx, query_scalar(text, id).fetch_optional)?;
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
    /// Since when the oldest held job has waited.
    pub oldest_held_at: Option<Timestamp>,
}

/// How full queues are, by name: those behind `after`, at most `limit`. Global: for operators.
pub async fn queue_depths(
    tx: &mut Tx<'_>,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<QueueDepth>, DbError> {
    // Counted in one pass, whatever the number of queues.
    let text = "
        SELECT q.name, q.paused, COALESCE(j.available, 0) AS available, COALESCE(j.running, 0) AS running,
               COALESCE(j.scheduled, 0) AS scheduled, COALESCE(j.retryable, 0) AS retryable,
               COALESCE(j.waiting, 0) AS waiting, COALESCE(j.held, 0) AS held, j.oldest_at, j.oldest_held_at
        FROM (SELECT id, name, paused FROM queue WHERE CAST($1 AS text) IS NULL OR name > $1 ORDER BY name LIMIT $2) q
        LEFT JOIN (
          SELECT queue,
                 count(CASE WHEN lane = 0 AND lease_until IS NULL THEN 1 END) AS available,
                 count(CASE WHEN lane = 0 AND lease_until IS NOT NULL THEN 1 END) AS running,
                 count(CASE WHEN lane = 1 AND last_error IS NULL THEN 1 END) AS scheduled,
                 count(CASE WHEN lane = 1 AND last_error IS NOT NULL THEN 1 END) AS retryable,
                 count(CASE WHEN lane = 2 THEN 1 END) AS waiting,
                 count(CASE WHEN lane = 3 THEN 1 END) AS held,
                 min(CASE WHEN lane = 0 AND lease_until IS NULL THEN created_at END) AS oldest_at,
                 min(CASE WHEN lane = 3 THEN run_at END) AS oldest_held_at
          FROM job GROUP BY queue) j ON j.queue = q.id
        ORDER BY q.name";
    Ok(sql!(tx, query_as(text, after, limit).fetch_all)?)
}

/// Jobs that wait for an operator for the same reason.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct HeldCount {
    /// Word of the reason: [`HoldReason::word`](crate::job::HoldReason::word).
    pub reason: Option<String>,
    /// How many.
    pub jobs: i64,
    /// Since when the oldest of them has waited.
    pub oldest_at: Option<Timestamp>,
}

/// Held jobs by reason. Global: for operators.
pub async fn held_counts(tx: &mut Tx<'_>) -> Result<Vec<HeldCount>, DbError> {
    let text = "
        SELECT wait_reason AS reason, count(*) AS jobs, min(run_at) AS oldest_at
        FROM job WHERE lane = 3 GROUP BY wait_reason ORDER BY wait_reason";
    Ok(sql!(tx, query_as(text).fetch_all)?)
}

/// Jobs held for a reason that is a [rejection](crate::job::HoldReason::is_rejection), since before `before`, and their
/// deliveries; oldest first, at most `limit`. Global: for the keeper.
pub async fn rejections(
    tx: &mut Tx<'_>,
    before: Timestamp,
    limit: i32,
) -> Result<Vec<(JobId, Option<DeliveryId>)>, DbError> {
    Ok(sql!(tx, query_as(REJECTIONS, before, limit).fetch_all)?)
}

const REJECTIONS: &str = "
SELECT id, delivery_id FROM job
WHERE lane = 3 AND run_at < $1 AND wait_reason IN ('partial_message', 'encrypted', 'empty', 'bounce', 'rejected')
ORDER BY id LIMIT $2";

/// Something that happened to a delivery or job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema, sqlx::FromRow)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// Stable word.
    #[schema(value_type = String)]
    #[sqlx(try_from = "String")]
    pub event: Cow<'static, str>,
    /// Which job, where it concerns one.
    pub job_id: Option<JobId>,
    /// Name of the key that did it; null: headworks.
    pub actor: Option<String>,
    /// The details.
    pub detail: Option<String>,
}

/// What happened to a delivery and its jobs and is in no other table, oldest first.
pub async fn timeline_of_delivery(
    scope: &Scope,
    tx: &mut Tx<'_>,
    id: DeliveryId,
) -> Result<Vec<Event>, DbError> {
    let text = "
        SELECT t.at, t.job_id, t.event, t.actor, t.detail FROM timeline t JOIN delivery d ON d.id = t.delivery_id
        WHERE t.delivery_id = $1 AND (CAST($2 AS text) IS NULL OR d.customer = $2) ORDER BY t.id LIMIT 10000";
    Ok(sql!(tx, query_as(text, id, scope.customer()).fetch_all)?)
}

/// What happened to a job and is in no other table, oldest first. The caller has read the job, so it may see it.
pub async fn timeline_of_job(tx: &mut Tx<'_>, job: &JobView) -> Result<Vec<Event>, DbError> {
    let text =
        "SELECT at, job_id, event, actor, detail FROM timeline WHERE job_id = $1 ORDER BY id LIMIT 10000";
    Ok(sql!(tx, query_as(text, job.id).fetch_all)?)
}

#[cfg(test)]
mod tests {
    use super::REJECTIONS;
    use crate::job::HoldReason;

    #[test]
    fn the_statement_names_every_reason_that_is_a_rejection_and_no_other() {
        for reason in HoldReason::ALL {
            let named = REJECTIONS.contains(&format!("'{}'", reason.word()));
            assert_eq!(named, reason.is_rejection(), "{}", reason.word());
        }
    }
}
