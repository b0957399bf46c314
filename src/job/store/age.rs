//! Which ids jobs have that were queued in a span of time.
//!
//! Ids are given in the order in which jobs are queued, so no index by time is needed: a binary search over the ids finds where
//! a time begins. A job gets its id at most [`SKEW`] after the time it was queued at, which is when its transaction began.

use crate::ids::{JobId, Timestamp};
use crate::infra::db::{DbError, Tx};
use crate::sql;
use std::time::Duration;

/// Longest time from the beginning of a transaction to the insertion of its jobs.
const SKEW: Duration = Duration::from_secs(600);

/// Bounds of ids; without one there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The smallest.
    pub from: Option<JobId>,
    /// Less than this.
    pub before: Option<JobId>,
}

/// Bounds of the ids of all jobs that were queued at or after `since` and before `until`. Others may lie in them too.
pub async fn bounds(
    tx: &mut Tx<'_>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
) -> Result<Bounds, DbError> {
    let mut bounds = Bounds::default();
    if let Some(since) = since {
        bounds.from = Some(first_since(tx, since.before(SKEW)).await?);
    }
    if let Some(until) = until {
        bounds.before = Some(first_since(tx, until.after(SKEW)).await?);
    }
    Ok(bounds)
}

/// An id that has an older job right before it and a job of `at` or later right behind it.
async fn first_since(tx: &mut Tx<'_>, at: Timestamp) -> Result<JobId, DbError> {
    let (mut low, mut high) = extent(tx).await?;
    while low < high {
        let middle = low + (high - low) / 2;
        match next(tx, middle).await? {
            Some((id, queued)) if queued < at => low = id + 1,
            _ => high = middle,
        }
    }
    Ok(JobId(low))
}

/// The smallest id, and the one behind the largest.
async fn extent(tx: &mut Tx<'_>) -> Result<(i64, i64), DbError> {
    // Each in a subquery of its own: SQLite looks an extreme up in the index only if it is asked for nothing else.
    let text = "
        SELECT min(low), max(high) FROM (
          SELECT (SELECT min(id) FROM job) AS low, (SELECT max(id) FROM job) AS high
          UNION ALL SELECT (SELECT min(id) FROM job_done), (SELECT max(id) FROM job_done)) extremes";
    let (low, high): (Option<i64>, Option<i64>) = sql!(tx, query_as(text).fetch_one)?;
    Ok((low.unwrap_or(0), high.map_or(0, |high| high + 1)))
}

/// The first job from an id on, and when it was queued.
async fn next(tx: &mut Tx<'_>, id: i64) -> Result<Option<(i64, Timestamp)>, DbError> {
    let text = "
        SELECT id, created_at FROM (
          SELECT * FROM (SELECT id, created_at FROM job WHERE id >= $1 ORDER BY id LIMIT 1) live
          UNION ALL
          SELECT * FROM (SELECT id, created_at FROM job_done WHERE id >= $1 ORDER BY id LIMIT 1) done) either
        ORDER BY id LIMIT 1";
    Ok(sql!(tx, query_as(text, id).fetch_optional)?)
}
