//! How many rows a transaction wrote, kept until it is committed: one that is repeated counts once.

use crate::infra::telemetry::metrics::MODULE_ROWS;
use crate::load::LoadReport;
use std::collections::BTreeMap;

/// Rows by module and table.
#[derive(Debug, Default)]
pub struct Tally(BTreeMap<(String, String), u64>);

impl Tally {
    /// Adds the rows of one load, new or known.
    pub fn add(&mut self, module: &str, report: &LoadReport) {
        for (table, counts) in &report.counts {
            let rows = counts.inserted + counts.updated + counts.duplicate + counts.stale;
            *self.0.entry((module.to_owned(), table.clone())).or_default() += rows;
        }
    }

    /// Counts all of it, after the commit.
    pub fn count(self) {
        for ((module, table), rows) in self.0 {
            metrics::counter!(MODULE_ROWS, "module" => module, "table" => table).increment(rows);
        }
    }
}
