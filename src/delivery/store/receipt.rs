//! Receipts with the states of their jobs.

use crate::ids::{ReceiptId, Timestamp};
use crate::infra::db::{DbError, Tx};
use crate::{on_either, sql};
use sqlx::QueryBuilder;

/// What the store knows of a receipt and all of its jobs.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct ReceiptFacts {
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// The key was known with another fingerprint.
    pub key_reused: bool,
    /// Number of the worst [`ReceiptState`](crate::delivery::ReceiptState) among its jobs; `None` if it has no job.
    pub worst_state: Option<i32>,
    /// Worst end among jobs whose history is gone.
    pub worst_outcome: Option<i16>,
    /// Whether one of its jobs has not ended.
    pub is_live: bool,
    /// Whether one of its jobs goes on without an operator.
    pub is_working: bool,
    /// When the last of its ended jobs ended.
    pub finished_at: Option<Timestamp>,
}

/// The states are those of [`ReceiptState`](crate::delivery::ReceiptState), best first. A job that was repeated does not
/// count; its repetition does.
pub const FACTS: &str = "
WITH every AS (
  SELECT id, retry_of, CASE lane WHEN 3 THEN 3 ELSE 2 END AS state, NULL AS finished_at FROM job WHERE receipt_id = $1
  UNION ALL
  SELECT id, retry_of, CASE outcome WHEN 0 THEN 0 WHEN 1 THEN 4 ELSE 1 END AS state, finished_at
  FROM job_done WHERE receipt_id = $1
), counting AS (
  SELECT state, finished_at FROM every WHERE id NOT IN (SELECT retry_of FROM every WHERE retry_of IS NOT NULL)
)
SELECT r.accepted_at, r.key_reused, r.worst_outcome, j.worst_state, j.is_live, j.is_working, j.finished_at
FROM receipt r
CROSS JOIN (SELECT max(state) AS worst_state, count(*) > count(finished_at) AS is_live,
                   count(CASE WHEN state = 2 THEN 1 END) > 0 AS is_working, max(finished_at) AS finished_at
            FROM counting) j
WHERE r.id = $1";

/// The facts of a receipt, for everybody who has the id.
pub async fn receipt_facts(tx: &mut Tx<'_>, id: ReceiptId) -> Result<Option<ReceiptFacts>, DbError> {
    Ok(sql!(tx, query_as(FACTS, id).fetch_optional)?)
}

/// The receipts among `ids` of which no job goes on without an operator.
pub async fn settled_receipts(tx: &mut Tx<'_>, ids: &[ReceiptId]) -> Result<Vec<ReceiptId>, DbError> {
    Ok(on_either!(tx, c => {
        let mut query = QueryBuilder::new("SELECT r.id FROM receipt r WHERE r.id IN (NULL");
        for id in ids {
            query.push(", ").push_bind(*id);
        }
        query.push(") AND NOT EXISTS (SELECT 1 FROM job j WHERE j.receipt_id = r.id AND j.lane <> 3)");
        query.build_query_scalar().persistent(false).fetch_all(c).await?
    }))
}

/// Locks a receipt until the end of the transaction, so that operators' acts on its jobs come one after the other.
pub async fn lock_receipt(tx: &mut Tx<'_>, id: ReceiptId) -> Result<(), DbError> {
    if let Tx::Pg(connection) = tx {
        let text = "SELECT 1 FROM receipt WHERE id = $1 FOR UPDATE";
        sqlx::query(text).bind(id).execute(&mut **connection).await?;
    }
    Ok(())
}

/// The sources of receipts.
pub async fn sources(tx: &mut Tx<'_>, ids: &[ReceiptId]) -> Result<Vec<(ReceiptId, String)>, DbError> {
    Ok(on_either!(tx, c => {
        let mut query = QueryBuilder::new("SELECT id, source FROM receipt WHERE id IN (NULL");
        for id in ids {
            query.push(", ").push_bind(*id);
        }
        query.push(")").build_query_as().fetch_all(c).await?
    }))
}
