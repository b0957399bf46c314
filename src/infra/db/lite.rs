//! SQLite: `state.db` and `results.db`, each with one writer and several readers, and one lock for both.

use super::lock::StoreLock;
use super::private;
use super::read_only::path_of;
use super::writer::Writer;
use super::{DbError, Fut, Lane, MIGRATIONS_SEEN, Tx, View};
use crate::sql;
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection, SqliteConnection, SqlitePool};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(super) static STATE: Migrator = sqlx::migrate!("migrations/sqlite-state");
pub(super) static RESULTS: Migrator = sqlx::migrate!("migrations/sqlite-results");

/// Where the files are and how they are used.
#[derive(Debug, Clone)]
pub struct LiteSettings {
    /// Directory of `state.db`, `results.db` and `store.lock`; must exist.
    pub directory: PathBuf,
    /// Read-only connections per file.
    pub readers: u32,
    /// Most memory that the pages cached by all connections take together, in bytes.
    pub cache_bytes: u64,
    /// Writes that may wait per file; more are refused.
    pub queue_bound: usize,
}

/// Rows that the thread of a reader reads before it waits for them to be taken.
const ROWS_READ_AHEAD: usize = 250;

/// Files of a store, each with one writer.
const FILES: u64 = 2;

impl LiteSettings {
    /// `cache_size` of a writer: the writers have half of the budget, since what they change they read first.
    fn writer_cache(&self) -> String {
        kibibytes(self.cache_bytes / 2 / FILES)
    }

    /// `cache_size` of a reader: the readers share the other half.
    fn reader_cache(&self) -> String {
        kibibytes(self.cache_bytes / 2 / (FILES * u64::from(self.readers.max(1))))
    }
}

/// A negative `cache_size` counts KiB, not pages.
fn kibibytes(bytes: u64) -> String {
    format!("-{}", (bytes >> 10).max(1))
}

/// An open SQLite store.
#[derive(Debug, Clone)]
pub struct Lite {
    files: Arc<Files>,
}

#[derive(Debug)]
struct Files {
    state: LiteFile,
    results: LiteFile,
    lock: Mutex<Option<StoreLock>>,
    reads: AtomicU64,
}

#[derive(Debug)]
struct LiteFile {
    path: PathBuf,
    writer: Writer,
    readers: SqlitePool,
    /// Migrations applied when it was opened.
    steps: usize,
}

impl Lite {
    /// Takes the lock, opens both files, creates missing ones, and runs migrations.
    ///
    /// # Errors
    /// When another process holds the store, a file cannot be opened, or the files belong to different stores.
    pub async fn open(settings: &LiteSettings) -> Result<Self, DbError> {
        let lock = settings.directory.join("store.lock");
        close_to_others(&lock, private::existing_file)?;
        let lock = StoreLock::take(&lock)?;
        let state = LiteFile::open(&path_of(&settings.directory, View::State), &STATE, settings).await?;
        let results =
            LiteFile::open(&path_of(&settings.directory, View::Results), &RESULTS, settings).await?;
        let lite = Self {
            files: Arc::new(Files { state, results, lock: Mutex::new(Some(lock)), reads: AtomicU64::new(0) }),
        };
        lite.pair().await?;
        Ok(lite)
    }

    pub(super) async fn write<T, F>(&self, lane: Lane, f: F) -> Result<T, DbError>
    where
        F: for<'c> FnOnce(Tx<'c>) -> Fut<'c, T> + Send + 'static,
        T: Send + 'static,
    {
        match lane {
            Lane::State => self.files.state.writer.run(true, f).await,
            Lane::Relaxed => self.files.state.writer.run(false, f).await,
            Lane::Results => self.files.results.writer.run(true, f).await,
        }
    }

    pub(super) async fn reader(&self, view: View) -> Result<PoolConnection<sqlx::Sqlite>, DbError> {
        let file = match view {
            View::State => &self.files.state,
            View::Results => &self.files.results,
        };
        self.files.reads.fetch_add(1, Relaxed);
        Ok(file.readers.acquire().await?)
    }

    pub(super) fn reads(&self) -> u64 {
        self.files.reads.load(Relaxed)
    }

    pub(super) fn bytes(&self) -> [(&'static str, u64); 2] {
        [("state", self.files.state.bytes()), ("results", self.files.results.bytes())]
    }

    /// Number of migrations applied when the files were opened: readers are read-only and need the schema.
    pub(super) fn steps(&self) -> usize {
        self.files.state.steps + self.files.results.steps
    }

    pub(super) async fn close(&self) {
        for file in [&self.files.state, &self.files.results] {
            file.readers.close().await;
            file.writer.close().await;
        }
        drop(self.files.lock.lock().map(|mut lock| lock.take()));
    }

    /// Gives both files one store id, or checks that they have the same.
    async fn pair(&self) -> Result<(), DbError> {
        let fresh = uuid::Uuid::now_v7();
        let state = store_id(&self.files.state, fresh).await?;
        let results = store_id(&self.files.results, state).await?;
        if state == results {
            return Ok(());
        }
        let (a, b) = (self.files.state.path.display(), self.files.results.path.display());
        Err(DbError::corrupt(format!("{a} belongs to store {state}, {b} to store {results}")))
    }
}

async fn store_id(file: &LiteFile, otherwise: uuid::Uuid) -> Result<uuid::Uuid, DbError> {
    file.writer
        .run(true, move |mut tx| {
            Box::pin(async move {
                let insert = "INSERT INTO store (id) SELECT $1 WHERE NOT EXISTS (SELECT 1 FROM store)";
                sql!(&mut tx, query(insert, otherwise).execute)?;
                Ok(sql!(&mut tx, query_scalar("SELECT id FROM store").fetch_one)?)
            })
        })
        .await
}

impl LiteFile {
    /// Its length plus that of its write-ahead log, if there is one.
    fn bytes(&self) -> u64 {
        let length = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
        length(&self.path) + length(&self.path.with_extension("db-wal"))
    }

    async fn open(path: &Path, migrations: &Migrator, settings: &LiteSettings) -> Result<Self, DbError> {
        let named = |error: DbError| DbError::new(error.kind(), format!("{}: {error}", path.display()));
        // Before SQLite makes it: the write-ahead log takes its mode over.
        close_to_others(path, private::file)?;
        for companion in ["db-wal", "db-shm"] {
            close_to_others(&path.with_extension(companion), private::existing_file)?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5))
            .foreign_keys(true)
            .pragma("wal_autocheckpoint", "4000")
            .statement_cache_capacity(256);
        // The modes stay in the file. To set `auto_vacuum` again takes the write lock, so readers do not.
        let writing = options
            .clone()
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .auto_vacuum(SqliteAutoVacuum::Incremental)
            .pragma("temp_store", "memory")
            .pragma("cache_size", settings.writer_cache());
        let mut writer = SqliteConnection::connect_with(&writing).await.map_err(|e| named(e.into()))?;
        let before = applied(&mut writer).await.unwrap_or(0);
        migrations.run(&mut writer).await.map_err(|e| named(e.into()))?;
        let steps = applied(&mut writer).await?.saturating_sub(before);
        // What a reader sorts goes to a file once it is longer than its cache.
        let reading = options
            .pragma("temp_store", "file")
            .pragma("cache_size", settings.reader_cache())
            .pragma("query_only", "on")
            .row_buffer_size(ROWS_READ_AHEAD);
        let readers = SqlitePoolOptions::new()
            .max_connections(settings.readers)
            .acquire_timeout(Duration::from_secs(5))
            .connect_with(reading)
            .await
            .map_err(|e| named(e.into()))?;
        let writer = Writer::start(writer, settings.queue_bound);
        Ok(Self { path: path.to_owned(), writer, readers, steps })
    }
}

fn close_to_others(path: &Path, close: fn(&Path) -> std::io::Result<()>) -> Result<(), DbError> {
    close(path).map_err(|error| DbError::corrupt(format!("{}: {error}", path.display())))
}

/// Number of migrations applied to the file; an error where there are none.
async fn applied(connection: &mut SqliteConnection) -> Result<usize, DbError> {
    let count: i64 = sqlx::query_scalar(MIGRATIONS_SEEN).fetch_one(connection).await?;
    Ok(usize::try_from(count).unwrap_or(0))
}
