//! Log entries for changes of published tables.

use super::merge::Incoming;
use crate::ids::Digest;
use crate::load::declared::Declared;
use crate::load::row::StoredRow;
use crate::load::value;
use std::collections::BTreeMap;

/// One new or changed row, to be appended to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// `rows.<table>`.
    pub topic: String,
    /// The value of the table's `log_key` as text; keeps the history of one object in order.
    pub key: String,
    /// The row in JSON, all columns.
    pub body: Vec<u8>,
}

/// The topic of a published table.
#[must_use]
pub fn topic(table: &str) -> String {
    format!("rows.{table}")
}

/// Rows of published tables removed in this transaction, by table and key: a replay with the same values is no change.
#[derive(Debug, Default)]
pub(super) struct Replaced {
    /// Position of the load that replaces the rows removed now.
    pub(super) position: usize,
    rows: BTreeMap<(String, Digest), Previous>,
}

#[derive(Debug)]
struct Previous {
    row_hash: Vec<u8>,
    /// Entry of the superseded row that moved back, with the position of its load; `None` if it equals the removed row.
    put_back: Option<(usize, LogEntry)>,
}

impl Replaced {
    /// Remembers a removed row, and the superseded one that moved back.
    pub(super) fn note(&mut self, table: &Declared, gone: &StoredRow, back: Option<&StoredRow>) {
        if table.table.published {
            let key = (table.table.name.clone(), gone.key_hash(table));
            // A row removed twice in one batch is compared with the first one.
            let first =
                self.rows.remove(&key).map_or_else(|| gone.row_hash().to_vec(), |previous| previous.row_hash);
            let put_back =
                back.filter(|row| row.row_hash() != first).map(|row| (self.position, entry(table, row)));
            self.rows.insert(key, Previous { row_hash: first, put_back });
        }
    }

    /// The entry of a written row, unless it equals the removed one.
    pub(super) fn entry_of(&mut self, table: &Declared, incoming: &Incoming) -> Option<LogEntry> {
        let previous = self.rows.remove(&(table.table.name.clone(), incoming.key));
        let changed = previous.is_none_or(|previous| previous.row_hash != incoming.row.row_hash());
        changed.then(|| entry(table, &incoming.row))
    }

    /// Entries of the superseded rows that moved back and stayed, each with the position of its load.
    pub(super) fn into_entries(self) -> Vec<(usize, LogEntry)> {
        self.rows.into_values().filter_map(|previous| previous.put_back).collect()
    }
}

fn entry(table: &Declared, row: &StoredRow) -> LogEntry {
    let position = table.table.log_key.as_deref().and_then(|name| table.position(name));
    LogEntry {
        topic: topic(&table.table.name),
        key: position.map(|p| value::to_text(&row.values[p])).unwrap_or_default(),
        body: serde_json::Value::Object(row.to_json(table)).to_string().into_bytes(),
    }
}
