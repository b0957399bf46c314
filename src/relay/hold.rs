//! Records that Kafka refuses for good: each is held as a job of kind `relay`, and the others go on. A gap in the log is held too:
//! releasing its job does nothing, and says that an operator has seen it.
//!
//! ```text
//!   refused alone ─▶ file in `blobs` ─▶ one commit: held job, row of relay_held ─▶ the position passes it
//!                                            │
//!              discard ◀────────────────────┤
//!              release ─▶ the job appends the record to the log again, with its message id
//! ```
//!
//! The file and the job are there before Kafka has the position behind the record. After a crash in between it is refused again, and
//! the row of `relay_held` says that it is held already.

use super::job::Arguments;
use super::record;
use super::store::{self, HeldRow};
use crate::delivery::{Core, Work};
use crate::ids::{QueueName, VolumeName};
use crate::in_tx;
use crate::infra::db::{Db, DbError, Lane, Tx, View};
use crate::infra::kafka::Record;
use crate::infra::volume::{BadSubPath, Durable, Source, SubPath, Volume};
use crate::job::store::NewJob;
use crate::job::{self, HoldReason, Interrupted, Outcome, Priority};
use crate::log::{self, Position, TopicId};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Longest file of a record that is read back.
const FILE_BYTES: u64 = 1 << 30;
/// Most files that are removed in one turn.
const ROUND: i64 = 100;

/// A record that was refused alone.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Its log topic.
    pub topic: TopicId,
    /// Name of that.
    pub name: String,
    /// Its entry.
    pub entry: Position,
    /// The record.
    pub record: Record,
    /// Why Kafka refuses it.
    pub why: String,
}

/// A record in a file.
#[derive(Debug, Serialize, Deserialize)]
struct Filed {
    /// Key, in base64.
    key: Option<String>,
    /// Headers as the entry has them.
    headers: BTreeMap<String, String>,
    /// Body, in base64.
    body: String,
}

/// A record that is held.
#[derive(Debug, Serialize, Deserialize)]
pub struct HeldRecord {
    /// The log topic.
    pub topic: String,
    /// The entry.
    pub entry: Position,
    /// The row of the file that the entry names, if it names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<u64>,
    /// Id of the message.
    pub message_id: String,
    /// The record, in volume `blobs`.
    pub file: String,
}

/// Entries that were pruned before they were copied.
#[derive(Debug, Serialize, Deserialize)]
pub struct Gap {
    /// The log topic.
    pub topic: String,
    /// The last entry that was copied.
    pub pruned_after: Position,
    /// The last one that was pruned.
    pub pruned_until: Position,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pruned_after, pruned_until, .. } = self;
        write!(
            f,
            "the entries after {pruned_after} up to {pruned_until} were pruned before they were copied to Kafka"
        )
    }
}

/// Why a record could not be held.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// Its file could not be written.
    #[error("a refused record could not be kept: {0}")]
    File(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] DbError),
}

/// Holds a record, unless it is held already. `max_attempts` is that of its queue.
///
/// # Errors
/// When its file or the job could not be written. Nothing passed it then.
pub async fn hold(
    db: &Db,
    blobs: &Arc<Volume>,
    refused: Refused,
    max_attempts: u16,
) -> Result<(), HoldError> {
    let message_id = record::message_id(&refused.record).to_owned();
    // An id is a name for the content, so the same record has the same file.
    let path = format!("relay/{}/{}.json", refused.name, message_id.replace(':', "-"));
    let path: SubPath = path.parse().map_err(|error: BadSubPath| HoldError::File(error.to_string()))?;
    let row = record::row(&refused.record);
    let arguments = HeldRecord {
        topic: refused.name.clone(),
        entry: refused.entry,
        row,
        message_id,
        file: path.to_string(),
    };
    let (volume, filed, name) = (Arc::clone(blobs), Filed::of(&refused.record), path.clone());
    let put = tokio::task::spawn_blocking(move || {
        let bytes = serde_json::to_vec(&filed).map_err(|error| error.to_string())?;
        volume.put(&name, Source::Bytes(&bytes), Durable::Now).map_err(|error| error.to_string())
    });
    put.await.map_err(|error| HoldError::File(error.to_string()))?.map_err(HoldError::File)?;
    let arguments = serde_json::to_value(Arguments::Record(arguments))
        .map_err(|error| HoldError::File(error.to_string()))?;
    let row = HeldRow {
        topic: refused.topic,
        entry: refused.entry,
        row: row.map_or(store::ENTRY, |row| i64::try_from(row).unwrap_or(i64::MAX)),
        file: Some(path.to_string()),
    };
    tracing::error!(topic = refused.name, entry = %refused.entry, "Kafka refuses a record, which is held: {}", refused.why);
    let held = (HoldReason::Refused, refused.why);
    in_tx!(db, Lane::State, tx => insert(tx, row, arguments, max_attempts, held)).await?;
    Ok(())
}

/// Holds a gap of a topic, unless it is held already.
///
/// # Errors
/// When the store fails. The gap is found again then.
pub async fn hold_gap(db: &Db, topic: TopicId, gap: Gap, max_attempts: u16) -> Result<(), DbError> {
    tracing::error!(topic = gap.topic, "{gap}");
    let row = HeldRow { topic, entry: gap.pruned_until, row: store::GAP, file: None };
    let held = (HoldReason::Gap, gap.to_string());
    let arguments = serde_json::to_value(Arguments::Gap(gap)).map_err(DbError::corrupt)?;
    in_tx!(db, Lane::State, tx => insert(tx, row, arguments, max_attempts, held)).await
}

async fn insert(
    tx: &mut Tx<'_>,
    row: HeldRow,
    arguments: serde_json::Value,
    max_attempts: u16,
    (reason, why): (HoldReason, String),
) -> Result<(), DbError> {
    if store::is_held(tx, &row).await? {
        return Ok(());
    }
    let job = NewJob {
        queue: job::store::queue_row(tx, &QueueName::relay()).await?,
        priority: Priority::Normal,
        delivery_id: None,
        receipt_id: None,
        parent_id: None,
        retry_of: None,
        signals: None,
        max_attempts,
        delay: Duration::ZERO,
        args: arguments,
    };
    let job = job::store::insert_held(tx, job, reason, &why).await?;
    store::hold(tx, &row, job).await
}

/// Appends a released record to the log again, at its end and with its message id.
///
/// # Errors
/// When its file cannot be read.
pub async fn append(core: &Core, record: HeldRecord) -> Result<Outcome<Work>, Interrupted> {
    let failed = |error: &dyn fmt::Display| Interrupted::Failed(error.to_string());
    let path: SubPath = record.file.parse().map_err(|error: BadSubPath| failed(&error))?;
    let blobs = core.volume(VolumeName::Blobs);
    let read = tokio::task::spawn_blocking(move || blobs.read(&path, FILE_BYTES)).await??;
    let filed: Filed = serde_json::from_slice(&read).map_err(|error| failed(&error))?;
    let topic = log::Topics::new(core.db.clone()).id(&record.topic).await?;
    let entry = filed.entry(topic, record.message_id).ok_or_else(|| failed(&"its file is damaged"))?;
    Ok(Outcome::Done(Work { entries: vec![entry], ..Work::default() }))
}

impl Filed {
    fn of(record: &Record) -> Self {
        Self {
            key: record.key.as_deref().map(|key| BASE64.encode(key)),
            headers: record::entry_headers(record),
            body: BASE64.encode(record.payload.as_deref().unwrap_or_default()),
        }
    }

    /// The entry that the record was, with the id it had.
    fn entry(self, topic: TopicId, message_id: String) -> Option<log::Entry> {
        let key = match self.key {
            Some(key) => Some(BASE64.decode(key).ok()?),
            None => None,
        };
        let mut headers = self.headers;
        headers.insert(record::ID.to_owned(), message_id);
        Some(log::Entry { topic, key, headers, body: BASE64.decode(&self.body).ok()? })
    }
}

/// Removes the files of records whose jobs have ended and are forgotten.
///
/// # Errors
/// When the store or the volume fails; the next turn goes on.
pub async fn forget((db, blobs): (Db, Arc<Volume>)) -> Result<(), DbError> {
    let ended = store::ended(&mut db.reader(View::State).await?.tx(), ROUND).await?;
    for row in ended {
        if let Some(file) = &row.file {
            let path: SubPath = file.parse().map_err(DbError::corrupt)?;
            let volume = Arc::clone(&blobs);
            let removed = tokio::task::spawn_blocking(move || volume.remove_file(&path)).await;
            removed.map_err(DbError::unavailable)?.map_err(DbError::unavailable)?;
        }
        in_tx!(db, Lane::State, tx => store::forget(tx, &row)).await?;
    }
    Ok(())
}
