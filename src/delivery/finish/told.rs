//! What a commit tells the log of published rows: entry by entry, and of a large load as one file.
//!
//! ```text
//!   add, add, … ─┬─ few: entries, in memory
//!                └─ many: a scratch file ─▶ finish: note ─▶ file in `blobs`, durable ─▶ one entry that names it
//! ```
//!
//! The file is made before the commit, so an entry never names one that is not there. If the commit fails, its files are removed; if
//! nobody knows, or after a crash, [`sweep_files`] removes them later: no entry names them by then.

use super::Entry;
use crate::ids::{JobId, Timestamp};
use crate::in_tx;
use crate::infra::db::{Db, DbError, DbErrorKind, Lane, View};
use crate::infra::volume::{SubPath, Volume};
use crate::load::{self, LogEntry, Tables};
use crate::log::{self, Sealed, Sealing, TopicId};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Header of every entry of published rows: the table.
pub const TABLE: &str = "table";
/// How long a file that no entry names is kept: longer than any commit takes, and than an end stays stored.
const UNDECIDED: Duration = Duration::from_secs(24 * 3600);
/// Most files that are removed in one turn.
const ROUND: u32 = 1_000;

/// When and where the entries of a load become a file.
#[derive(Debug, Clone)]
pub struct Sealer {
    /// Where files are. While it is away, everything is told entry by entry.
    pub volume: Arc<Volume>,
    /// Scratch directory.
    pub tmp: PathBuf,
    /// Most entries of one load in one topic that are appended one by one.
    pub entries: usize,
}

/// Tells the log of published rows.
pub struct Telling {
    db: Db,
    sealer: Sealer,
    /// By topic.
    tables: HashMap<String, Published>,
}

/// A table whose changed rows are told.
struct Published {
    topic: TopicId,
    table: String,
    /// Version of its schema.
    schema: i32,
}

/// Files made for a commit that has not succeeded yet.
pub type Made = Arc<Mutex<Vec<SubPath>>>;

/// The entries of one commit.
pub struct Told<'t> {
    telling: &'t Telling,
    made: Made,
    groups: BTreeMap<(JobId, &'t str), Group>,
}

enum Group {
    Few(Vec<log::Entry>),
    Many(Sealing),
}

impl Telling {
    /// Looks up topics and schemas of published tables.
    pub async fn start(db: &Db, tables: &Tables, sealer: Sealer) -> Result<Self, DbError> {
        let topics = log::Topics::new(db.clone());
        let mut published = HashMap::new();
        for (table, schema) in load::register_schemas(db, tables).await? {
            let name = load::topic(&table);
            let topic = topics.id(&name).await?;
            published.insert(name, Published { topic, table, schema });
        }
        Ok(Self { db: db.clone(), sealer, tables: published })
    }

    /// Begins to gather the entries of a commit. Files it makes are added to `made`.
    pub fn begin(&self, made: &Made) -> Told<'_> {
        Told { telling: self, made: Arc::clone(made), groups: BTreeMap::new() }
    }

    /// Removes the files of a commit that failed. If nobody knows whether it did, they stay.
    pub async fn undo(&self, made: Made, error: &DbError) {
        let made = std::mem::take(&mut *made.lock().unwrap_or_else(PoisonError::into_inner));
        if made.is_empty() || error.kind() == DbErrorKind::Undecided {
            return;
        }
        let volume = Arc::clone(&self.sealer.volume);
        if let Err(error) = remove(&self.db, volume, made).await {
            tracing::debug!(%error, "files of a failed commit cannot be removed yet");
        }
    }
}

impl<'t> Told<'t> {
    /// Adds entries of a job. Those of tables that were not published when this process started are left out.
    ///
    /// # Errors
    /// When the scratch file cannot be written.
    pub fn add(&mut self, job: JobId, entries: impl IntoIterator<Item = LogEntry>) -> Result<(), DbError> {
        for entry in entries {
            let Some((name, published)) = self.telling.tables.get_key_value(&entry.topic) else { continue };
            let group = self.groups.entry((job, name)).or_insert_with(|| Group::Few(Vec::new()));
            group.push(published.entry(entry), &self.telling.sealer).map_err(DbError::unavailable)?;
        }
        Ok(())
    }

    /// The entries to append, each with its job, after the files they name are durable.
    ///
    /// # Errors
    /// When a file cannot be noted or made.
    pub async fn finish(self) -> Result<Vec<Entry>, DbError> {
        let mut entries = Vec::new();
        for ((job, name), group) in self.groups {
            match group {
                Group::Few(few) => entries.extend(few.into_iter().map(|entry| (job, entry))),
                Group::Many(sealing) => {
                    let sealed = self.telling.seal(&self.made, name, sealing).await?;
                    entries.push((job, self.telling.tables[name].naming(&sealed)));
                }
            }
        }
        Ok(entries)
    }
}

impl Telling {
    async fn seal(&self, made: &Made, topic: &str, sealing: Sealing) -> Result<Sealed, DbError> {
        let path = format!("log/{topic}/{}.jsonl", uuid::Uuid::now_v7());
        let path: SubPath = path.parse().map_err(DbError::unavailable)?;
        made.lock().unwrap_or_else(PoisonError::into_inner).push(path.clone());
        let noted = path.as_str().to_owned();
        in_tx!(self.db, Lane::State, tx => log::note_file(tx, &noted)).await?;
        let volume = Arc::clone(&self.sealer.volume);
        let sealed = tokio::task::spawn_blocking(move || sealing.seal(&volume, path)).await;
        sealed.map_err(DbError::unavailable)?.map_err(DbError::unavailable)
    }
}

impl Group {
    fn push(&mut self, entry: log::Entry, sealer: &Sealer) -> std::io::Result<()> {
        match self {
            Self::Many(sealing) => sealing.push(entry),
            Self::Few(few) if few.len() < sealer.entries || sealer.volume.is_away() => {
                few.push(entry);
                Ok(())
            }
            Self::Few(few) => {
                let mut sealing = Sealing::begin(&sealer.tmp)?;
                few.drain(..).chain([entry]).try_for_each(|entry| sealing.push(entry))?;
                *self = Self::Many(sealing);
                Ok(())
            }
        }
    }
}

impl Published {
    fn entry(&self, entry: LogEntry) -> log::Entry {
        published_entry((self.topic, &self.table, self.schema), entry)
    }

    /// The entry that names a file.
    fn naming(&self, sealed: &Sealed) -> log::Entry {
        let mut headers = sealed.headers();
        headers.insert(TABLE.to_owned(), self.table.clone());
        log::Entry { topic: self.topic, key: None, headers, body: Vec::new() }
    }
}

/// What is told of a row, as an entry of the topic of its table. The number is the version of the table's schema.
#[must_use]
pub fn published_entry((topic, table, schema): (TopicId, &str, i32), told: LogEntry) -> log::Entry {
    let headers =
        [("op", told.op.word().to_owned()), (TABLE, table.to_owned()), ("schema", schema.to_string())];
    log::Entry {
        topic,
        key: Some(told.key.into_bytes()),
        headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
        body: told.body,
    }
}

/// Removes files that no entry names any longer, or never did.
pub async fn sweep_files((db, volume): (Db, Arc<Volume>)) -> Result<(), DbError> {
    let undecided = Timestamp::now().before(UNDECIDED);
    let mut reader = db.reader(View::State).await?;
    let unneeded = log::unneeded_files(&mut reader.tx(), undecided, ROUND).await?;
    drop(reader);
    let unneeded: Vec<SubPath> = unneeded.iter().filter_map(|path| path.parse().ok()).collect();
    if unneeded.is_empty() { Ok(()) } else { remove(&db, volume, unneeded).await }
}

/// Removes files, and then the notes of them.
async fn remove(db: &Db, volume: Arc<Volume>, paths: Vec<SubPath>) -> Result<(), DbError> {
    let removing = tokio::task::spawn_blocking(move || {
        paths.iter().try_for_each(|path| volume.remove_file(path).map(|_| ())).map(|()| paths)
    });
    let paths: Vec<SubPath> = removing.await.map_err(DbError::unavailable)?.map_err(DbError::unavailable)?;
    let paths: Vec<String> = paths.iter().map(|path| path.as_str().to_owned()).collect();
    in_tx!(db, Lane::State, tx => log::forget_files(tx, &paths)).await
}
