//! Removes a load, and moves the rows that it had replaced back into their tables.

use super::publish::{LogEntry, Replaced};
use super::{CHUNK, store};
use crate::ids::{Digest, LoadId};
use crate::infra::db::{DbError, Tx};
use crate::load::declared::{Declared, Tables};
use crate::load::row::StoredRow;
use crate::load::sql::OnConflict;
use std::collections::HashMap;

/// The result of a removal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Rows removed from tables.
    pub rows: u64,
    /// Superseded rows of other loads that moved back.
    pub put_back: u64,
    /// Log entries for deleted and changed rows of published tables, to be appended in this transaction.
    pub entries: Vec<LogEntry>,
}

/// Removes a load, its rows wherever they are, and its findings. `None` if there is no such load.
///
/// # Errors
/// [`Corrupt`](crate::infra::db::DbErrorKind::Corrupt) when its module is no longer declared.
pub async fn remove(tx: &mut Tx<'_>, tables: &Tables, load: LoadId) -> Result<Option<Removed>, DbError> {
    let Some(module) = store::module_of(tx, load).await? else {
        return Ok(None);
    };
    if !tables.declares(&module) {
        let why = format!("module {module} of load {load} is not declared: its rows cannot be found");
        return Err(DbError::corrupt(why));
    }
    let mut replaced = Replaced::default();
    let mut removed = take_out(tx, tables, load, &module, &mut replaced).await?;
    removed.entries = replaced.into_entries().into_iter().map(|(_, entry)| entry).collect();
    Ok(Some(removed))
}

/// As [`remove`], but notes the changes in `replaced`.
pub(super) async fn take_out(
    tx: &mut Tx<'_>,
    tables: &Tables,
    load: LoadId,
    module: &str,
    replaced: &mut Replaced,
) -> Result<Removed, DbError> {
    // The load may be large, even if the one that replaces it is small.
    tx.take_time().await?;
    // First, to wait for a transaction that is moving one of these back, and to see its row below.
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
    store::upsert(tx, table, OnConflict::Fail, rows.into_iter()).await?;
    Ok(back)
}
