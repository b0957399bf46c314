//! All SQL of the table `log_file`: sealed files, noted before they are made, and the entries that name them.

use super::store::Entry;
use crate::ids::Timestamp;
use crate::infra::db::{DbError, Tx};
use crate::sql;
use serde_json::json;

/// Notes a file that will be made. In a transaction of its own, so that the file is known whatever becomes of the commit that
/// names it.
pub async fn note_file(tx: &mut Tx<'_>, path: &str) -> Result<(), DbError> {
    sql!(tx, query("INSERT INTO log_file (path, noted_at) VALUES ($1, $2)", path, Timestamp::now()).execute)?;
    Ok(())
}

/// At most `limit` files that nothing needs any longer: their entry was pruned, or they were noted before `undecided` and still no
/// entry names them.
pub async fn unneeded_files(
    tx: &mut Tx<'_>,
    undecided: Timestamp,
    limit: u32,
) -> Result<Vec<String>, DbError> {
    let text = "
        SELECT f.path FROM log_file f LEFT JOIN topic t ON t.id = f.topic
        WHERE (f.seq IS NULL AND f.noted_at < $1) OR f.seq <= t.pruned ORDER BY f.path LIMIT $2";
    Ok(sql!(tx, query_scalar(text, undecided, i64::from(limit)).fetch_all)?)
}

/// Forgets files that are removed.
pub async fn forget_files(tx: &mut Tx<'_>, paths: &[String]) -> Result<(), DbError> {
    match tx {
        Tx::Pg(connection) => {
            let text = "DELETE FROM log_file WHERE path = ANY($1)";
            sqlx::query(text).bind(paths).execute(&mut **connection).await?;
        }
        Tx::Lite(connection) => {
            let text = "DELETE FROM log_file WHERE path IN (SELECT value FROM json_each($1))";
            sqlx::query(text).bind(json!(paths).to_string()).execute(&mut **connection).await?;
        }
    }
    Ok(())
}

/// Whether an entry names a file.
pub(super) fn names_file(entry: &Entry) -> bool {
    entry.headers.contains_key(super::sealed::FILE)
}
