//! Limits of queues, and their rows in the store.

use super::retry::Backoff;
use super::store;
use crate::ids::{Kind, QueueName};
use crate::in_tx;
use crate::infra::db::{Db, DbError, Lane};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

/// Limits of a queue's jobs.
#[derive(Debug, Clone, Copy)]
pub struct QueueRules {
    /// Jobs that run at once in this process.
    pub concurrency: u32,
    /// Jobs claimed ahead of free slots; they wait in this process under their lease.
    pub prefetch: u32,
    /// Failed runs a job may have.
    pub max_attempts: u16,
    /// Work that may hang, above all a module process, is stopped after this time.
    pub soft_timeout: Duration,
    /// A run is stopped after this time, not counting time spent waiting for others.
    pub hard_timeout: Duration,
    /// Waits between runs.
    pub backoff: Backoff,
}

/// The row of a queue. A queue holds jobs of one kind, so an inserted job names its queue and not its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct QueueRow {
    /// Number of the row.
    #[serde(rename = "queue")]
    pub id: i16,
    /// Kind of every job in it.
    pub kind: Kind,
}

/// The rows of queues by name. Rows are created on first use and never change.
#[derive(Debug, Clone)]
pub struct Queues {
    db: Db,
    known: Arc<RwLock<HashMap<QueueName, QueueRow>>>,
}

impl Queues {
    /// An empty register over `db`.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self { db, known: Arc::default() }
    }

    /// The row of a queue.
    pub async fn row(&self, queue: &QueueName) -> Result<QueueRow, DbError> {
        if let Ok(known) = self.known.read()
            && let Some(&row) = known.get(queue)
        {
            return Ok(row);
        }
        let asked = queue.clone();
        let row = in_tx!(self.db, Lane::State, tx => store::queue_row(tx, &asked)).await?;
        if let Ok(mut known) = self.known.write() {
            known.insert(queue.clone(), row);
        }
        Ok(row)
    }
}
