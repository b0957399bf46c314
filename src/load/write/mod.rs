//! Writes and removes loads, inside the caller's transaction.
//!
//! ```text
//!   begin   removes older loads of the same (delivery, module), inserts the new ones
//!   rows    per table, in order of names and keys:
//!             insert new keys, lock existing ones ─▶ read those ─▶ decide in `merge`
//!             ─▶ winners replace, losers go to superseded
//!   finish  findings, counts
//! ```
//!
//! Tables are written in order of names, rows in order of keys, and an existing row is locked by the statement that finds
//! it, so two writers wait for each other instead of deadlocking. Two cases can still deadlock, and end as
//! [`Contention`](crate::infra::db::DbErrorKind::Contention), to be repeated: a load handed over in several calls of
//! [`Loading::rows`], and a replay that removes an older load first.

mod merge;
mod publish;
mod removal;
mod store;

pub use publish::{LogEntry, Op, snapshot, topic};
pub use removal::{Removed, remove};

use super::declared::{Declared, Tables};
use super::row::StoredRow;
use super::sql::OnConflict;
use super::{NewLoad, value};
use crate::ids::LoadId;
use crate::infra::db::{DbError, DbErrorKind, Tx};
use merge::{Fate, Incoming};
use module_api::{Finding, Place, Row, Value};
use publish::Replaced;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Limits of one statement, in rows and in bytes: neither store takes a text over 1 GB.
const CHUNK: usize = 2_000;
const CHUNK_BYTES: usize = 16 << 20;

/// Counts of a load's rows in one table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Counts {
    /// Rows with a new key.
    pub inserted: u64,
    /// Rows that replaced an older one with other values.
    pub updated: u64,
    /// Rows with the same values as the existing one, newer or not.
    pub duplicate: u64,
    /// Rows older than the existing one, or than a later row of the same load.
    pub stale: u64,
}

/// The result of one load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoadReport {
    /// Its id.
    pub load: LoadId,
    /// By table.
    pub counts: BTreeMap<String, Counts>,
    /// Findings stored with it, including the one about removed U+0000.
    pub findings: u64,
    /// Texts from which U+0000 was removed.
    pub nul_removed: u64,
}

/// The result of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// One per load, in the order given.
    pub loads: Vec<LoadReport>,
    /// Log entries for new, changed and deleted rows of published tables, to be appended in this transaction, each with the
    /// position of the load that changed the row.
    pub entries: Vec<(usize, LogEntry)>,
}

/// Loads being written, for more rows than fit in memory: [`rows`](Self::rows) may be called repeatedly.
#[derive(Debug)]
pub struct Loading {
    tables: Tables,
    loads: Vec<Open>,
    replaced: Replaced,
}

/// Rows to be written, by name of their table.
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
/// [`Content`](DbErrorKind::Content) naming module, table, column and line of a value that cannot be stored: the whole
/// batch fails, and the caller repeats it item by item to lose only that one.
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
    /// Removes older loads of the same deliveries and modules, and inserts these.
    ///
    /// # Errors
    /// [`Conflict`](DbErrorKind::Conflict) when two of `loads` have the same delivery and module.
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
            for one in &lost {
                self.count(&table, one.load, one.fate);
            }
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

    /// Stores findings and counts; returns the reports, and log entries of rows that are gone and of superseded ones that moved
    /// back.
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

    /// Converts rows to stored form, grouped by table.
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
        store::upsert(tx, table, OnConflict::Replace, merged.winners.iter().map(|(w, _)| &w.row)).await?;
        store::supersede(tx, table, merged.losers.iter()).await?;
        for (incoming, fate) in &merged.winners {
            self.settle(table, incoming, *fate, entries);
        }
        for (incoming, fate) in &merged.refused {
            self.count(table, incoming.load, *fate);
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
        self.count(table, incoming.load, fate);
        if !table.table.published {
            return;
        }
        match fate {
            Fate::Inserted | Fate::Updated => {
                entries.extend(self.replaced.entry_of(table, incoming).map(|entry| (incoming.load, entry)));
            }
            Fate::Duplicate => self.replaced.took_over(table, incoming),
            Fate::Stale => {}
        }
    }

    fn count(&mut self, table: &Declared, load: usize, fate: Fate) {
        self.loads[load].counts.entry(table.table.name.clone()).or_default().add(fate);
    }
}

/// Lengths of the chunks for rows of these sizes.
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

/// Approximate size of a row in a statement, in bytes.
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

/// The load with U+0000 removed from its texts; those of rows are cleaned one by one.
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
