//! Writes what jobs produced, and takes it away again, inside the caller's transaction.
//!
//! ```text
//!   begin   older loads of the same (delivery, module) are taken out, the new ones get their ids
//!   rows    per table, in order of names and keys:
//!             insert what is new, locking what is there ─▶ read that ─▶ decide in `merge`
//!             ─▶ winners replace, losers go to superseded
//!   finish  findings, counts
//! ```
//!
//! Tables are taken by name and keys in order, and a row is locked in the statement that finds it taken, so two
//! writers with opposite orders of rows wait for each other instead of deadlocking. Two cases are left to Postgres'
//! detector, and come back as [`Contention`](crate::infra::db::DbErrorKind::Contention), to be repeated: a load handed
//! over in several calls of [`Loading::rows`], and a replay that takes an older load out first.

mod merge;
mod publish;
mod removal;
mod store;

pub use publish::{LogEntry, topic};
pub use removal::{Removed, remove};

use super::declared::{Declared, Tables};
use super::row::StoredRow;
use super::{NewLoad, value};
use crate::ids::LoadId;
use crate::infra::db::{DbError, DbErrorKind, Tx};
use merge::{Fate, Incoming};
use module_api::{Finding, Place, Row, Value};
use publish::Replaced;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows per statement, and about as many bytes: SQLite takes no text over 1 GB, Postgres no message.
const CHUNK: usize = 2_000;
const CHUNK_BYTES: usize = 16 << 20;

/// What became of one load's rows of one table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows with a new key.
    pub inserted: u64,
    /// Rows that took the place of an older one that said something else.
    pub updated: u64,
    /// Rows that said what was known already, whether or not they took its place.
    pub duplicate: u64,
    /// Rows that were older than what is there, or than a later row of the same load.
    pub stale: u64,
}

/// What became of one load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoadReport {
    /// Its id.
    pub load: LoadId,
    /// By table.
    pub counts: BTreeMap<String, Counts>,
    /// Findings stored with it, that of removed U+0000 included.
    pub findings: u64,
    /// Texts that lost U+0000.
    pub nul_removed: u64,
}

/// What a whole batch came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// One per load, in the order given.
    pub loads: Vec<LoadReport>,
    /// New and changed rows of published tables, to be appended to the log in this transaction, each with the position of
    /// the load that changed it.
    pub entries: Vec<(usize, LogEntry)>,
}

/// Loads on their way into the store, for rows too many to hold: [`rows`](Self::rows) may be called again and again.
#[derive(Debug)]
pub struct Loading {
    tables: Tables,
    loads: Vec<Open>,
    replaced: Replaced,
}

/// Rows on their way in, by name of their table.
type ByTable = BTreeMap<String, (Arc<Declared>, Vec<Incoming>)>;

#[derive(Debug)]
struct Open {
    id: LoadId,
    load: NewLoad,
    counts: BTreeMap<String, Counts>,
    nul_removed: usize,
    /// Where U+0000 was first removed.
    nul_at: Place,
}

/// Writes loads whose rows are in memory.
///
/// # Errors
/// [`Content`](DbErrorKind::Content) naming module, table, column and line of a value that cannot be stored: nothing
/// of the batch is kept then, and the caller repeats it item by item to lose only that one.
pub async fn write(
    tx: &mut Tx<'_>,
    tables: &Tables,
    loads: &[(&NewLoad, &[Row])],
) -> Result<Written, DbError> {
    let heads: Vec<&NewLoad> = loads.iter().map(|(load, _)| *load).collect();
    let mut loading = Loading::begin(tx, tables, &heads).await?;
    let rows: Vec<(usize, &[Row])> = loads.iter().enumerate().map(|(i, (_, rows))| (i, *rows)).collect();
    let mut entries = loading.rows(tx, &rows).await?;
    let (loads, last) = loading.finish(tx).await?;
    entries.extend(last);
    Ok(Written { loads, entries })
}

impl Loading {
    /// Takes out older loads of the same deliveries and modules, and registers these.
    ///
    /// # Errors
    /// Those of the store; [`Conflict`](DbErrorKind::Conflict) when two of `loads` are of one delivery and module.
    pub async fn begin(tx: &mut Tx<'_>, tables: &Tables, loads: &[&NewLoad]) -> Result<Self, DbError> {
        let mut replaced = Replaced::default();
        let loads: Vec<NewLoad> = loads.iter().map(|load| cleaned(load)).collect();
        for (old, position) in store::older_loads(tx, &loads).await? {
            let position = usize::try_from(position).unwrap_or_default();
            replaced.position = position;
            removal::take_out(tx, tables, old, &loads[position].module, &mut replaced).await?;
        }
        let ids = store::insert_loads(tx, &loads).await?;
        let open =
            |(id, load)| Open { id, load, counts: BTreeMap::new(), nul_removed: 0, nul_at: Place::default() };
        let loads = ids.into_iter().zip(loads).map(open).collect();
        Ok(Self { tables: tables.clone(), loads, replaced })
    }

    /// Writes rows, each slice with the position of its load, and returns the log entries of changed ones, with it too.
    ///
    /// # Errors
    /// As [`write`].
    pub async fn rows(
        &mut self,
        tx: &mut Tx<'_>,
        rows: &[(usize, &[Row])],
    ) -> Result<Vec<(usize, LogEntry)>, DbError> {
        let mut entries = Vec::new();
        for (table, incoming) in self.by_table(rows)?.into_values() {
            let (newest, lost) = merge::newest_per_key(&table, incoming);
            self.note_lost(&table, &lost);
            store::supersede(tx, &table, lost.iter().map(|l| &l.row)).await?;
            let lengths = chunks(newest.iter().map(|incoming| weight(incoming.row.values.iter())));
            let mut left = newest.into_iter();
            for length in lengths {
                let chunk = left.by_ref().take(length).collect();
                self.chunk(tx, &table, chunk, &mut entries).await?;
            }
        }
        Ok(entries)
    }

    /// Stores findings and counts; returns the reports, and the entries of rows that stepped back in for good.
    pub async fn finish(
        mut self,
        tx: &mut Tx<'_>,
    ) -> Result<(Vec<LoadReport>, Vec<(usize, LogEntry)>), DbError> {
        for open in &mut self.loads {
            if open.nul_removed > 0 {
                let message = format!("U+0000 was removed from {} texts", open.nul_removed);
                open.load.findings.push(Finding::warning("nul_removed", open.nul_at, message));
            }
        }
        store::insert_findings(tx, &self.loads).await?;
        store::update_loads(tx, &self.loads).await?;
        let report = |open: Open| LoadReport {
            load: open.id,
            counts: open.counts,
            findings: open.load.findings.len() as u64,
            nul_removed: open.nul_removed as u64,
        };
        Ok((self.loads.into_iter().map(report).collect(), self.replaced.into_entries()))
    }

    /// Rows in stored form, by table.
    fn by_table(&mut self, rows: &[(usize, &[Row])]) -> Result<ByTable, DbError> {
        let content = |why: String| DbError::new(DbErrorKind::Content, why);
        let mut tables = ByTable::new();
        for &(position, rows) in rows {
            let Some(open) = self.loads.get_mut(position) else {
                return Err(content(format!("no load at {position}")));
            };
            for row in rows {
                let table = self.tables.of_row(&open.load.module, row.table);
                let table = table.ok_or_else(|| {
                    content(format!("{} declares no table {}", open.load.module, row.table))
                })?;
                let mut removed = 0;
                let stored =
                    StoredRow::new(table, &open.load, open.id, row, &mut removed).map_err(content)?;
                if open.nul_removed == 0 {
                    open.nul_at = row.place;
                }
                open.nul_removed += removed;
                let (_, incoming) =
                    tables.entry(table.table.name.clone()).or_insert_with(|| (table.clone(), Vec::new()));
                incoming.push(Incoming::new(table, stored, position));
            }
        }
        Ok(tables)
    }

    async fn chunk(
        &mut self,
        tx: &mut Tx<'_>,
        table: &Declared,
        chunk: Vec<Incoming>,
        entries: &mut Vec<(usize, LogEntry)>,
    ) -> Result<(), DbError> {
        let inserted = store::insert_new(tx, table, &chunk).await?;
        let (new, taken): (Vec<_>, Vec<_>) =
            chunk.into_iter().partition(|incoming| inserted.contains(incoming.row.row_hash()));
        for incoming in new {
            self.settle(table, &incoming, Fate::Inserted, entries);
        }
        if taken.is_empty() {
            return Ok(());
        }
        let there = store::by_key(tx, table, &taken).await?;
        let merged = merge::decide(table, taken, there)?;
        store::replace(tx, table, merged.winners.iter().map(|(w, _)| &w.row)).await?;
        store::supersede(tx, table, merged.losers.iter()).await?;
        for (incoming, fate) in merged.winners.iter().chain(&merged.refused) {
            self.settle(table, incoming, *fate, entries);
        }
        Ok(())
    }

    fn settle(
        &mut self,
        table: &Declared,
        incoming: &Incoming,
        fate: Fate,
        entries: &mut Vec<(usize, LogEntry)>,
    ) {
        self.loads[incoming.load].counts.entry(table.table.name.clone()).or_default().add(fate);
        if table.table.published && matches!(fate, Fate::Inserted | Fate::Updated) {
            entries.extend(self.replaced.entry_of(table, incoming).map(|entry| (incoming.load, entry)));
        }
    }

    fn note_lost(&mut self, table: &Declared, lost: &[merge::Lost]) {
        for one in lost {
            self.loads[one.load].counts.entry(table.table.name.clone()).or_default().add(one.fate);
        }
    }
}

/// Lengths of the chunks that rows of these sizes are cut into.
fn chunks(sizes: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut lengths = Vec::new();
    let mut room = 0_usize;
    for size in sizes {
        match lengths.last_mut() {
            Some(length) if *length < CHUNK && size <= room => *length += 1,
            _ => {
                lengths.push(1);
                room = CHUNK_BYTES;
            }
        }
        room = room.saturating_sub(size);
    }
    lengths
}

/// About how many bytes a row is in a statement.
fn weight<'v>(values: impl Iterator<Item = &'v Value>) -> usize {
    values.map(|value| value::canonical(value).len()).sum()
}

impl Counts {
    fn add(&mut self, fate: Fate) {
        match fate {
            Fate::Inserted => self.inserted += 1,
            Fate::Updated => self.updated += 1,
            Fate::Duplicate => self.duplicate += 1,
            Fate::Stale => self.stale += 1,
        }
    }
}

/// The load without U+0000 in any of its texts but rows', which are cleaned one by one.
fn cleaned(load: &NewLoad) -> NewLoad {
    let mut load = load.clone();
    let clean = |text: &mut String| {
        if let Some(cleaned) = value::without_nul(text) {
            *text = cleaned;
        }
    };
    for text in [&mut load.module, &mut load.parser_version, &mut load.outcome] {
        clean(text);
    }
    load.profile.iter_mut().for_each(clean);
    load.parts.iter_mut().for_each(|part| clean(&mut part.path));
    for finding in &mut load.findings {
        clean(&mut finding.rule);
        clean(&mut finding.message);
        clean(&mut finding.excerpt);
        finding.field.iter_mut().for_each(clean);
    }
    load
}

#[cfg(test)]
mod tests {
    use super::{CHUNK, CHUNK_BYTES, chunks};

    #[test]
    fn chunks_are_cut_by_rows_and_by_bytes() {
        assert!(chunks(std::iter::empty()).is_empty());
        assert_eq!(chunks(std::iter::repeat_n(10, CHUNK + 1)), [CHUNK, 1]);
        assert_eq!(chunks([CHUNK_BYTES / 2, CHUNK_BYTES / 2, 1].into_iter()), [2, 1]);
        assert_eq!(chunks([1, CHUNK_BYTES + 5, 1].into_iter()), [1, 1, 1]);
    }
}
