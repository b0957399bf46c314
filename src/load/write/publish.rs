//! Log entries for changes of published tables.
//!
//! Of each key a load tells what differs from the last thing told: a row that is there at the end is an upsert if it is new or
//! has other values, and a row that is gone is a delete. A row that a load removes and writes back with the same values is
//! no change, so deletes are told at the end, when it is known what came back.

use super::merge::Incoming;
use crate::ids::Digest;
use crate::load::declared::Declared;
use crate::load::provenance::GROUP;
use crate::load::row::{StoredRow, object};
use crate::load::value;
use module_api::Value;
use std::collections::BTreeMap;

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// It is new, or has other values.
    Upsert,
    /// It is gone.
    Delete,
    /// It is as it was: somebody asked for it.
    Snapshot,
}

/// One new, changed or deleted row, to be appended to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// `rows.<table>`.
    pub topic: String,
    /// What happened.
    pub op: Op,
    /// The value of the table's `log_key` as text; keeps the history of one object in order.
    pub key: String,
    /// The row in JSON: all columns of an upsert or snapshot, the natural key of a delete.
    pub body: Vec<u8>,
}

impl Op {
    /// As the header `op` has it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Upsert => "upsert",
            Self::Delete => "delete",
            Self::Snapshot => "snapshot",
        }
    }
}

/// The topic of a published table.
#[must_use]
pub fn topic(table: &str) -> String {
    format!("rows.{table}")
}

/// Rows of published tables removed in this transaction, by table and key.
#[derive(Debug, Default)]
pub(super) struct Replaced {
    /// Position of the load that replaces the rows removed now.
    pub(super) position: usize,
    rows: BTreeMap<(String, Digest), Previous>,
}

#[derive(Debug)]
struct Previous {
    /// What the row that was told last says.
    content: Content,
    /// The entry that says it is gone.
    delete: LogEntry,
    back: Back,
    /// Position of the load that removed it.
    position: usize,
}

/// What a row says: its module's values, and the group, which may change by a rule alone. Who read it when is no change.
#[derive(Debug, PartialEq, Eq)]
struct Content {
    row_hash: Vec<u8>,
    group: Value,
}

impl Content {
    fn of(row: &StoredRow) -> Self {
        Self { row_hash: row.row_hash().to_vec(), group: row.values[GROUP].clone() }
    }
}

/// The superseded row that moved back for a removed one.
#[derive(Debug)]
enum Back {
    None,
    /// It has the values of the row that was told last.
    Same,
    Other(LogEntry),
}

impl Replaced {
    /// Remembers a removed row, and the superseded one that moved back.
    pub(super) fn note(&mut self, table: &Declared, gone: &StoredRow, back: Option<&StoredRow>) {
        if !table.table.published {
            return;
        }
        let key = (table.table.name.clone(), gone.key_hash(table));
        // A row removed twice in one batch is compared with the first one.
        let (content, delete) = match self.rows.remove(&key) {
            Some(previous) => (previous.content, previous.delete),
            None => (Content::of(gone), delete(table, gone)),
        };
        let back = match back {
            None => Back::None,
            Some(row) if Content::of(row) == content => Back::Same,
            Some(row) => Back::Other(upsert(table, row)),
        };
        self.rows.insert(key, Previous { content, delete, back, position: self.position });
    }

    /// The entry of a new or changed row, unless it equals the removed one.
    pub(super) fn entry_of(&mut self, table: &Declared, incoming: &Incoming) -> Option<LogEntry> {
        let previous = self.rows.remove(&(table.table.name.clone(), incoming.key));
        let changed = previous.is_none_or(|previous| previous.content != Content::of(&incoming.row));
        changed.then(|| upsert(table, &incoming.row))
    }

    /// A row took the place of one with the same values: if that one had moved back, this one is told instead.
    pub(super) fn took_over(&mut self, table: &Declared, incoming: &Incoming) {
        if let Some(previous) = self.rows.get_mut(&(table.table.name.clone(), incoming.key))
            && let Back::Other(entry) = &mut previous.back
        {
            *entry = upsert(table, &incoming.row);
        }
    }

    /// Entries of removed rows that nothing written replaced, each with the position of its load.
    pub(super) fn into_entries(self) -> Vec<(usize, LogEntry)> {
        let entry = |Previous { delete, back, position, .. }| match back {
            Back::None => Some((position, delete)),
            Back::Same => None,
            Back::Other(upsert) => Some((position, upsert)),
        };
        self.rows.into_values().filter_map(entry).collect()
    }
}

/// A row that is told although it has not changed. `values` has one per [`Declared::fields`].
#[must_use]
pub fn snapshot(table: &Declared, values: &[Value]) -> LogEntry {
    entry(table, values, Op::Snapshot, object(table, values))
}

fn upsert(table: &Declared, row: &StoredRow) -> LogEntry {
    entry(table, &row.values, Op::Upsert, row.to_json(table))
}

fn delete(table: &Declared, row: &StoredRow) -> LogEntry {
    entry(table, &row.values, Op::Delete, row.key_to_json(table))
}

fn entry(
    table: &Declared,
    values: &[Value],
    op: Op,
    body: serde_json::Map<String, serde_json::Value>,
) -> LogEntry {
    let position = table.table.log_key.as_deref().and_then(|name| table.position(name));
    LogEntry {
        topic: topic(&table.table.name),
        op,
        key: position.map(|p| value::to_text(&values[p])).unwrap_or_default(),
        body: serde_json::Value::Object(body).to_string().into_bytes(),
    }
}
