//! Who does the periodic duties: one process among all that share a Postgres; with SQLite the only one.

use super::store;
use crate::ids::BootId;
use crate::in_tx;
use crate::infra::db::{Db, DbError, Lane};
use std::time::Duration;

/// One process's claim to lead.
#[derive(Debug, Clone)]
pub struct Leader {
    db: Db,
    boot: BootId,
    term: Duration,
}

impl Leader {
    /// A candidate. A leader that does not report for `term` is replaced.
    #[must_use]
    pub const fn new(db: Db, boot: BootId, term: Duration) -> Self {
        Self { db, boot, term }
    }

    /// The process.
    #[must_use]
    pub const fn boot(&self) -> BootId {
        self.boot
    }

    /// Takes or keeps `duty` for one term; `false` if another process has it. The time is the store's.
    ///
    /// # Errors
    /// When the store fails; the duty must then wait, because nobody knows who leads.
    pub async fn leads(&self, duty: &str) -> Result<bool, DbError> {
        // Only one process has a SQLite store.
        if !self.db.is_pg() {
            return Ok(true);
        }
        let (duty, boot, term) = (duty.to_owned(), self.boot, self.term);
        in_tx!(self.db, Lane::State, tx => store::lead(tx, &duty, boot, term)).await
    }
}
