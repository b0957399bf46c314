//! Reading a store without changing it: creates no file and no schema, takes no lock, does not wait.

use super::{DbError, Tx, View, lite, pg};
use crate::sql;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, PgConnection, SqliteConnection};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// Longest wait for a server that does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A read-only connection.
#[derive(Debug)]
pub struct ReadOnly {
    connection: AnyConnection,
    migrations: &'static Migrator,
}

#[derive(Debug)]
enum AnyConnection {
    Pg(PgConnection),
    Lite(SqliteConnection),
}

/// The state of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schema {
    /// Number of the last migration applied; `None` where there is no schema yet.
    pub version: Option<i64>,
    /// Migrations of this program that are not applied yet.
    pub steps: usize,
}

impl ReadOnly {
    /// Connects to a Postgres server.
    ///
    /// # Errors
    /// When it refuses the connection or does not answer within five seconds.
    pub async fn at_server(url: &str) -> Result<Self, DbError> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| DbError::corrupt("store.url is not a postgres:// URL"))?
            .application_name("headworks")
            .options([("default_transaction_read_only", "on"), ("statement_timeout", "5s")]);
        let connecting = tokio::time::timeout(PATIENCE, PgConnection::connect_with(&options));
        let late = |_| DbError::unavailable("no answer");
        let connection = connecting.await.map_err(late)??;
        Ok(Self { connection: AnyConnection::Pg(connection), migrations: &pg::SCHEMA })
    }

    /// Opens a SQLite file of [`path_of`].
    ///
    /// # Errors
    /// When it cannot be opened or is no database.
    pub async fn at_file(directory: &Path, view: View) -> Result<Self, DbError> {
        let path = path_of(directory, view);
        // Without a write-ahead log nobody has the file open, and it is complete; otherwise the log must be read too.
        let alone = !path.with_extension("db-wal").exists();
        let options = SqliteConnectOptions::new().filename(&path).read_only(true).immutable(alone);
        let connection = SqliteConnection::connect_with(&options).await?;
        let migrations = match view {
            View::State => &lite::STATE,
            View::Results => &lite::RESULTS,
        };
        Ok(Self { connection: AnyConnection::Lite(connection), migrations })
    }

    /// The form that store functions take.
    pub const fn tx(&mut self) -> Tx<'_> {
        match &mut self.connection {
            AnyConnection::Pg(connection) => Tx::Pg(connection),
            AnyConnection::Lite(connection) => Tx::Lite(connection),
        }
    }

    /// Compares the migrations applied to the store with those of this program.
    ///
    /// # Errors
    /// [`Corrupt`](super::DbErrorKind::Corrupt) where the store has a migration that this program lacks or has with other
    /// contents.
    pub async fn schema(&mut self) -> Result<Schema, DbError> {
        let known: Vec<_> =
            self.migrations.iter().map(|step| (step.version, step.checksum.to_vec())).collect();
        let exists = match &self.connection {
            AnyConnection::Pg(_) => "SELECT count(to_regclass('_sqlx_migrations'))",
            AnyConnection::Lite(_) => "SELECT count(*) FROM sqlite_master WHERE name = '_sqlx_migrations'",
        };
        let seen = "SELECT version, checksum FROM _sqlx_migrations WHERE success ORDER BY version";
        let mut tx = self.tx();
        let exists: i64 = sql!(&mut tx, query_scalar(exists).fetch_one)?;
        if exists == 0 {
            return Ok(Schema { version: None, steps: known.len() });
        }
        let seen: Vec<(i64, Vec<u8>)> = sql!(&mut tx, query_as(seen).fetch_all)?;
        if let Some((version, _)) = seen.iter().find(|step| !known.contains(step)) {
            let why = format!("migration {version} of its schema is unknown to this program, or differs");
            return Err(DbError::corrupt(why));
        }
        Ok(Schema { version: seen.last().map(|(version, _)| *version), steps: known.len() - seen.len() })
    }

    /// Ends the connection.
    pub async fn close(self) {
        let closed = match self.connection {
            AnyConnection::Pg(connection) => connection.close().await,
            AnyConnection::Lite(connection) => connection.close().await,
        };
        if let Err(error) = closed {
            tracing::debug!(%error, "closing a connection failed");
        }
    }
}

/// The SQLite file that holds one half of the store.
#[must_use]
pub fn path_of(directory: &Path, view: View) -> PathBuf {
    directory.join(match view {
        View::State => "state.db",
        View::Results => "results.db",
    })
}
