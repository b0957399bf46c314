//! The schemas agree: tables and columns of Postgres are those of the two SQLite files together.

use crate::stores::{each_store, open_lite};
use headworks::infra::db::{Db, DbError, Tx, View};
use headworks::on_either;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Tables that SQLite alone has: a sequence that a row id cannot be, and ends on their way to the other file.
const ONLY_LITE: [&str; 2] = ["counter", "stored_end"];
/// Tables that both SQLite files have.
const IN_BOTH_FILES: [&str; 1] = ["store"];

/// What a column is: its type in SQLite's words, and whether it may be null.
type Columns = BTreeMap<(String, String), (String, bool)>;

/// How a type of Postgres stands in SQLite; `None` for one that the migrations do not use.
fn lite_type(pg: &str) -> Option<&'static str> {
    match pg {
        "bigint" | "integer" | "smallint" | "boolean" | "timestamp with time zone" => Some("INTEGER"),
        "text" | "jsonb" => Some("TEXT"),
        "bytea" | "uuid" => Some("BLOB"),
        _ => None,
    }
}

async fn pg_columns(tx: &mut Tx<'_>) -> Result<Columns, DbError> {
    let text = "
        SELECT c.relname::text, a.attname::text, format_type(a.atttypid, NULL), NOT a.attnotnull
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
          AND c.relname NOT LIKE '\\_sqlx\\_%'";
    let rows: Vec<(String, String, String, bool)> =
        on_either!(tx, c => sqlx::query_as(text).fetch_all(c).await?);
    let columns = rows.into_iter().map(|(table, column, pg, nullable)| {
        let lite = lite_type(&pg).unwrap_or_else(|| panic!("{table}.{column}: no SQLite type for {pg}"));
        ((table, column), (lite.to_owned(), nullable))
    });
    Ok(columns.collect())
}

async fn lite_columns(tx: &mut Tx<'_>) -> Result<Columns, DbError> {
    // A primary key is never null here: STRICT INTEGER keys cannot be, and the others are always given.
    let text = "
        SELECT t.name, c.name, c.type, c.\"notnull\" = 0 AND c.pk = 0 FROM pragma_table_list t JOIN pragma_table_info(t.name) c
        WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND t.name NOT LIKE '\\_sqlx\\_%' ESCAPE '\\'";
    let rows: Vec<(String, String, String, bool)> =
        on_either!(tx, c => sqlx::query_as(text).fetch_all(c).await?);
    Ok(rows.into_iter().map(|(table, column, kind, nullable)| ((table, column), (kind, nullable))).collect())
}

async fn both_files(db: &Db) -> Columns {
    let state = lite_columns(&mut db.reader(View::State).await.unwrap().tx()).await.unwrap();
    let results = lite_columns(&mut db.reader(View::Results).await.unwrap().tx()).await.unwrap();
    let tables =
        |columns: &Columns| -> BTreeSet<String> { columns.keys().map(|(table, _)| table.clone()).collect() };
    let shared: Vec<String> = tables(&state).intersection(&tables(&results)).cloned().collect();
    assert_eq!(shared, IN_BOTH_FILES, "tables in both files");
    state.into_iter().chain(results).collect()
}

#[tokio::test]
async fn postgres_has_the_tables_and_columns_of_both_sqlite_files() {
    let directory = tempfile::tempdir().unwrap();
    let lite = open_lite(directory.path()).await;
    let mut expected = both_files(&lite).await;
    lite.close().await;
    for table in ONLY_LITE {
        assert!(expected.keys().any(|(t, _)| t == table), "{table} is gone: remove it from the exceptions");
        expected.retain(|(t, _), _| t != table);
    }
    let expected = Arc::new(expected);
    each_store(|db| {
        let expected = Arc::clone(&expected);
        async move {
            if !db.is_pg() {
                return;
            }
            let found = pg_columns(&mut db.reader(View::State).await.unwrap().tx()).await.unwrap();
            for key in found.keys().chain(expected.keys()) {
                assert_eq!(found.get(key), expected.get(key), "{}.{}: Postgres, then SQLite", key.0, key.1);
            }
        }
    })
    .await;
}
