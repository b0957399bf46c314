//! The floor on SQLite: one connection, the core's statements, one transaction per group. No queue, no savepoints.

use super::hands::{Claimed, LEASE};
use super::statement;
use headworks::ids::{JobId, LeaseToken, Timestamp};
use headworks::job::{Kind, Priority};
use serde_json::json;
use sqlx::{Executor, Row, SqliteConnection};

/// One bare connection.
pub struct BareLite {
    pub connection: SqliteConnection,
    pub queue: i16,
    pub worker: i32,
    /// Members of one transaction: as many as callers wait at the core.
    pub group: usize,
}

impl BareLite {
    /// One group of inserts, made durable.
    pub async fn insert(&mut self, batch: usize) -> anyhow::Result<()> {
        self.begin("FULL").await?;
        for _ in 0..self.group {
            let rows: Vec<_> = (0..batch).map(|_| self.row()).collect();
            let base: i64 = sqlx::query_scalar(
                "UPDATE counter SET value = value + $1 WHERE name = 'job_pos' RETURNING value - $1",
            )
            .bind(i64::try_from(batch)?)
            .fetch_one(&mut self.connection)
            .await?;
            sqlx::query(statement::sqlite("INSERT")?)
                .bind(json!(rows).to_string())
                .bind(base)
                .bind(Timestamp::now())
                .fetch_all(&mut self.connection)
                .await?;
        }
        self.connection.execute("COMMIT").await?;
        Ok(())
    }

    fn row(&self) -> serde_json::Value {
        let id = || uuid::Uuid::now_v7().simple().to_string();
        json!({
            "queue": self.queue, "kind": Kind::Parse.code(), "priority": Priority::Normal.code(),
            "delivery_id": id(), "receipt_id": id(), "parent_id": null, "retry_of": null, "signals": null,
            "max_attempts": 5, "delay": 0, "args": "{}",
        })
    }

    /// One group of claims; the core does not fsync those either.
    pub async fn claim(&mut self, floor: i64, batch: usize) -> anyhow::Result<Claimed> {
        self.begin("NORMAL").await?;
        let mut claimed = Vec::new();
        for _ in 0..self.group {
            let rows = sqlx::query(statement::sqlite("CLAIM")?)
                .bind(self.queue)
                .bind(Priority::Normal.code())
                .bind(floor)
                .bind(i64::try_from(batch)?)
                .bind(LeaseToken::fresh())
                .bind(self.worker)
                .bind(Timestamp::now())
                .bind(i64::try_from(LEASE.as_micros())?)
                .bind(true)
                .fetch_all(&mut self.connection)
                .await?;
            for row in rows {
                claimed.push((row.try_get("id")?, row.try_get("lease_token")?, row.try_get("pos")?));
            }
        }
        self.connection.execute("COMMIT").await?;
        Ok(Claimed::of(&claimed))
    }

    /// One group of ends, made durable.
    pub async fn end(&mut self, leases: &[(JobId, LeaseToken)], batch: usize) -> anyhow::Result<usize> {
        self.begin("FULL").await?;
        let mut ended = 0;
        for member in leases.chunks(batch) {
            let rows: Vec<_> = member
                .iter()
                .map(|(id, token)| {
                    json!({ "id": id, "token": token.0.simple().to_string(), "outcome": 0, "error": null, "report": null })
                })
                .collect();
            let rows = json!(rows).to_string();
            sqlx::query(statement::sqlite("END_COPY")?)
                .bind(&rows)
                .bind(Timestamp::now())
                .execute(&mut self.connection)
                .await?;
            let removed = sqlx::query(statement::sqlite("END_REMOVE")?).bind(&rows);
            ended += removed.fetch_all(&mut self.connection).await?.len();
        }
        self.connection.execute("COMMIT").await?;
        Ok(ended)
    }

    async fn begin(&mut self, synchronous: &'static str) -> anyhow::Result<()> {
        let pragma =
            if synchronous == "FULL" { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" };
        self.connection.execute(pragma).await?;
        self.connection.execute("BEGIN IMMEDIATE").await?;
        Ok(())
    }
}
