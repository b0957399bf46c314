//! The statements for Postgres.

use super::{Change, Changed, Claim, End, Job, NewJob, Renewed, Won, micros, storable};
use crate::ids::{JobId, LeaseToken};
use crate::infra::db::{DbError, days};
use crate::job::state::Ended;
use sqlx::PgConnection;
use sqlx::types::Json;
use std::time::Duration;

const INSERT: &str = "
INSERT INTO job (queue, kind, priority, delivery_id, receipt_id, parent_id, retry_of, signals, max_attempts, lane, run_at, args)
SELECT queue, kind, priority, delivery_id, receipt_id, parent_id, retry_of, signals, max_attempts,
       CASE WHEN delay > 0 THEN 1 ELSE 0 END, now() + delay * interval '1 microsecond', args
FROM unnest($1::smallint[], $2::smallint[], $3::smallint[], $4::uuid[], $5::uuid[], $6::bigint[], $7::bigint[],
            $8::bigint[], $9::smallint[], $10::bigint[], $11::jsonb[]) WITH ORDINALITY
     AS n(queue, kind, priority, delivery_id, receipt_id, parent_id, retry_of, signals, max_attempts, delay, args, ord)
ORDER BY ord
RETURNING id";

pub async fn insert(connection: &mut PgConnection, jobs: &[NewJob]) -> Result<Vec<JobId>, DbError> {
    let column = |f: fn(&NewJob) -> i16| jobs.iter().map(f).collect::<Vec<_>>();
    let mut ids: Vec<JobId> = sqlx::query_scalar(INSERT)
        .bind(column(|j| j.queue.id))
        .bind(column(|j| j.queue.kind.code()))
        .bind(column(|j| j.priority.code()))
        .bind(jobs.iter().map(|j| j.delivery_id).collect::<Vec<_>>())
        .bind(jobs.iter().map(|j| j.receipt_id).collect::<Vec<_>>())
        .bind(jobs.iter().map(|j| j.parent_id).collect::<Vec<_>>())
        .bind(jobs.iter().map(|j| j.retry_of).collect::<Vec<_>>())
        .bind(jobs.iter().map(|j| j.signals).collect::<Vec<_>>())
        .bind(column(|j| i16::try_from(j.max_attempts).unwrap_or(i16::MAX)))
        .bind(jobs.iter().map(|j| micros(j.delay)).collect::<Vec<_>>())
        .bind(jobs.iter().map(|j| Json(&j.args)).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    // Ids are drawn in the order of `ord`; the order of RETURNING is not promised.
    ids.sort_unstable();
    Ok(ids)
}

/// `$8`: expired leases may be taken over, and the server has been up for a whole lease.
const CLAIM: &str = "
WITH want AS (
  SELECT w.queue, w.priority, w.floor, w.count
  FROM unnest($1::smallint[], $2::smallint[], $3::bigint[], $4::int[]) AS w(queue, priority, floor, count)
  JOIN queue q ON q.id = w.queue AND NOT q.paused
), got AS (
  SELECT j.id FROM want CROSS JOIN LATERAL (
    SELECT id FROM job
    WHERE lane = 0 AND queue = want.queue AND priority = want.priority AND pos > want.floor
      AND (lease_until IS NULL
           OR (lease_until < now() AND $8 AND pg_postmaster_start_time() < now() - $7 * interval '1 microsecond'))
    ORDER BY pos LIMIT want.count FOR UPDATE SKIP LOCKED) j
)
UPDATE job SET lease_token = $5, claimed_by = $6, lease_until = now() + $7 * interval '1 microsecond',
       lost = job.lost + (job.lease_until IS NOT NULL)::int::smallint,
       first_started_at = coalesce(job.first_started_at, now())
FROM got WHERE job.id = got.id
RETURNING job.id, job.pos, job.queue, job.priority, job.delivery_id, job.receipt_id, job.retry_of, job.signals, job.attempt,
          job.crashes, job.lost, job.max_attempts, job.args, job.created_at, job.cancel_requested, job.lease_token";

pub async fn claim(connection: &mut PgConnection, claim: &Claim) -> Result<Vec<Job>, DbError> {
    Ok(sqlx::query_as(CLAIM)
        .bind(claim.wants.iter().map(|w| w.queue).collect::<Vec<_>>())
        .bind(claim.wants.iter().map(|w| w.priority).collect::<Vec<_>>())
        .bind(claim.wants.iter().map(|w| w.floor).collect::<Vec<_>>())
        .bind(claim.wants.iter().map(|w| w.count).collect::<Vec<_>>())
        .bind(LeaseToken::fresh())
        .bind(claim.worker)
        .bind(micros(claim.lease))
        .bind(claim.take_expired)
        .fetch_all(connection)
        .await?)
}

const RENEW: &str = "
WITH held AS (
  SELECT id, token, progress FROM unnest($1::bigint[], $2::uuid[], $3::jsonb[]) AS h(id, token, progress) ORDER BY id
), mine AS (
  SELECT job.id, held.progress FROM held JOIN job ON job.id = held.id AND job.lease_token = held.token
  FOR UPDATE OF job SKIP LOCKED
)
UPDATE job SET lease_until = now() + $4 * interval '1 microsecond', progress = coalesce(mine.progress, job.progress)
FROM mine WHERE job.id = mine.id RETURNING job.id, job.cancel_requested";

pub async fn renew(
    connection: &mut PgConnection,
    leases: &[(JobId, LeaseToken, Option<serde_json::Value>)],
    lease: Duration,
) -> Result<Vec<Renewed>, DbError> {
    Ok(sqlx::query_as(RENEW)
        .bind(leases.iter().map(|h| h.0).collect::<Vec<_>>())
        .bind(leases.iter().map(|h| h.1).collect::<Vec<_>>())
        .bind(leases.iter().map(|h| h.2.as_ref().map(Json)).collect::<Vec<_>>())
        .bind(micros(lease))
        .fetch_all(connection)
        .await?)
}

pub async fn standing(
    connection: &mut PgConnection,
    leases: &[(JobId, LeaseToken)],
) -> Result<Vec<JobId>, DbError> {
    let text = "SELECT job.id FROM unnest($1::bigint[], $2::uuid[]) AS h(id, token)
                JOIN job ON job.id = h.id AND job.lease_token = h.token";
    Ok(sqlx::query_scalar(text)
        .bind(leases.iter().map(|h| h.0).collect::<Vec<_>>())
        .bind(leases.iter().map(|h| h.1).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?)
}

/// A run that failed counts as an attempt. Key and token, nothing else: a further predicate makes the planner choose a worse index (jobs.md 0.8).
const END: &str = "
WITH t AS (
  SELECT id, token, outcome, error, report
  FROM unnest($1::bigint[], $2::uuid[], $3::smallint[], $4::text[], $5::jsonb[]) AS t(id, token, outcome, error, report)
  ORDER BY id
), d AS (
  DELETE FROM job USING t WHERE job.id = t.id AND job.lease_token = t.token
  RETURNING job.id, job.created_at, job.first_started_at, job.delivery_id, job.receipt_id, job.parent_id, job.retry_of,
            job.queue, job.kind, job.priority, job.attempt, job.crashes, job.lost, job.max_attempts, job.lease_token,
            job.last_error, job.args, job.signals, t.outcome, t.error, t.report
), h AS (
  INSERT INTO job_done (id, created_at, first_started_at, delivery_id, receipt_id, parent_id, retry_of, queue, kind, priority,
                        outcome, attempt, crashes, lost, max_attempts, lease_token, last_error, args, report)
  SELECT id, created_at, first_started_at, delivery_id, receipt_id, parent_id, retry_of, queue, kind, priority,
         outcome, attempt + (outcome = 1)::int::smallint, crashes, lost, max_attempts, lease_token,
         coalesce(error, last_error), args, report FROM d
)
SELECT id, signals FROM d";

pub async fn end(connection: &mut PgConnection, ends: &[End]) -> Result<Vec<Won>, DbError> {
    Ok(sqlx::query_as(END)
        .bind(ends.iter().map(|e| e.id).collect::<Vec<_>>())
        .bind(ends.iter().map(|e| e.token).collect::<Vec<_>>())
        .bind(ends.iter().map(|e| e.end.code()).collect::<Vec<_>>())
        .bind(ends.iter().map(|e| e.error.as_deref().map(storable)).collect::<Vec<_>>())
        .bind(ends.iter().map(|e| e.report.as_ref().map(Json)).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?)
}

/// Every case keeps the same shape: fenced by id and token, lease cleared, and a fresh `pos` where it enters lane 0. A wait
/// (lane 2) takes a signal that was kept, and does not begin.
const CHANGE: &str = "
UPDATE job SET lane = CASE WHEN $3 = 2 AND signalled THEN 0 ELSE $3 END,
       wait_reason = CASE WHEN $3 = 2 AND signalled THEN NULL ELSE $7 END,
       signalled = signalled AND $3 <> 2,
       run_at = coalesce($9, now() + $4 * interval '1 microsecond'), attempt = attempt + $5, crashes = crashes + $6,
       last_error = coalesce($8, last_error), pos = nextval('job_pos'),
       lease_token = NULL, lease_until = NULL, progress = NULL
WHERE id = $1 AND lease_token = $2 RETURNING delivery_id, crashes, cancel_requested";

pub async fn change(
    connection: &mut PgConnection,
    id: JobId,
    token: LeaseToken,
    change: &Change<'_>,
) -> Result<Option<Changed>, DbError> {
    Ok(sqlx::query_as(CHANGE)
        .bind(id)
        .bind(token)
        .bind(change.lane.code())
        .bind(micros(change.wait))
        .bind(change.attempts)
        .bind(change.crashes)
        .bind(change.reason.map(storable))
        .bind(change.error.map(storable))
        .bind(change.until)
        .fetch_optional(connection)
        .await?)
}

pub async fn promote(connection: &mut PgConnection, limit: i32) -> Result<u64, DbError> {
    // The CTE keeps the planner from running the limited part more than once.
    let text = "
        WITH due AS (SELECT id FROM job WHERE lane IN (1, 2) AND run_at <= now() ORDER BY run_at LIMIT $1
                     FOR UPDATE SKIP LOCKED)
        UPDATE job SET lane = 0, pos = nextval('job_pos'), wait_reason = NULL FROM due WHERE job.id = due.id";
    Ok(sqlx::query(text).bind(limit).execute(connection).await?.rows_affected())
}

/// Two statements, because the second must see rows as they are once their locks are ours: a wait may begin in between.
pub async fn signal(connection: &mut PgConnection, jobs: &[JobId]) -> Result<u64, DbError> {
    if jobs.is_empty() {
        return Ok(0);
    }
    let lock = "SELECT id FROM job WHERE id = ANY($1) ORDER BY id FOR UPDATE";
    let live: Vec<JobId> = sqlx::query_scalar(lock).bind(jobs).fetch_all(&mut *connection).await?;
    if live.is_empty() {
        return Ok(0);
    }
    // Of a job that does not wait no indexed column changes.
    let text = "
        WITH old AS (SELECT id, lane = 2 AS waits FROM job WHERE id = ANY($1)), new AS (
          UPDATE job SET signalled = NOT old.waits,
                 lane = CASE WHEN old.waits THEN 0 ELSE job.lane END,
                 pos = CASE WHEN old.waits THEN nextval('job_pos') ELSE job.pos END,
                 wait_reason = CASE WHEN old.waits THEN NULL ELSE job.wait_reason END
          FROM old WHERE job.id = old.id RETURNING old.waits)
        SELECT count(*) FROM new WHERE waits";
    let woken: i64 = sqlx::query_scalar(text).bind(live).fetch_one(connection).await?;
    Ok(u64::try_from(woken).unwrap_or(0))
}

/// Moves a job without a valid lease to the history.
const END_UNLEASED: &str = "
WITH d AS (
  DELETE FROM job WHERE id = $1
  RETURNING id, created_at, first_started_at, delivery_id, receipt_id, parent_id, retry_of, queue, kind, priority, attempt,
            crashes, lost, max_attempts, last_error, args, signals, CASE WHEN lane = 3 THEN progress END AS report
), h AS (
  INSERT INTO job_done (id, created_at, first_started_at, delivery_id, receipt_id, parent_id, retry_of, queue, kind, priority,
                        outcome, attempt, crashes, lost, max_attempts, last_error, args, report)
  SELECT id, created_at, first_started_at, delivery_id, receipt_id, parent_id, retry_of, queue, kind, priority,
         $2, attempt, crashes, lost, max_attempts, coalesce($3, last_error), args, report FROM d
)
SELECT signals FROM d WHERE signals IS NOT NULL";

pub async fn move_unleased(
    connection: &mut PgConnection,
    id: JobId,
    end: Ended,
    why: Option<&str>,
) -> Result<Option<JobId>, DbError> {
    let query = sqlx::query_scalar(END_UNLEASED).bind(id).bind(end.code()).bind(why.map(storable));
    Ok(query.fetch_optional(connection).await?)
}

pub async fn is_running(connection: &mut PgConnection, id: JobId) -> Result<Option<bool>, DbError> {
    let text = "SELECT coalesce(lease_until >= now(), false) FROM job WHERE id = $1 FOR UPDATE";
    Ok(sqlx::query_scalar(text).bind(id).fetch_optional(connection).await?)
}

pub async fn reset(connection: &mut PgConnection, id: JobId) -> Result<(), DbError> {
    let text = "UPDATE job SET lane = 0, pos = nextval('job_pos'), wait_reason = NULL, progress = NULL, crashes = 0, lost = 0,
                attempt = 0 WHERE id = $1";
    sqlx::query(text).bind(id).execute(connection).await?;
    Ok(())
}

/// The worst end other than completed goes to the receipt before the day that knows it is dropped: failed, which has the
/// smallest number of them. A job that was repeated does not count; its repetition does.
const REMEMBER: &str = "
UPDATE receipt SET worst_outcome = least(receipt.worst_outcome, gone.outcome)
FROM (SELECT d.receipt_id, min(d.outcome) AS outcome FROM job_done d
      WHERE d.finished_at < $1 AND d.outcome > 0 AND d.receipt_id IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM job r WHERE r.receipt_id = d.receipt_id AND r.retry_of = d.id)
        AND NOT EXISTS (SELECT 1 FROM job_done r WHERE r.receipt_id = d.receipt_id AND r.retry_of = d.id)
      GROUP BY d.receipt_id) gone
WHERE receipt.id = gone.receipt_id";

pub async fn prune(connection: &mut PgConnection, keep: Duration, _limit: i32) -> Result<u64, DbError> {
    let text = "SELECT date_trunc('day', now() - $1 * interval '1 microsecond', 'UTC')";
    let before: crate::ids::Timestamp =
        sqlx::query_scalar(text).bind(micros(keep)).fetch_one(&mut *connection).await?;
    sqlx::query(REMEMBER).bind(before).execute(&mut *connection).await?;
    days::drop_before(connection, "job_done", before).await
}
