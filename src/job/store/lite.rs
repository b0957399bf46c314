//! The statements for SQLite. Arrays travel as JSON, bytes in it as hex; the clock is this process's.

use super::{Change, Changed, Claim, End, Job, NewJob, Renewed, Won, micros, storable};
use crate::ids::{JobId, LeaseToken, Timestamp, hex};
use crate::infra::db::DbError;
use crate::job::state::Ended;
use serde_json::json;
use sqlx::SqliteConnection;
use std::time::Duration;

/// `count` fresh places at the end of the fetch lane; returns the one before the first.
async fn places(connection: &mut SqliteConnection, count: usize) -> Result<i64, DbError> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let text = "UPDATE counter SET value = value + $1 WHERE name = 'job_pos' RETURNING value - $1";
    Ok(sqlx::query_scalar(text).bind(count).fetch_one(connection).await?)
}

const INSERT: &str = "
INSERT INTO job (pos, queue, kind, priority, delivery_id, receipt_id, parent_id, retry_of, signals, max_attempts, lane,
                 created_at, run_at, args)
SELECT $2 + 1 + n.key, n.value->>'queue', n.value->>'kind', n.value->>'priority', unhex(n.value->>'delivery_id'),
       unhex(n.value->>'receipt_id'), n.value->>'parent_id', n.value->>'retry_of', n.value->>'signals',
       n.value->>'max_attempts', n.value->>'delay' > 0, $3, $3 + (n.value->>'delay'), n.value->>'args'
FROM json_each($1) n WHERE true ORDER BY n.key
RETURNING id";

pub async fn insert(connection: &mut SqliteConnection, jobs: &[NewJob]) -> Result<Vec<JobId>, DbError> {
    let rows: Vec<_> = jobs
        .iter()
        .map(|job| {
            json!({
                "queue": job.queue.id, "kind": job.queue.kind.code(), "priority": job.priority.code(),
                "delivery_id": job.delivery_id.map(|id| hex(id.0.as_bytes())), "receipt_id": job.receipt_id.map(|id| hex(id.0.as_bytes())),
                "parent_id": job.parent_id, "retry_of": job.retry_of, "signals": job.signals,
                "max_attempts": i16::try_from(job.max_attempts).unwrap_or(i16::MAX), "delay": micros(job.delay),
                "args": job.args.to_string(),
            })
        })
        .collect();
    let base = places(connection, jobs.len()).await?;
    let mut ids: Vec<JobId> = sqlx::query_scalar(INSERT)
        .bind(json!(rows).to_string())
        .bind(base)
        .bind(Timestamp::now())
        .fetch_all(connection)
        .await?;
    ids.sort_unstable();
    Ok(ids)
}

/// The cast keeps SQLite from looking at the value bound as LIMIT; otherwise it would prepare the statement again for each new value.
const CLAIM: &str = "
UPDATE job SET lease_token = $5, claimed_by = $6, lease_until = $7 + $8, lost = lost + (lease_until IS NOT NULL),
       first_started_at = coalesce(first_started_at, $7)
WHERE id IN (SELECT id FROM job INDEXED BY job_fetch
             WHERE lane = 0 AND queue = $1 AND priority = $2 AND pos > $3
               AND (lease_until IS NULL OR (lease_until < $7 AND $9))
               AND (SELECT NOT paused FROM queue WHERE queue.id = $1)
             ORDER BY pos LIMIT CAST($4 AS INTEGER))
RETURNING id, pos, queue, priority, delivery_id, receipt_id, retry_of, signals, attempt, crashes, lost, max_attempts, args, created_at,
          cancel_requested, lease_token";

pub async fn claim(connection: &mut SqliteConnection, claim: &Claim) -> Result<Vec<Job>, DbError> {
    let token = LeaseToken::fresh();
    let mut jobs = Vec::new();
    for want in &claim.wants {
        let got = sqlx::query_as(CLAIM)
            .bind(want.queue)
            .bind(want.priority)
            .bind(want.floor)
            .bind(want.count)
            .bind(token)
            .bind(claim.worker)
            .bind(Timestamp::now())
            .bind(micros(claim.lease))
            .bind(claim.take_expired)
            .fetch_all(&mut *connection)
            .await?;
        jobs.extend(got);
    }
    Ok(jobs)
}

const RENEW: &str = "
UPDATE job SET lease_until = $2 + $3, progress = coalesce(h.value->>'progress', progress)
FROM json_each($1) h WHERE job.id = h.value->>'id' AND job.lease_token = unhex(h.value->>'token')
RETURNING job.id, job.cancel_requested";

pub async fn renew(
    connection: &mut SqliteConnection,
    leases: &[(JobId, LeaseToken, Option<serde_json::Value>)],
    lease: Duration,
) -> Result<Vec<Renewed>, DbError> {
    let rows: Vec<_> = leases
        .iter()
        .map(|(id, token, progress)| {
            json!({ "id": id, "token": hex(token.0.as_bytes()), "progress": progress.as_ref().map(ToString::to_string) })
        })
        .collect();
    Ok(sqlx::query_as(RENEW)
        .bind(json!(rows).to_string())
        .bind(Timestamp::now())
        .bind(micros(lease))
        .fetch_all(connection)
        .await?)
}

pub async fn standing(
    connection: &mut SqliteConnection,
    leases: &[(JobId, LeaseToken)],
) -> Result<Vec<JobId>, DbError> {
    let text = "SELECT job.id FROM json_each($1) h CROSS JOIN job ON job.id = h.value->>'id'
                WHERE job.lease_token = unhex(h.value->>'token')";
    let rows: Vec<_> =
        leases.iter().map(|(id, token)| json!({ "id": id, "token": hex(token.0.as_bytes()) })).collect();
    Ok(sqlx::query_scalar(text).bind(json!(rows).to_string()).fetch_all(connection).await?)
}

/// A run that failed counts as an attempt; a job named twice ends once.
const END_COPY: &str = "
INSERT INTO job_done (id, finished_at, created_at, first_started_at, delivery_id, receipt_id, parent_id, retry_of, queue, kind,
                      priority, outcome, attempt, crashes, lost, max_attempts, lease_token, last_error, args, report)
SELECT job.id, $2, job.created_at, job.first_started_at, job.delivery_id, job.receipt_id, job.parent_id, job.retry_of,
       job.queue, job.kind, job.priority, e.value->>'outcome', job.attempt + (e.value->>'outcome' = 1), job.crashes, job.lost,
       job.max_attempts,
       job.lease_token, coalesce(e.value->>'error', job.last_error), job.args, e.value->>'report'
FROM json_each($1) e CROSS JOIN job ON job.id = e.value->>'id'
WHERE job.lease_token = unhex(e.value->>'token') GROUP BY job.id";

const END_REMOVE: &str = "
DELETE FROM job
WHERE id IN (SELECT job.id FROM json_each($1) e CROSS JOIN job ON job.id = e.value->>'id'
             WHERE job.lease_token = unhex(e.value->>'token'))
RETURNING id, signals";

pub async fn end(connection: &mut SqliteConnection, ends: &[End]) -> Result<Vec<Won>, DbError> {
    let rows: Vec<_> = ends
        .iter()
        .map(|end| {
            json!({
                "id": end.id, "token": hex(end.token.0.as_bytes()), "outcome": end.end.code(),
                "error": end.error.as_deref().map(storable), "report": end.report.as_ref().map(ToString::to_string),
            })
        })
        .collect();
    let rows = json!(rows).to_string();
    sqlx::query(END_COPY).bind(&rows).bind(Timestamp::now()).execute(&mut *connection).await?;
    Ok(sqlx::query_as(END_REMOVE).bind(&rows).fetch_all(connection).await?)
}

/// A wait (lane 2) takes a signal that was kept, and does not begin.
const CHANGE: &str = "
UPDATE job SET lane = CASE WHEN $3 = 2 AND signalled THEN 0 ELSE $3 END,
       wait_reason = CASE WHEN $3 = 2 AND signalled THEN NULL ELSE $7 END,
       signalled = signalled AND $3 <> 2,
       run_at = $4, attempt = attempt + $5, crashes = crashes + $6, last_error = coalesce($8, last_error), pos = $9,
       lease_token = NULL, lease_until = NULL, progress = NULL
WHERE id = $1 AND lease_token = $2 RETURNING delivery_id, crashes, cancel_requested";

pub async fn change(
    connection: &mut SqliteConnection,
    id: JobId,
    token: LeaseToken,
    change: &Change<'_>,
) -> Result<Option<Changed>, DbError> {
    let place = places(connection, 1).await? + 1;
    Ok(sqlx::query_as(CHANGE)
        .bind(id)
        .bind(token)
        .bind(change.lane.code())
        .bind(change.until.unwrap_or_else(|| Timestamp::now().after(change.wait)))
        .bind(change.attempts)
        .bind(change.crashes)
        .bind(change.reason.map(storable))
        .bind(change.error.map(storable))
        .bind(place)
        .fetch_optional(connection)
        .await?)
}

/// Moves the listed jobs to the end of lane 0, in the order listed.
async fn make_available(connection: &mut SqliteConnection, ids: &[JobId]) -> Result<u64, DbError> {
    if ids.is_empty() {
        return Ok(0);
    }
    let base = places(connection, ids.len()).await?;
    let text = "UPDATE job SET lane = 0, wait_reason = NULL, pos = $2 + 1 + n.key FROM json_each($1) n WHERE job.id = n.value";
    let listed = json!(ids).to_string();
    Ok(sqlx::query(text).bind(listed).bind(base).execute(connection).await?.rows_affected())
}

pub async fn promote(connection: &mut SqliteConnection, limit: i32) -> Result<u64, DbError> {
    let text = "SELECT id FROM job WHERE lane IN (1, 2) AND run_at <= $1 ORDER BY run_at LIMIT $2";
    let due: Vec<JobId> =
        sqlx::query_scalar(text).bind(Timestamp::now()).bind(limit).fetch_all(&mut *connection).await?;
    make_available(connection, &due).await
}

pub async fn signal(connection: &mut SqliteConnection, jobs: &[JobId]) -> Result<u64, DbError> {
    if jobs.is_empty() {
        return Ok(0);
    }
    let listed = json!(jobs).to_string();
    let text = "SELECT id FROM job WHERE lane = 2 AND id IN (SELECT value FROM json_each($1)) ORDER BY id";
    let waiting: Vec<JobId> = sqlx::query_scalar(text).bind(&listed).fetch_all(&mut *connection).await?;
    let text = "UPDATE job SET signalled = 1 WHERE lane <> 2 AND id IN (SELECT value FROM json_each($1))";
    sqlx::query(text).bind(&listed).execute(&mut *connection).await?;
    make_available(connection, &waiting).await
}

const END_UNLEASED: &str = "
INSERT INTO job_done (id, created_at, finished_at, first_started_at, delivery_id, receipt_id, parent_id, retry_of, queue, kind,
                      priority, outcome, attempt, crashes, lost, max_attempts, last_error, args, report)
SELECT id, created_at, $4, first_started_at, delivery_id, receipt_id, parent_id, retry_of, queue, kind, priority,
       $2, attempt, crashes, lost, max_attempts, coalesce($3, last_error), args, CASE WHEN lane = 3 THEN progress END
FROM job WHERE id = $1";

pub async fn move_unleased(
    connection: &mut SqliteConnection,
    id: JobId,
    end: Ended,
    why: Option<&str>,
) -> Result<Option<JobId>, DbError> {
    let copy = sqlx::query(END_UNLEASED).bind(id).bind(end.code()).bind(why.map(storable));
    copy.bind(Timestamp::now()).execute(&mut *connection).await?;
    let text = "DELETE FROM job WHERE id = $1 RETURNING signals";
    let signals: Option<Option<JobId>> = sqlx::query_scalar(text).bind(id).fetch_optional(connection).await?;
    Ok(signals.flatten())
}

pub async fn is_running(connection: &mut SqliteConnection, id: JobId) -> Result<Option<bool>, DbError> {
    let text = "SELECT coalesce(lease_until >= $2, 0) FROM job WHERE id = $1";
    Ok(sqlx::query_scalar(text).bind(id).bind(Timestamp::now()).fetch_optional(connection).await?)
}

pub async fn reset(connection: &mut SqliteConnection, id: JobId) -> Result<(), DbError> {
    let text = "UPDATE job SET crashes = 0, lost = 0, attempt = 0, progress = NULL WHERE id = $1";
    sqlx::query(text).bind(id).execute(&mut *connection).await?;
    make_available(connection, &[id]).await?;
    Ok(())
}

/// The worst end other than completed goes to the receipt before the rows that know it are deleted: failed, which has the
/// smallest number of them. A job that was repeated does not count; its repetition does.
const REMEMBER: &str = "
UPDATE receipt SET worst_outcome = min(coalesce(worst_outcome, gone.outcome), gone.outcome)
FROM (SELECT d.receipt_id, min(d.outcome) AS outcome FROM job_done d
      WHERE d.rowid IN (SELECT value FROM json_each($1)) AND d.outcome > 0 AND d.receipt_id IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM job r WHERE r.receipt_id = d.receipt_id AND r.retry_of = d.id)
        AND NOT EXISTS (SELECT 1 FROM job_done r WHERE r.receipt_id = d.receipt_id AND r.retry_of = d.id)
      GROUP BY d.receipt_id) gone
WHERE receipt.id = gone.receipt_id";

pub async fn prune(connection: &mut SqliteConnection, keep: Duration, limit: i32) -> Result<u64, DbError> {
    let text = "SELECT rowid FROM job_done WHERE finished_at < $1 ORDER BY finished_at LIMIT $2";
    let before = Timestamp::now().before(keep);
    let old: Vec<i64> = sqlx::query_scalar(text).bind(before).bind(limit).fetch_all(&mut *connection).await?;
    let listed = json!(old).to_string();
    sqlx::query(REMEMBER).bind(&listed).execute(&mut *connection).await?;
    let text = "DELETE FROM job_done WHERE rowid IN (SELECT value FROM json_each($1))";
    Ok(sqlx::query(text).bind(&listed).execute(connection).await?.rows_affected())
}
