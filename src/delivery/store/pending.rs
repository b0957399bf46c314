//! What the store knows of deliveries whose trees were made before their rows.

use crate::ids::DeliveryId;
use crate::infra::db::{DbError, Tx};
use serde_json::json;
use std::collections::HashSet;

/// Which deliveries have a row, and which transactions may still bring one.
#[derive(Debug)]
pub struct Recorded {
    /// Those that have a row.
    pub ids: HashSet<DeliveryId>,
    /// Every transaction with a lower number has ended.
    pub ended: i64,
    /// Every transaction that had written anything before this was asked has a lower number.
    pub next: i64,
}

/// Asks for `ids`. A commit whose answer was lost may still be under way on a Postgres server, and has a number there; in
/// SQLite it ended with its process, or is overwritten in the log by the write that asking begins with.
pub async fn recorded(tx: &mut Tx<'_>, ids: &[DeliveryId]) -> Result<Recorded, DbError> {
    match tx {
        Tx::Pg(connection) => {
            let next = "SELECT pg_current_xact_id()::text::bigint";
            let next = sqlx::query_scalar(next).fetch_one(&mut **connection).await?;
            let ended = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint";
            let ended = sqlx::query_scalar(ended).fetch_one(&mut **connection).await?;
            // Later than the numbers, so that it sees whatever those that have ended committed.
            let text = "SELECT id FROM delivery WHERE id = ANY($1)";
            let found: Vec<DeliveryId> =
                sqlx::query_scalar(text).bind(ids).fetch_all(&mut **connection).await?;
            Ok(Recorded { ids: found.into_iter().collect(), ended, next })
        }
        Tx::Lite(connection) => {
            sqlx::query("UPDATE store SET id = id").execute(&mut **connection).await?;
            let text = "SELECT d.id FROM json_each($1) i CROSS JOIN delivery d ON d.id = unhex(i.value)";
            let ids: Vec<String> = ids.iter().map(|id| id.0.simple().to_string()).collect();
            let found: Vec<DeliveryId> =
                sqlx::query_scalar(text).bind(json!(ids).to_string()).fetch_all(&mut **connection).await?;
            Ok(Recorded { ids: found.into_iter().collect(), ended: i64::MAX, next: 0 })
        }
    }
}
