//! Stores to measure on, and the bare connections they are measured against.

use headworks::ids::{BootId, QueueName};
use headworks::infra::db::{Db, DbError, DbErrorKind, Lane, Lite, LiteSettings, Pg, PgSettings, Tx};
use headworks::job::store;
use headworks::on_either;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, SqliteConnection};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

/// Opens a Postgres store, migrated and with its days made.
pub async fn postgres(url: &str, queue_connections: u32) -> anyhow::Result<Db> {
    let db = Db::Pg(Pg::open(&PgSettings {
        url: url.to_owned(),
        queue_connections,
        bulk_connections: 2,
        read_connections: 4,
        acquire_timeout: Duration::from_secs(10),
        statement_timeout: Duration::from_secs(60),
    })?);
    ready(db).await
}

/// Opens a SQLite store in `directory`, which is made.
pub async fn sqlite(directory: &Path) -> anyhow::Result<Db> {
    std::fs::create_dir_all(directory)?;
    let settings = LiteSettings {
        directory: directory.to_owned(),
        readers: 4,
        cache_bytes: 128 << 20,
        queue_bound: 4096,
    };
    ready(Db::Lite(Lite::open(&settings).await?)).await
}

async fn ready(db: Db) -> anyhow::Result<Db> {
    db.migrate().await?;
    db.write(Lane::State, |mut tx| Box::pin(async move { store::make_days(&mut tx).await })).await?;
    Ok(db)
}

/// A connection to Postgres with nothing around it, set up as those of the queue pool are.
pub async fn bare_postgres(url: &str) -> anyhow::Result<PgConnection> {
    let options = PgConnectOptions::from_str(url)?.options([
        ("jit", "off"),
        ("enable_seqscan", "off"),
        ("enable_bitmapscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
    ]);
    Ok(options.connect().await?)
}

/// A connection to the state file of a SQLite store that nobody else has open, set up as the writer's is.
pub async fn bare_sqlite(directory: &Path) -> anyhow::Result<SqliteConnection> {
    let options = SqliteConnectOptions::new()
        .filename(directory.join("state.db"))
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .pragma("wal_autocheckpoint", "4000")
        .pragma("temp_store", "memory")
        .pragma("cache_size", "-65536")
        .statement_cache_capacity(256);
    Ok(options.connect().await?)
}

/// Runs one statement.
pub async fn execute(db: &Db, statement: &str) -> Result<(), DbError> {
    let statement = statement.to_owned();
    db.write(Lane::State, move |mut tx| {
        Box::pin(async move {
            on_either!(&mut tx, c => { sqlx::query(AssertSqlSafe(statement)).execute(c).await?; });
            Ok(())
        })
    })
    .await
}

/// The row of a queue.
pub async fn queue(db: &Db, name: &'static str) -> Result<i16, DbError> {
    let name: QueueName = name.parse().map_err(|error: String| DbError::new(DbErrorKind::Content, error))?;
    let row = db
        .write(Lane::State, move |mut tx: Tx<'_>| {
            Box::pin(async move { store::queue_row(&mut tx, &name).await })
        })
        .await?;
    Ok(row.id)
}

/// The row of a worker that just started.
pub async fn worker(db: &Db) -> Result<i32, DbError> {
    db.write(Lane::State, |mut tx| {
        Box::pin(async move { store::register_worker(&mut tx, BootId::fresh(), "hwbench").await })
    })
    .await
}
