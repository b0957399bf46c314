//! The database.

use super::{ByteSize, Period, Secret};
use schemars::JsonSchema;
use serde::Deserialize;
use std::num::NonZeroU32;

/// The database.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// Kind of database: sqlite (one process, files in the state directory) or postgres (many processes).
    pub kind: StoreKind,
    /// Postgres: address and login, `postgres://user:password@host/database`; or give `url_file` or `url_credential`.
    pub url: Secret,
    /// Postgres: connections for accepting, claiming and finishing.
    pub queue_connections: NonZeroU32,
    /// Postgres: connections for large loads.
    pub bulk_connections: NonZeroU32,
    /// Postgres: connections for queries of people and programs.
    pub read_connections: NonZeroU32,
    /// Postgres: time limit of one statement. Large loads, removal of old data and migrations have none.
    pub statement_timeout: Period,
    /// SQLite: connections for queries of people and programs, per file.
    pub sqlite_readers: NonZeroU32,
    /// SQLite: most memory for pages of the database, all connections together.
    pub sqlite_cache: ByteSize,
    /// How long a commit waits for others to join it.
    pub batch_linger: Period,
    /// Most items in one commit.
    pub batch_items: NonZeroU32,
    /// How many items may wait for a commit before callers are told to try again later.
    pub queue_bound: NonZeroU32,
}

/// Kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// Two files in the state directory, one process.
    Sqlite,
    /// A server, any number of processes.
    Postgres,
}
