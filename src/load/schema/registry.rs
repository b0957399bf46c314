//! Versions of the schemas of published rows, and all SQL of their table `row_schema`.
//!
//! A version names a content, for good: a program with another declaration adds the next one, and an older program that starts
//! again finds its own. So servers of two versions can run side by side, and each log entry says by which one its row was written.

use super::json_schema;
use crate::ids::{Digest, Timestamp};
use crate::in_tx;
use crate::infra::db::{Db, DbError, DbErrorKind, Lane, Tx};
use crate::load::declared::{Declared, Tables};
use crate::sql;
use serde_json::Value;
use sqlx::types::Json;
use std::collections::BTreeMap;

/// How often a version is looked for while other processes add versions of the same table.
const ROUNDS: usize = 10;

/// A version of the schema of a table.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct SchemaVersion {
    /// Name of the table.
    pub table_name: String,
    /// From 1.
    pub version: i32,
    /// When a program first declared the table so.
    pub created_at: Timestamp,
}

/// The versions under which this program writes its published tables, by name. Those that are new are added.
pub async fn register_schemas(db: &Db, tables: &Tables) -> Result<BTreeMap<String, i32>, DbError> {
    let published = tables.tables().iter().filter(|declared| declared.table.published);
    let published: Vec<_> = published.cloned().collect();
    let register = in_tx!(db, Lane::State, tx => async {
        let mut versions = BTreeMap::new();
        for declared in &published {
            versions.insert(declared.table.name.clone(), register(tx, declared).await?);
        }
        Ok(versions)
    });
    register.await
}

async fn register(tx: &mut Tx<'_>, declared: &Declared) -> Result<i32, DbError> {
    let (table, schema) = (&declared.table.name, json_schema(declared));
    let digest = digest(&schema);
    for _ in 0..ROUNDS {
        if let Some(version) = version_of(tx, table, digest).await? {
            return Ok(version);
        }
        let text = "
            INSERT INTO row_schema (table_name, version, digest, schema, created_at)
            SELECT $1, coalesce(max(version), 0) + 1, $2, $3, $4 FROM row_schema WHERE table_name = $1
            ON CONFLICT DO NOTHING";
        sql!(tx, query(text, table, digest, Json(&schema), Timestamp::now()).execute)?;
    }
    let why = format!("the schema of table {table} has no version after {ROUNDS} attempts");
    Err(DbError::new(DbErrorKind::Contention, why))
}

/// The version under which this program writes a table; `None` if it has not registered it.
pub async fn current_schema(tx: &mut Tx<'_>, declared: &Declared) -> Result<Option<i32>, DbError> {
    version_of(tx, &declared.table.name, digest(&json_schema(declared))).await
}

async fn version_of(tx: &mut Tx<'_>, table: &str, digest: Digest) -> Result<Option<i32>, DbError> {
    let text = "SELECT version FROM row_schema WHERE table_name = $1 AND digest = $2";
    Ok(sql!(tx, query_scalar(text, table, digest).fetch_optional)?)
}

/// All versions, by table and number.
pub async fn schema_versions(tx: &mut Tx<'_>) -> Result<Vec<SchemaVersion>, DbError> {
    let text = "SELECT table_name, version, created_at FROM row_schema ORDER BY table_name, version";
    Ok(sql!(tx, query_as(text).fetch_all)?)
}

/// One version of a table's schema, or the newest.
pub async fn schema(
    tx: &mut Tx<'_>,
    table: &str,
    version: Option<i32>,
) -> Result<Option<(i32, Value)>, DbError> {
    let text = "
        SELECT version, schema FROM row_schema WHERE table_name = $1 AND version = coalesce($2, version)
        ORDER BY version DESC LIMIT 1";
    let found: Option<(i32, Json<Value>)> = sql!(tx, query_as(text, table, version).fetch_optional)?;
    Ok(found.map(|(version, Json(schema))| (version, schema)))
}

fn digest(schema: &Value) -> Digest {
    Digest::of(schema.to_string().as_bytes())
}
