//! Which changes of published tables are told.

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
    /// What keeps one object's history in order: the value of the table's `log_key`, as text.
    pub key: String,
    /// The row in JSON, all columns.
    pub body: Vec<u8>,
}

/// The topic of a published table.
#[must_use]
pub fn topic(table: &str) -> String {
    format!("rows.{table}")
}

/// Rows of published tables that were taken out in this transaction, by table and key: a replay that says the same
/// again is no change.
#[derive(Debug, Default)]
pub(super) struct Replaced {
    /// Position of the load that replaces what is taken out now.
    pub(super) position: usize,
    rows: BTreeMap<(String, Digest), Was>,
}

#[derive(Debug)]
struct Was {
    row_hash: Vec<u8>,
    /// What stepped back in, as an entry of the load that made it; none if it says what the row taken out said.
    put_back: Option<(usize, LogEntry)>,
}

impl Replaced {
    /// Remembers a row that was taken out, and what stepped back in.
    pub(super) fn note(&mut self, table: &Declared, gone: &StoredRow, back: Option<&StoredRow>) {
        if table.table.published {
            let key = (table.table.name.clone(), gone.key_hash(table));
            // A row that is taken out twice in one batch is compared with what was there first.
            let first = self.rows.remove(&key).map_or_else(|| gone.row_hash().to_vec(), |was| was.row_hash);
            let put_back =
                back.filter(|row| row.row_hash() != first).map(|row| (self.position, entry(table, row)));
            self.rows.insert(key, Was { row_hash: first, put_back });
        }
    }

    /// The entry of a row that now stands in the table, unless the row taken out said the same.
    pub(super) fn entry_of(&mut self, table: &Declared, incoming: &Incoming) -> Option<LogEntry> {
        let was = self.rows.remove(&(table.table.name.clone(), incoming.key));
        let changed = was.is_none_or(|was| was.row_hash != incoming.row.row_hash());
        changed.then(|| entry(table, &incoming.row))
    }

    /// Entries of the rows that stepped back in and stayed, each with the position of its load.
    pub(super) fn into_entries(self) -> Vec<(usize, LogEntry)> {
        self.rows.into_values().filter_map(|was| was.put_back).collect()
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
