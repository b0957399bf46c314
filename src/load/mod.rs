//! Declared tables: from the rows of modules to rows that can be queried.
//!
//! ```text
//!   declarations ─▶ Tables (checked) ─▶ ensure: DDL in both stores
//!                                          │
//!   rows, findings of one job ─▶ write ────┴─▶ the table: per key, the newest version
//!                                  │             ▲        │ older versions
//!                                  │    put back │        ▼
//!                                  │             └── superseded
//!                                  └─▶ log entries of published tables, for the caller to append
//!   Scope ─▶ query: filters, order, pages ─▶ JSON, CSV
//! ```
//!
//! **A load** is the rows of one job; there is at most one per (delivery, module), and every row belongs to one.
//! Of all rows with the same natural key the newest is in the table and the others, complete, in `superseded`. Newest
//! means by (`report_at` or else `received_at`, `received_at`, parser version, job id). So the order in which loads
//! arrive does not matter, and removing a load restores the state without it: the newest superseded row moves back into
//! the table. Equal rows are superseded too: without them, removing the later of two equal reports would lose a row that
//! the earlier one still contains. The load of a replay replaces the delivery's older one in the same transaction.
//!
//! **Tables** are in schema `rows` of Postgres, and in `results.db` of SQLite as `rows_<name>`. Decimals are `numeric` in
//! Postgres and scaled integers in SQLite, times `timestamptz` and microseconds. U+0000 is removed from a module's texts
//! by [`value::without_nul`], and a finding says so.

mod columns;
pub mod csv;
mod declared;
mod ensure;
mod provenance;
pub mod query;
mod row;
mod schema;
mod sql;
pub mod value;
mod version;
mod write;

pub use declared::{DeclarationError, Declared, DeclaredView, Tables};
pub use ensure::ensure;
pub use provenance::Field;
pub use row::StoredRow;
pub use schema::{SchemaVersion, current_schema, json_schema, register_schemas, schema, schema_versions};
pub use version::Version;
pub use write::{
    Counts, LoadReport, Loading, LogEntry, Op, Removed, Written, remove, snapshot, topic, write,
};

use crate::ids::{Coordinates, DeliveryId, Digest, JobId, Timestamp};
use module_api::Finding;

/// A load to be written, without its rows.
#[derive(Debug, Clone)]
pub struct NewLoad {
    /// The delivery it was read from.
    pub delivery: DeliveryId,
    /// The module that read it: `family/type`.
    pub module: String,
    /// Version of the module.
    pub parser_version: String,
    /// The job that ran the module.
    pub job: JobId,
    /// The profile that shaped the rows.
    pub profile: Option<String>,
    /// Outcome of the run: `ok`, `partial`.
    pub outcome: String,
    /// Of the delivery.
    pub coordinates: Coordinates,
    /// Of the delivery.
    pub received_at: Timestamp,
    /// The parts, indexed by [`module_api::Place::part`].
    pub parts: Vec<Source>,
    /// Findings of the run.
    pub findings: Vec<Finding>,
}

/// One part of a delivery, for provenance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Path inside the delivery, such as `parts/002-report.tar.gz!/nodes.csv`.
    pub path: String,
    /// Digest of the part after transfer-decoding and decompression.
    pub sha256: Digest,
}
