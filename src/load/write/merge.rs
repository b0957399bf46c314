//! Decides which of several rows with one key is in the table. Pure.

use crate::ids::Digest;
use crate::infra::db::DbError;
use crate::load::declared::Declared;
use crate::load::row::StoredRow;
use crate::load::version::Version;
use std::collections::HashMap;

/// A row to be written.
#[derive(Debug)]
pub(super) struct Incoming {
    pub row: StoredRow,
    /// Position of its load in the batch.
    pub load: usize,
    /// Digest of its natural key.
    pub key: Digest,
    pub version: Version,
}

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Inserted,
    Updated,
    Duplicate,
    Stale,
}

/// A row that lost to a newer one of the same batch.
#[derive(Debug)]
pub(super) struct Lost {
    pub row: StoredRow,
    pub load: usize,
    pub fate: Fate,
}

/// What to do with rows whose keys exist already.
#[derive(Debug, Default)]
pub(super) struct Merged {
    /// Rows that replace existing ones.
    pub winners: Vec<(Incoming, Fate)>,
    /// Rows that are older than existing ones.
    pub refused: Vec<(Incoming, Fate)>,
    /// Rows for `superseded`: those replaced, and the refused.
    pub losers: Vec<StoredRow>,
}

impl Incoming {
    pub(super) fn new(table: &Declared, row: StoredRow, load: usize) -> Self {
        Self { key: row.key_hash(table), version: row.version(), row, load }
    }
}

/// Sorts rows by key and splits off all but the newest of each key; of equal versions the last one counts.
pub(super) fn newest_per_key(table: &Declared, mut rows: Vec<Incoming>) -> (Vec<Incoming>, Vec<Lost>) {
    rows.sort_by(|a, b| a.row.compare_keys(&b.row, table).then_with(|| a.version.cmp(&b.version)));
    let mut newest: Vec<Incoming> = Vec::with_capacity(rows.len());
    let mut lost = Vec::new();
    for row in rows {
        match newest.last_mut() {
            Some(last) if last.key == row.key => {
                let older = std::mem::replace(last, row);
                let fate = same_or(&older.row, &last.row, Fate::Stale);
                lost.push(Lost { row: older.row, load: older.load, fate });
            }
            _ => newest.push(row),
        }
    }
    (newest, lost)
}

/// Compares new rows with the existing ones that have their keys.
///
/// # Errors
/// When the store did not return a row that it reported as existing.
pub(super) fn decide(
    table: &Declared,
    taken: Vec<Incoming>,
    there: Vec<StoredRow>,
) -> Result<Merged, DbError> {
    let mut there: HashMap<Digest, StoredRow> =
        there.into_iter().map(|row| (row.key_hash(table), row)).collect();
    let mut merged = Merged::default();
    for incoming in taken {
        let Some(current) = there.remove(&incoming.key) else {
            let why = format!("table {}: a row is neither new nor stored", table.table.name);
            return Err(DbError::corrupt(why));
        };
        // Equal versions belong to one load, handed over in several calls: the later row counts.
        if incoming.version >= current.version() {
            let fate = same_or(&incoming.row, &current, Fate::Updated);
            merged.losers.push(current);
            merged.winners.push((incoming, fate));
        } else {
            let fate = same_or(&incoming.row, &current, Fate::Stale);
            merged.losers.push(incoming.row.clone());
            merged.refused.push((incoming, fate));
        }
    }
    Ok(merged)
}

fn same_or(row: &StoredRow, other: &StoredRow, otherwise: Fate) -> Fate {
    if row.row_hash() == other.row_hash() { Fate::Duplicate } else { otherwise }
}
