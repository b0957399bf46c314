//! SQL of `module_table`, and the DDL of a plan.

use super::ddl::INDEX_PREFIX;
use super::{Definition, Indexes, Record, Step};
use crate::infra::db::{DbError, Tx};
use crate::load::sql::Dialect;
use crate::{on_either, sql};
use sqlx::{AssertSqlSafe, Executor};
use std::time::Duration;

/// Advisory lock of Postgres that a server takes before it reads `module_table`.
const LOCK: i64 = 0x6d6f_6474;

/// Locks the module tables against other servers until the end of the transaction.
pub(super) async fn lock(tx: &mut Tx<'_>, timeout: Duration) -> Result<Dialect, DbError> {
    match tx {
        // SQLite has one writer, which is lock enough.
        Tx::Lite(_) => Ok(Dialect::Lite),
        Tx::Pg(connection) => {
            sqlx::query("SELECT set_config('lock_timeout', $1, true)")
                .bind(format!("{}ms", timeout.as_millis()))
                .execute(&mut **connection)
                .await?;
            sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut **connection).await?;
            Ok(Dialect::Pg)
        }
    }
}

/// All tables and views created so far.
pub(super) async fn records(tx: &mut Tx<'_>) -> Result<Vec<Record>, DbError> {
    let text = "SELECT name, module, CAST(declaration AS text) FROM module_table ORDER BY name";
    let rows: Vec<(String, String, String)> = sql!(tx, query_as(text).fetch_all)?;
    rows.into_iter()
        .map(|(name, module, declaration)| {
            let made: Definition = serde_json::from_str(&declaration)
                .map_err(|e| DbError::corrupt(format!("module_table {name}: {e}")))?;
            Ok(Record { name, module, made })
        })
        .collect()
}

/// The indexes of module tables that were made here, whether or not the tables are still declared.
pub(super) async fn indexes(tx: &mut Tx<'_>) -> Result<Indexes, DbError> {
    let text = Dialect::of(tx).either(
        "SELECT tablename::text, indexname::text FROM pg_indexes WHERE schemaname = 'rows'",
        "SELECT tbl_name, name FROM sqlite_master WHERE type = 'index' AND tbl_name LIKE 'rows\\_%' ESCAPE '\\'",
    );
    let rows: Vec<(String, String)> = sql!(tx, query_as(text).fetch_all)?;
    let mut found = Indexes::new();
    for (table, name) in rows.into_iter().filter(|(_, name)| name.starts_with(INDEX_PREFIX)) {
        found.entry(table).or_default().insert(name);
    }
    Ok(found)
}

/// Runs the DDL of one step and records it.
pub(super) async fn carry_out(tx: &mut Tx<'_>, step: &Step) -> Result<(), DbError> {
    for statement in &step.statements {
        let statement = AssertSqlSafe(statement.clone());
        on_either!(tx, connection => connection.execute(statement).await.map(drop))
            .map_err(|error| named(&step.record.name, error))?;
    }
    let declaration = serde_json::to_string(&step.record.made).map_err(DbError::corrupt)?;
    let text = Dialect::of(tx).either(
        "INSERT INTO module_table (name, module, declaration) VALUES ($1, $2, $3::jsonb) \
         ON CONFLICT (name) DO UPDATE SET module = excluded.module, declaration = excluded.declaration",
        "INSERT INTO module_table (name, module, declaration) VALUES ($1, $2, $3) \
         ON CONFLICT (name) DO UPDATE SET module = excluded.module, declaration = excluded.declaration",
    );
    sql!(tx, query(text, &step.record.name, &step.record.module, declaration).execute)?;
    Ok(())
}

fn named(name: &str, error: sqlx::Error) -> DbError {
    let error = DbError::from(error);
    DbError::new(error.kind(), format!("module table {name}: {error}"))
}
