//! The database.

use super::{Period, Secret};
use schemars::JsonSchema;
use serde::Deserialize;
use std::num::NonZeroU32;

/// Which database, and how it is used.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// sqlite (one process, files in the state directory) or postgres (many processes).
    pub kind: StoreKind,
    /// Postgres: where it is and who we are, `postgres://user:password@host/database`; or by `url_file`, `url_credential`.
    pub url: Secret,
    /// Postgres: connections for accepting, claiming and finishing.
    pub queue_connections: NonZeroU32,
    /// Postgres: connections for large loads.
    pub bulk_connections: NonZeroU32,
    /// Postgres: connections for what people and programs ask.
    pub read_connections: NonZeroU32,
    /// Postgres: longest run of one statement; large loads, removals of old data and migrations take as long as they need.
    pub statement_timeout: Period,
    /// SQLite: connections for what people and programs ask, per file.
    pub sqlite_readers: NonZeroU32,
    /// How long a commit waits for others to join it.
    pub batch_linger: Period,
    /// How many items share one commit at most.
    pub batch_items: NonZeroU32,
    /// How many items may wait for a commit before callers are told to come back.
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
