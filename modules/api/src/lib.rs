//! The interface of parser modules: everything a module sees of headworks.
//!
//! A module is a pure function: the parts of one delivery and its envelope go in, rows and findings come out. It has
//! no clock, no files, no network, no environment and no logging; the host that runs it in a sandbox gives it bytes
//! and takes values. The same module therefore gives the same rows for the same delivery today, in a replay next
//! year and in a fixture test.
//!
//! ```text
//!   Delivery ──▶ Module::parse ──▶ Sink ──▶ rows, findings
//!   (coordinates, envelope, parts)   │
//!                                    └▶ Outcome: ok, partial, rejected, retry
//! ```
//!
//! `modules/README.md` shows how to write one in fifteen minutes; `modules/_template` is one to copy.
#![warn(missing_docs)]

pub mod charset;
mod check;
mod declaration;
mod delivery;
mod finding;
#[cfg(feature = "fixture")]
pub mod fixture;
pub mod frame;
mod part;
mod row;

pub use check::RowError;
pub use declaration::{Column, ColumnKind, Declaration, PROVENANCE, Table, View};
pub use delivery::{Coordinates, Delivery, Envelope};
pub use finding::{Finding, Place, Severity};
pub use part::{Content, Part, PartKind, Problem, Text};
pub use row::{Decimal, Micros, Row, Value};

/// A parser for one kind of delivery.
///
/// Hostile input is the normal case. `parse` never panics, never loops without consuming input, and holds no more
/// than a small multiple of what it reads; otherwise the sandbox ends it, and the job fails with the reason.
pub trait Module: Sync {
    /// Name, version and tables. Constant: the server reads it once at start and makes the tables from it.
    fn declaration(&self) -> Declaration;

    /// Reads one delivery and hands rows and findings to `out`.
    ///
    /// # Errors
    /// [`Stop`] only, passed on from `out` with `?`: a budget is used up and nothing more will be taken.
    fn parse(&self, delivery: &Delivery<'_>, out: &mut dyn Sink) -> Result<Outcome, Stop>;

    /// A profile (TOML) for a delivery this module cannot read yet, with the labels it did not know marked for a
    /// person to map. `None` where the module has no profiles.
    fn draft_profile(&self, _delivery: &Delivery<'_>) -> Option<String> {
        None
    }
}

/// Where a module's output goes: frames to the server in production, vectors in a test.
pub trait Sink {
    /// Takes one row. Its values stand in the order of the table's columns.
    ///
    /// # Errors
    /// [`Stop`] once the row or byte budget of this delivery is used up.
    fn row(&mut self, row: Row) -> Result<(), Stop>;

    /// Takes one finding.
    ///
    /// # Errors
    /// [`Stop`] once the budget of findings is used up.
    fn finding(&mut self, finding: Finding) -> Result<(), Stop>;

    /// Names the profile that shaped the rows, for the provenance of every row of this run. Called at most once.
    fn profile(&mut self, name: &str);
}

/// A budget is used up; the module returns at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a budget of this delivery is used up")]
pub struct Stop;

/// Outcome of one delivery. Findings are counted separately.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything was read. Zero rows only if the input legitimately says "no data".
    Ok,
    /// Rows were loaded, but the input ended early or `rejected` records could not be read.
    Partial {
        /// Records that were recognised and could not be read.
        rejected: u64,
    },
    /// Nothing usable; the reason names the rule that was broken. The job fails and no row is loaded.
    Rejected {
        /// Why, as a lower-case fragment.
        reason: String,
    },
    /// The environment failed, not the input; the job is tried again.
    Retry {
        /// Why, as a lower-case fragment.
        reason: String,
    },
}
