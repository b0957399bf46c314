//! Which index SQLite should take where several would do: it has no statistics, so matches are counted.

use super::{DbError, Tx};
use crate::sql;

/// So many rows are few: sorting or looking at each costs less than walking others until a page of them has been met.
pub const FEW: i64 = 5_000;

/// Of the columns of `table` that are asked for, the one with the fewest rows, if those are [`FEW`]. A column is asked for
/// with the text it must hold, or with `None` if it may not be null.
///
/// # Errors
/// When the store fails.
pub async fn fewest(
    tx: &mut Tx<'_>,
    table: &str,
    asked: &[(&'static str, Option<&str>)],
) -> Result<Option<&'static str>, DbError> {
    let (mut least, mut best) = (FEW, None);
    for &(column, wanted) in asked {
        let condition = if wanted.is_some() { "= $1" } else { "IS NOT NULL" };
        let text =
            format!("SELECT count(*) FROM (SELECT 1 FROM {table} WHERE {column} {condition} LIMIT {least})");
        let text = sqlx::AssertSqlSafe(text);
        let found: i64 = match wanted {
            Some(wanted) => sql!(&mut *tx, query_scalar(text, wanted).fetch_one)?,
            None => sql!(&mut *tx, query_scalar(text).fetch_one)?,
        };
        if found < least {
            (least, best) = (found, Some(column));
        }
    }
    Ok(best)
}
