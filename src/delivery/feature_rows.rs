//! Rows of a feature's own tables, written in the two compound commits: behind the keys when something is accepted, behind
//! the fence when a job finishes.
//!
//! A feature registers one insert function per name, and `app.rs` hands them all to acceptor and finisher. Rows travel as
//! values, because SQLite keeps those of a finishing job in its stored end. The tables of a feature are in `state.db` there.

use crate::ids::{DeliveryId, JobId, ReceiptId};
use crate::infra::db::{DbError, DbErrorKind, Fut, Tx};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One row of a feature.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FeatureRow {
    /// Name of the writer that inserts it: that of its table.
    pub writer: Cow<'static, str>,
    /// What the writer needs, in the form it chose.
    pub values: serde_json::Value,
}

/// What a row was written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The receipt, of a finishing job the one it counts in.
    pub receipt_id: Option<ReceiptId>,
    /// The delivery that was accepted with the receipt, or that the job worked on or created.
    pub delivery_id: Option<DeliveryId>,
    /// The finishing job; `None` if the row is written at accept.
    pub job_id: Option<JobId>,
}

/// Inserts rows of one name in as few statements as it can; a commit hands over all of its rows of that name at once.
///
/// An error refuses the whole batch. Unless it is [temporary](DbError::is_temporary), the batch is repeated item by item,
/// so a row that can never be stored must be refused with [`Content`](DbErrorKind::Content) or
/// [`Conflict`](DbErrorKind::Conflict), which is what broken constraints are.
pub type InsertRows = for<'t> fn(&'t mut Tx<'_>, &'t [(Origin, &'t serde_json::Value)]) -> Fut<'t, ()>;

/// The insert functions of all features by name; cheap to clone.
#[derive(Clone, Default)]
pub struct RowWriters(Arc<BTreeMap<&'static str, InsertRows>>);

impl FromIterator<(&'static str, InsertRows)> for RowWriters {
    fn from_iter<T: IntoIterator<Item = (&'static str, InsertRows)>>(writers: T) -> Self {
        Self(Arc::new(writers.into_iter().collect()))
    }
}

impl RowWriters {
    /// Writes rows, each name in one call, names in order.
    ///
    /// # Errors
    /// Those of the insert functions; [`Content`](DbErrorKind::Content) for a name that is not registered.
    pub(super) async fn insert(
        &self,
        tx: &mut Tx<'_>,
        rows: &[(Origin, &FeatureRow)],
    ) -> Result<(), DbError> {
        let mut by_writer: BTreeMap<&str, Vec<(Origin, &serde_json::Value)>> = BTreeMap::new();
        for (origin, row) in rows {
            by_writer.entry(&row.writer).or_default().push((*origin, &row.values));
        }
        for (name, rows) in by_writer {
            let Some(insert) = self.0.get(name) else {
                return Err(DbError::new(
                    DbErrorKind::Content,
                    format!("no feature writes rows named {name}"),
                ));
            };
            insert(tx, &rows).await?;
        }
        Ok(())
    }
}
