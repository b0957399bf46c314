//! Declared tables: how the rows that modules read become rows that can be asked for.
//!
//! ```text
//!   declarations ─▶ Tables (checked) ─▶ ensure: DDL in both stores
//!                                          │
//!   rows, findings of one job ─▶ write ────┴─▶ the table: per key, the newest version
//!                                  │             ▲        │ loser, whole
//!                                  │    put back │        ▼
//!                                  │             └── superseded
//!                                  └─▶ log entries of published tables, for the caller to append
//!   Scope ─▶ query: filters, order, pages ─▶ JSON, CSV
//! ```
//!
//! **A load** is what one job produced, and there is at most one per (delivery, module). Every row belongs to a load.
//! Of the rows with one natural key the newest stands in the table and all others in `superseded`, whole; newest is
//! by (`report_at` or else `received_at`, `received_at`, parser version, job id). So the order in which loads arrive
//! changes nothing, and removing a load leaves what would be there had it never come: the newest of the others
//! steps back in. Equal losers are kept too: without them, removing the later of two equal reports would lose a row
//! that the earlier one still vouches for. A replay's load replaces the delivery's older one in the same transaction.
//!
//! **Where tables are**: in Postgres in schema `rows`; in SQLite in `results.db` as `rows_<name>`. Decimals are
//! `numeric` there and scaled integers here, times `timestamptz` and microseconds. A module's text loses U+0000 in one
//! function ([`value::without_nul`]), and a finding says so.

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
pub use schema::json_schema;
pub use version::Version;
pub use write::{Counts, LoadReport, Loading, LogEntry, Removed, Written, remove, topic, write};

use crate::ids::{Coordinates, DeliveryId, Digest, JobId, Timestamp};
use module_api::Finding;

/// What one job produced, but for its rows.
#[derive(Debug, Clone)]
pub struct NewLoad {
    /// What was read.
    pub delivery: DeliveryId,
    /// Who read it: `family/type`.
    pub module: String,
    /// In which version.
    pub parser_version: String,
    /// In which job.
    pub job: JobId,
    /// The profile that shaped the rows.
    pub profile: Option<String>,
    /// The module's word for how it went: `ok`, `partial`.
    pub outcome: String,
    /// Of the delivery.
    pub coordinates: Coordinates,
    /// Of the delivery.
    pub received_at: Timestamp,
    /// Where rows and findings may come from: by [`module_api::Place::part`].
    pub parts: Vec<Source>,
    /// What an operator should know.
    pub findings: Vec<Finding>,
}

/// One part of a delivery as provenance names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Path inside the delivery, such as `parts/002-report.tar.gz!/nodes.csv`.
    pub path: String,
    /// Digest of the part after transfer-decoding and decompression.
    pub sha256: Digest,
}
