//! PostgreSQL 15 and later: a pool for the queue, one for large loads, one for reads.

use super::idle::IdleConnections;
use super::{DbError, DbErrorKind, Fut, Lane, MIGRATIONS_SEEN, Tx};
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

pub(super) static SCHEMA: Migrator = sqlx::migrate!("migrations/postgres");

/// Where the server is, and limits of its pools.
#[derive(Clone)]
pub struct PgSettings {
    /// `postgres://user:password@host/database`.
    pub url: String,
    /// Connections for short writes.
    pub queue_connections: u32,
    /// Connections for large loads.
    pub bulk_connections: u32,
    /// Connections for reads of the API.
    pub read_connections: u32,
    /// Longest wait for a connection.
    pub acquire_timeout: Duration,
    /// Longest statement on the pools for short writes and for reads. The pool for large loads, migrations and DDL has no
    /// limit.
    pub statement_timeout: Duration,
}

impl std::fmt::Debug for PgSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PgSettings").field("url", &"***").finish_non_exhaustive()
    }
}

/// Pools on one server.
#[derive(Debug, Clone)]
pub struct Pg {
    queue: IdleConnections,
    bulk: PgPool,
    read: PgPool,
    reads: Arc<AtomicU64>,
}

impl Pg {
    /// Creates the pools. They connect when needed, so a server that is down is no error here.
    ///
    /// # Errors
    /// When the URL cannot be read.
    pub fn open(settings: &PgSettings) -> Result<Self, DbError> {
        let options = PgConnectOptions::from_str(&settings.url)
            .map_err(|_| DbError::corrupt("store.url is not a postgres:// URL"))?
            .application_name("headworks");
        let pool = |connections: u32, session: &[(&str, String)]| {
            PgPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(settings.acquire_timeout)
                .connect_lazy_with(options.clone().options(session.iter().map(|(k, v)| (*k, v.as_str()))))
        };
        let limit = ("statement_timeout", format!("{}ms", settings.statement_timeout.as_millis()));
        // Statistics of a queue table are always out of date; only index scans and nested loops are good plans here.
        let queue = [
            ("jit", "off".to_owned()),
            ("enable_seqscan", "off".to_owned()),
            ("enable_bitmapscan", "off".to_owned()),
            ("enable_hashjoin", "off".to_owned()),
            ("enable_mergejoin", "off".to_owned()),
            ("lock_timeout", "2s".to_owned()),
            // A process that stands still keeps its locks for so long: less than a leader's term, or it could not be replaced.
            ("idle_in_transaction_session_timeout", "10s".to_owned()),
            limit.clone(),
        ];
        let bulk = [("jit", "off".to_owned()), ("idle_in_transaction_session_timeout", "5min".to_owned())];
        let read = [("default_transaction_read_only", "on".to_owned()), limit];
        Ok(Self {
            queue: IdleConnections::of(
                pool(settings.queue_connections, &queue),
                settings.queue_connections,
                settings.acquire_timeout,
            ),
            bulk: pool(settings.bulk_connections, &bulk),
            read: pool(settings.read_connections, &read),
            reads: Arc::default(),
        })
    }

    pub(super) async fn write<T, F>(&self, lane: Lane, f: F) -> Result<T, DbError>
    where
        F: for<'c> FnOnce(Tx<'c>) -> Fut<'c, T> + Send + 'static,
        T: Send + 'static,
    {
        // In a task of its own: dropping the caller must not cancel a transaction half way.
        let transaction = if lane == Lane::Results {
            let pool = self.bulk.clone();
            tokio::spawn(async move { committed(&mut *pool.acquire().await?, f).await })
        } else {
            let queue = self.queue.clone();
            tokio::spawn(async move {
                let mut used = queue.take().await?;
                let value = match lane {
                    Lane::Relaxed => f(Tx::Pg(&mut used.connection)).await?,
                    _ => committed(&mut used.connection, f).await?,
                };
                queue.put_back(used);
                Ok(value)
            })
        };
        // A task that panicked has rolled back; one that was cancelled, at the end of the process, may have committed.
        transaction.await.unwrap_or_else(|error| {
            let kind = if error.is_panic() { DbErrorKind::Corrupt } else { DbErrorKind::Undecided };
            Err(DbError::new(kind, error))
        })
    }

    pub(super) async fn reader(&self) -> Result<PoolConnection<sqlx::Postgres>, DbError> {
        self.reads.fetch_add(1, Relaxed);
        Ok(self.read.acquire().await?)
    }

    pub(super) fn reads(&self) -> u64 {
        self.reads.load(Relaxed)
    }

    pub(super) async fn migrate(&self) -> Result<usize, DbError> {
        let mut connection = self.bulk.acquire().await?;
        let before: i64 = sqlx::query_scalar(MIGRATIONS_SEEN).fetch_one(&mut *connection).await.unwrap_or(0);
        SCHEMA.run(&mut *connection).await?;
        let after: i64 = sqlx::query_scalar(MIGRATIONS_SEEN).fetch_one(&mut *connection).await?;
        Ok(usize::try_from(after - before).unwrap_or(0))
    }

    pub(super) async fn bytes(&self) -> Result<u64, DbError> {
        let text = "SELECT pg_database_size(current_database())";
        let bytes: i64 = sqlx::query_scalar(text).fetch_one(&self.read).await?;
        Ok(bytes.unsigned_abs())
    }

    pub(super) async fn close(&self) {
        self.queue.close().await;
        self.bulk.close().await;
        self.read.close().await;
    }
}

/// Begin, `f`, commit.
async fn committed<T, F>(connection: &mut PgConnection, f: F) -> Result<T, DbError>
where
    F: for<'c> FnOnce(Tx<'c>) -> Fut<'c, T> + Send + 'static,
    T: Send + 'static,
{
    let mut transaction = connection.begin().await?;
    let value = f(Tx::Pg(&mut transaction)).await?;
    // An answer that says why it was refused is an answer; a broken connection is none.
    transaction.commit().await.map_err(|error| DbError::from(error).while_committing())?;
    Ok(value)
}

/// NOTIFY and LISTEN of a Postgres store.
#[derive(Debug, Clone)]
pub struct Listen {
    pool: PgPool,
}

impl Listen {
    /// The store's notifications; `None` for SQLite, which has one process only.
    #[must_use]
    pub fn of(db: &super::Db) -> Option<Self> {
        match db {
            super::Db::Pg(pg) => Some(Self { pool: pg.read.clone() }),
            super::Db::Lite(_) => None,
        }
    }

    /// Calls `heard` for every notification on `channel`, and once after connecting: earlier ones may have been missed.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn each(&self, channel: &str, heard: impl Fn()) -> Result<(), DbError> {
        let mut listener = sqlx::postgres::PgListener::connect_with(&self.pool).await?;
        listener.listen(channel).await?;
        heard();
        while listener.try_recv().await?.is_some() {
            heard();
        }
        Ok(())
    }

    /// Notifies every listener of `channel`.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn notify(&self, channel: &str) -> Result<(), DbError> {
        sqlx::query("SELECT pg_notify($1, '')").bind(channel).execute(&self.pool).await?;
        Ok(())
    }
}
