//! Takes a load out, and lets what it had replaced step back in.

use super::publish::{LogEntry, Replaced};
use super::{CHUNK, store};
use crate::ids::{Digest, LoadId};
use crate::infra::db::{DbError, DbErrorKind, Tx};
use crate::load::declared::{Declared, Tables};
use crate::load::row::StoredRow;
use std::collections::HashMap;

/// What removing a load came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Rows that stood in tables.
    pub rows: u64,
    /// Rows of other loads that stepped back in.
    pub put_back: u64,
    /// Changed rows of published tables, to be appended to the log in this transaction. Rows that are gone altogether
    /// are not told.
    pub entries: Vec<LogEntry>,
}

/// Removes a load, its rows wherever they are, and its findings. `None` if there is no such load.
///
/// # Errors
/// Those of the store; [`Corrupt`](DbErrorKind::Corrupt) when its module is no longer declared.
pub async fn remove(tx: &mut Tx<'_>, tables: &Tables, load: LoadId) -> Result<Option<Removed>, DbError> {
    let Some(module) = store::module_of(tx, load).await? else {
        return Ok(None);
    };
    if !tables.declares(&module) {
        let why = format!("module {module} of load {load} is not declared: its rows cannot be found");
        return Err(DbError::new(DbErrorKind::Corrupt, why));
    }
    let mut replaced = Replaced::default();
    let mut removed = take_out(tx, tables, load, &module, &mut replaced).await?;
    removed.entries = replaced.into_entries().into_iter().map(|(_, entry)| entry).collect();
    Ok(Some(removed))
}

/// As [`remove`], with the changes noted in `replaced` instead of told.
pub(super) async fn take_out(
    tx: &mut Tx<'_>,
    tables: &Tables,
    load: LoadId,
    module: &str,
    replaced: &mut Replaced,
) -> Result<Removed, DbError> {
    // The load may have been a large one, even where the one that replaces it is small.
    tx.take_time().await?;
    // First: whoever is putting one of these back right now is waited for, and its table seen afterwards.
    store::forget_superseded(tx, load).await?;
    let mut removed = Removed::default();
    let mut of_module: Vec<_> = tables.tables().iter().filter(|t| t.module == module).collect();
    of_module.sort_by(|a, b| a.table.name.cmp(&b.table.name));
    for table in of_module {
        loop {
            let gone = store::take(tx, table, load, CHUNK).await?;
            if gone.is_empty() {
                break;
            }
            let back = put_back(tx, table, &gone).await?;
            removed.rows += gone.len() as u64;
            removed.put_back += back.len() as u64;
            for row in &gone {
                replaced.note(table, row, back.get(&row.key_hash(table)));
            }
        }
    }
    store::delete_load(tx, load).await?;
    Ok(removed)
}

/// Moves the newest superseded row of each key back into the table.
async fn put_back(
    tx: &mut Tx<'_>,
    table: &Declared,
    gone: &[StoredRow],
) -> Result<HashMap<Digest, StoredRow>, DbError> {
    let mut free: Vec<Digest> = gone.iter().map(|row| row.key_hash(table)).collect();
    let mut back: HashMap<Digest, StoredRow> = HashMap::new();
    // More than one round only if another transaction removed a candidate meanwhile.
    loop {
        let candidates = store::newest_superseded(tx, table, &free).await?;
        if candidates.is_empty() {
            break;
        }
        let ids: Vec<i64> = candidates.iter().map(|(id, _)| *id).collect();
        let ours = store::take_superseded(tx, &ids).await?;
        let rows = candidates.into_iter().filter(|(id, _)| ours.contains(id)).map(|(_, row)| row);
        back.extend(rows.map(|row| (row.key_hash(table), row)));
        free.retain(|key| !back.contains_key(key));
    }
    let mut rows: Vec<&StoredRow> = back.values().collect();
    rows.sort_by(|a, b| a.compare_keys(b, table));
    store::put_back(tx, table, rows.into_iter()).await?;
    Ok(back)
}
