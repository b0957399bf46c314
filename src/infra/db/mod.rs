//! Two stores, one behaviour: Postgres, or two SQLite files.
//!
//! ```text
//!   Db::write(lane, f) ──▶ Postgres: begin, f, commit on a connection of the lane's pool (Relaxed: f alone)
//!                     └──▶ SQLite:   f joins the group of everything waiting for that file's one writer;
//!                                    a savepoint per member, one commit for all
//!   Db::reader(view)   ──▶ Postgres: a connection of the read pool
//!                     └──▶ SQLite:   a read-only connection to that file
//! ```
//!
//! SQL lives in `store.rs` files only: one text where both stores understand it (`$1` works on both), two side by side
//! where not. A store function takes a [`Tx`] and matches on it. Nobody holds a transaction while waiting for anything
//! else: callers hand `write` a closure and await the answer, so dropping a caller cancels nothing.

mod column;
pub mod days;
mod error;
mod fewest;
mod idle;
mod lite;
mod lock;
mod pg;
pub mod private;
mod read_only;
mod writer;

pub use error::{DbError, DbErrorKind};
pub use fewest::{FEW, fewest};
pub use lite::{Lite, LiteSettings};
pub use pg::{Listen, Pg, PgSettings};
pub use read_only::{ReadOnly, Schema, path_of};

use futures_util::future::BoxFuture;
use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Postgres, Sqlite, SqliteConnection};

/// Number of migrations applied to a store; an error where there are none.
const MIGRATIONS_SEEN: &str = "SELECT count(*) FROM _sqlx_migrations WHERE success";

/// Which Postgres pool, and which SQLite file and durability, a write uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Accepts and finishes, which are acknowledged. State; durable when it returns.
    State,
    /// Claims and heartbeats: a commit lost in a crash does no harm, since its lease tokens are never reused.
    /// State; with SQLite not fsynced unless the group has a durable member. With Postgres each statement commits by
    /// itself, which saves two round trips where there is just one statement.
    Relaxed,
    /// Loads, possibly large. Results; durable when it returns.
    Results,
}

/// Which half of the store a read uses: two files in SQLite, the same database in Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Receipts, deliveries, jobs and keys.
    State,
    /// Loads and their rows.
    Results,
}

/// An open store.
#[derive(Debug, Clone)]
pub enum Db {
    /// PostgreSQL 15 or later.
    Pg(Pg),
    /// SQLite, two files, one process.
    Lite(Lite),
}

/// A transaction, or for reads a connection, of either store.
#[derive(Debug)]
pub enum Tx<'c> {
    /// Of Postgres.
    Pg(&'c mut PgConnection),
    /// Of one SQLite file.
    Lite(&'c mut SqliteConnection),
}

/// A connection for reading, returned to its pool when dropped.
#[derive(Debug)]
pub enum Reader {
    /// Of Postgres.
    Pg(PoolConnection<Postgres>),
    /// Of one SQLite file, opened read-only.
    Lite(PoolConnection<Sqlite>),
}

impl Reader {
    /// The form that store functions take.
    pub fn tx(&mut self) -> Tx<'_> {
        match self {
            Self::Pg(connection) => Tx::Pg(connection),
            Self::Lite(connection) => Tx::Lite(connection),
        }
    }
}

/// The return type of closures given to [`Db::write`].
pub type Fut<'c, T> = BoxFuture<'c, Result<T, DbError>>;

/// Runs one expression on the connection of a [`Tx`]: for SQL that both stores understand.
#[macro_export]
macro_rules! on_either {
    ($tx:expr, $connection:ident => $run:expr) => {
        match $tx {
            $crate::infra::db::Tx::Pg($connection) => {
                let $connection = &mut **$connection;
                $run
            }
            $crate::infra::db::Tx::Lite($connection) => {
                let $connection = &mut **$connection;
                $run
            }
        }
    };
}

/// Runs one statement that both stores understand: `sql!(tx, query_scalar(text, name).fetch_optional)?`. With `execute`
/// the result is the number of rows it touched.
#[macro_export]
macro_rules! sql {
    ($tx:expr, query($text:expr $(, $value:expr)* $(,)?).execute) => {
        $crate::on_either!($tx, c => sqlx::query($text)$(.bind($value))*.execute(c).await.map(|done| done.rows_affected()))
    };
    ($tx:expr, $query:ident($text:expr $(, $value:expr)* $(,)?).$fetch:ident) => {
        $crate::on_either!($tx, c => sqlx::$query($text)$(.bind($value))*.$fetch(c).await)
    };
}

/// Runs one async function in a transaction of its own: `in_tx!(db, Lane::State, tx => store::touch(tx, &used)).await`.
/// Variables the call names are moved into it.
#[macro_export]
macro_rules! in_tx {
    ($db:expr, $lane:expr, $tx:ident => $call:expr) => {
        $db.write($lane, move |mut $tx| {
            Box::pin(async move {
                let $tx = &mut $tx;
                $call.await
            })
        })
    };
}

/// Logs a failure of the store: `warn_unless_outage!(error, %error, "claiming failed")`. While the store is away it says so at
/// `debug` only: `/readyz` tells the log once, and everything that uses the store fails.
#[macro_export]
macro_rules! warn_unless_outage {
    ($error:expr, $($line:tt)+) => {
        if $error.is_outage() {
            tracing::debug!($($line)+);
        } else {
            tracing::warn!($($line)+);
        }
    };
}

impl Tx<'_> {
    /// What makes a query tell its plan instead of its rows; the last column of each row is a line of it.
    #[must_use]
    pub const fn explain(&self) -> &'static str {
        match self {
            Self::Pg(_) => "EXPLAIN ",
            Self::Lite(_) => "EXPLAIN QUERY PLAN ",
        }
    }

    /// Lifts the statement timeout of this transaction, which only Postgres' pool for short writes has: for statements
    /// whose time grows with the amount of stored data.
    pub async fn take_time(&mut self) -> Result<(), DbError> {
        if let Self::Pg(connection) = self {
            sqlx::query("SET LOCAL statement_timeout = 0").execute(&mut **connection).await?;
        }
        Ok(())
    }
}

impl Db {
    /// Runs `f` in one transaction and commits it; [`Lane::Relaxed`] is for one statement.
    ///
    /// `f` runs at most once. If it fails, all its writes are rolled back, in SQLite without affecting the rest of its
    /// group. Dropping the returned future cancels nothing.
    ///
    /// # Errors
    /// Those of `f`, of begin and of commit. After [`Undecided`](DbErrorKind::Undecided) the commit may or may not
    /// have happened: callers try again under a key or token that makes the repetition harmless. After any other error
    /// nothing was written.
    pub async fn write<T, F>(&self, lane: Lane, f: F) -> Result<T, DbError>
    where
        F: for<'c> FnOnce(Tx<'c>) -> Fut<'c, T> + Send + 'static,
        T: Send + 'static,
    {
        match self {
            Self::Pg(pg) => pg.write(lane, f).await,
            Self::Lite(lite) => lite.write(lane, f).await,
        }
    }

    /// A connection for reading. For one statement: `get(&mut db.reader(view).await?.tx(), id).await`.
    ///
    /// # Errors
    /// When none is free in time, or the store cannot be reached.
    pub async fn reader(&self, view: View) -> Result<Reader, DbError> {
        Ok(match self {
            Self::Pg(pg) => Reader::Pg(pg.reader().await?),
            Self::Lite(lite) => Reader::Lite(lite.reader(view).await?),
        })
    }

    /// How many connections for reading were asked for since it was opened: what reading costs the store.
    #[must_use]
    pub fn reads(&self) -> u64 {
        match self {
            Self::Pg(pg) => pg.reads(),
            Self::Lite(lite) => lite.reads(),
        }
    }

    /// Runs missing migrations and returns how many. SQLite runs them when it is opened; the number is that of then.
    ///
    /// # Errors
    /// When a migration fails, or the schema is newer than this program.
    pub async fn migrate(&self) -> Result<usize, DbError> {
        match self {
            Self::Pg(pg) => pg.migrate().await,
            Self::Lite(lite) => Ok(lite.steps()),
        }
    }

    /// Checks that the store answers.
    pub async fn ping(&self) -> Result<(), DbError> {
        sql!(&mut self.reader(View::State).await?.tx(), query("SELECT 1").execute)?;
        Ok(())
    }

    /// Size on disk in bytes: `state` and `results` of SQLite, each with its write-ahead log, or `database` of Postgres.
    /// Not for every request: Postgres stats each of its files.
    pub async fn sizes(&self) -> Result<Vec<(&'static str, u64)>, DbError> {
        match self {
            Self::Pg(pg) => Ok(vec![("database", pg.bytes().await?)]),
            Self::Lite(lite) => Ok(lite.bytes().into()),
        }
    }

    /// Whether this is Postgres.
    #[must_use]
    pub const fn is_pg(&self) -> bool {
        matches!(self, Self::Pg(_))
    }

    /// Returns disk space of deleted rows to the file system, a few megabytes at a time. Postgres does so by itself.
    pub async fn give_back_space(&self) -> Result<(), DbError> {
        if self.is_pg() {
            return Ok(());
        }
        for lane in [Lane::State, Lane::Results] {
            in_tx!(self, lane, tx => vacuum(tx)).await?;
        }
        Ok(())
    }

    /// Closes all connections; with SQLite, checkpoints and releases the lock.
    pub async fn close(&self) {
        match self {
            Self::Pg(pg) => pg.close().await,
            Self::Lite(lite) => lite.close().await,
        }
    }
}

async fn vacuum(tx: &mut Tx<'_>) -> Result<(), DbError> {
    sql!(tx, query("PRAGMA incremental_vacuum(1000)").execute)?;
    Ok(())
}
