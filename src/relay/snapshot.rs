//! Snapshots: the rows of a published table as they are now, sent again. So consumers get rows that are older than the log.
//!
//! ```text
//!   headworks relay snapshot TABLE ─▶ job: page after page of rows, oldest first ─┬─ the last: done
//!                                                                                 └─ more: the next job goes on behind them
//! ```
//!
//! A page is read and appended under the lock of its topic. A change of a row is appended under that lock as well, and its row is
//! committed by then; so a row of a snapshot is never older than what the topic says of it before. A row that changes while the
//! snapshot goes on has an entry of its own.
//!
//! A job that is repeated after a crash sends the rows of its last [`PAGES`] again, as new messages with the same contents.

use super::job::Arguments;
use crate::delivery::{Core, Work, published_entry};
use crate::ids::{JobId, QueueName, Scope, Timestamp};
use crate::infra::db::{Db, DbError, Lane, Tx, View};
use crate::job::store::NewJob;
use crate::job::{self, Interrupted, Outcome, Priority};
use crate::load::query::{Order, Question, rows};
use crate::load::{self, Declared, Tables};
use crate::log::{self, TopicId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Rows that are appended in one commit.
const PAGE: u32 = 500;
/// Pages of one job.
const PAGES: usize = 20;
/// Rows are sent in this order.
const RECEIVED_AT: &str = "received_at";

/// How far a snapshot is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The table.
    pub snapshot_of: String,
    /// Rows received since then have entries of their own.
    pub until: Timestamp,
    /// Behind this place; `None` at the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Rows sent up to there.
    #[serde(default)]
    pub rows: u64,
}

/// Inserts the job of a snapshot.
///
/// # Errors
/// When the store fails.
pub async fn insert(tx: &mut Tx<'_>, snapshot: Snapshot, max_attempts: u16) -> Result<JobId, DbError> {
    let new = new_job(tx, snapshot, max_attempts).await?;
    let inserted = job::store::insert(tx, &[new]).await?;
    Ok(inserted.first().copied().ok_or(sqlx::Error::RowNotFound)?)
}

async fn new_job(tx: &mut Tx<'_>, snapshot: Snapshot, max_attempts: u16) -> Result<NewJob, DbError> {
    Ok(NewJob {
        queue: job::store::queue_row(tx, &QueueName::relay()).await?,
        priority: Priority::Normal,
        delivery_id: None,
        receipt_id: None,
        parent_id: None,
        retry_of: None,
        signals: None,
        max_attempts,
        delay: Duration::ZERO,
        args: serde_json::to_value(Arguments::Snapshot(snapshot)).map_err(DbError::corrupt)?,
    })
}

/// Sends the next pages of a snapshot.
///
/// # Errors
/// When the table is not published any more, or the store fails.
pub async fn send(core: &Core, mut snapshot: Snapshot) -> Result<Outcome<Work>, Interrupted> {
    let table = core.tables.table(&snapshot.snapshot_of).filter(|declared| declared.table.published);
    let table =
        table.ok_or_else(|| Interrupted::Failed(format!("no published table {}", snapshot.snapshot_of)))?;
    let topic = log::Topics::new(core.db.clone()).id(&load::topic(&table.table.name)).await?;
    for _ in 0..PAGES {
        let (db, tables, table, from) =
            (core.db.clone(), core.tables.clone(), Arc::clone(table), snapshot.clone());
        let sending = core.db.write(Lane::State, move |mut tx| {
            Box::pin(async move { page(&mut tx, &db, &tables, (topic, &table), from).await })
        });
        snapshot = sending.await?;
        if snapshot.after.is_none() {
            tracing::info!(table = snapshot.snapshot_of, rows = snapshot.rows, "a snapshot is in the log");
            let report = serde_json::json!({ "rows": snapshot.rows });
            return Ok(Outcome::Done(Work { report: Some(report), ..Work::default() }));
        }
    }
    let attempts = core.live.config().queue_limits(&QueueName::relay()).max_attempts;
    let next = core.db.write(Lane::State, move |mut tx| {
        Box::pin(async move { new_job(&mut tx, snapshot, attempts).await })
    });
    Ok(Outcome::Done(Work { children: vec![next.await?], ..Work::default() }))
}

/// Appends one page; returns how far the snapshot is then, without a place if that was the last one.
async fn page(
    tx: &mut Tx<'_>,
    db: &Db,
    tables: &Tables,
    (topic, table): (TopicId, &Arc<Declared>),
    from: Snapshot,
) -> Result<Snapshot, DbError> {
    log::lock(tx, topic).await?;
    let question = Question {
        until: Some(from.until),
        order: Some(Order { column: RECEIVED_AT.to_owned(), descending: false }),
        cursor: from.after.clone(),
        limit: PAGE,
        ..Question::default()
    };
    let read = rows(db, &Scope::All, tables, &from.snapshot_of, &question).await;
    let read = read.map_err(|error| match error {
        load::query::QueryError::Store(error) => error,
        other => DbError::corrupt(other),
    })?;
    let schema = load::current_schema(&mut db.reader(View::State).await?.tx(), table).await?;
    let schema = schema.ok_or_else(|| DbError::corrupt("the schema of the table is not registered"))?;
    let told = read.rows.iter().map(|row| load::snapshot(table, row));
    let entries: Vec<_> =
        told.map(|told| published_entry((topic, &table.table.name, schema), told)).collect();
    log::append(tx, &entries).await?;
    let rows = from.rows + entries.len() as u64;
    Ok(Snapshot { after: read.next, rows, ..from })
}
