//! SQL of queries, and reads of loads and findings.

use super::Checked;
use super::select::{Part, Start, count, statement};
use crate::ids::{DeliveryId, JobId, LoadId, Scope, Timestamp};
use crate::infra::db::{Db, DbError, Tx, View};
use crate::load::columns::{fetch, lines};
use crate::load::provenance::Field;
use crate::load::sql::Dialect;
use crate::load::write::Counts;
use crate::sql;
use module_api::{ColumnKind, Value};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Reads one row more than the page holds, to know whether there is another page.
pub(super) async fn rows(db: &Db, query: &Checked) -> Result<Vec<Vec<Value>>, DbError> {
    let mut reader = db.reader(View::Results).await?;
    let tx = &mut reader.tx();
    let wanted = usize::try_from(query.limit).unwrap_or(usize::MAX).saturating_add(1);
    let Some(branches) = query.branches() else { return branch(tx, query, wanted).await };
    let mut rows = Vec::new();
    for query in &branches {
        rows.extend(branch(tx, query, wanted).await?);
    }
    rows.sort_by(|a, b| query.compare(a, b));
    rows.truncate(wanted);
    Ok(rows)
}

/// Up to `wanted` rows of a query, in its order.
async fn branch(tx: &mut Tx<'_>, query: &Checked, wanted: usize) -> Result<Vec<Vec<Value>>, DbError> {
    let (dialect, start) = (Dialect::of(tx), start(tx, query).await?);
    let mut rows = Vec::new();
    for &part in Part::left(query).iter() {
        let missing = wanted - rows.len();
        if missing > 0 {
            let statement = statement(dialect, query, start, part, missing);
            rows.extend(fetch(tx, statement, &query.table.fields, false).await?);
        }
    }
    Ok(rows)
}

/// How the store would run a query, one line per step.
pub(super) async fn plan(db: &Db, query: &Checked) -> Result<Vec<String>, DbError> {
    let mut reader = db.reader(View::Results).await?;
    let tx = &mut reader.tx();
    let branches = query.branches();
    let mut plan = Vec::new();
    for query in branches.as_deref().unwrap_or(std::slice::from_ref(query)) {
        let (dialect, start) = (Dialect::of(tx), start(tx, query).await?);
        for &part in Part::left(query).iter() {
            let (text, bound) = statement(dialect, query, start, part, 1);
            plan.extend(lines(tx, (format!("{}{text}", tx.explain()), bound)).await?);
        }
    }
    Ok(plan)
}

/// Where to begin: Postgres knows by itself.
async fn start(tx: &mut Tx<'_>, query: &Checked) -> Result<Start, DbError> {
    let dialect = Dialect::of(tx);
    if dialect == Dialect::Pg {
        return Ok(Start::Anywhere);
    }
    let conditions = match Start::without_counts(query) {
        Ok(start) => return Ok(start),
        Err(conditions) => conditions,
    };
    let rows = [Field::new("rows", ColumnKind::Int, false)];
    let mut counts = Vec::with_capacity(conditions.len());
    for number in conditions {
        let counted = fetch(tx, count(dialect, query, number), &rows, false).await?;
        match counted.first().and_then(|row| row.first()) {
            Some(Value::Int(rows)) => counts.push((number, *rows)),
            _ => return Err(DbError::corrupt("a count is not a number")),
        }
    }
    Ok(Start::of_counts(query, &counts))
}

/// The rows that one job produced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema, sqlx::FromRow)]
#[schema(as = Load)]
pub struct LoadRow {
    /// Its id: `load_id` of its rows.
    pub id: LoadId,
    /// The delivery it was read from.
    #[serde(skip)]
    pub delivery_id: DeliveryId,
    /// The module that read it.
    pub module: String,
    /// Version of the module.
    pub parser_version: String,
    /// The job that ran the module.
    pub job_id: JobId,
    /// Outcome of the run.
    pub outcome: String,
    /// The profile that shaped the rows.
    pub profile: Option<String>,
    /// Counts of its rows, by table.
    #[serde(rename = "rows")]
    #[sqlx(json)]
    pub row_counts: BTreeMap<String, Counts>,
    /// Number of its findings.
    pub findings: i64,
    /// When it was written.
    pub loaded_at: Timestamp,
}

/// A warning with a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema, sqlx::FromRow)]
#[schema(as = Finding)]
pub struct FindingRow {
    /// Its load.
    pub load_id: LoadId,
    /// Its number within the load, from 0.
    #[serde(skip)]
    pub ordinal: i64,
    /// `info`, `warning` or `error`.
    pub severity: String,
    /// The rule that was broken.
    pub rule: String,
    /// Path of the part.
    pub part: String,
    /// 1-based line or record.
    pub line: Option<i64>,
    /// Byte in the part.
    pub byte_offset: Option<i64>,
    /// The field concerned, if any.
    pub field: Option<String>,
    /// What is wrong.
    pub message: String,
    /// The offending text.
    pub excerpt: String,
}

/// The loads of a delivery, oldest first.
pub async fn loads_of_delivery(
    db: &Db,
    scope: &Scope,
    delivery: DeliveryId,
) -> Result<Vec<LoadRow>, DbError> {
    let text = "SELECT id, delivery_id, module, parser_version, job_id, outcome, profile, row_counts, findings, \
                loaded_at FROM load WHERE delivery_id = $1 AND ($2 IS NULL OR customer = $2) ORDER BY id";
    let mut reader = db.reader(View::Results).await?;
    Ok(sql!(&mut reader.tx(), query_as(text, delivery, scope.customer()).fetch_all)?)
}

/// Up to `limit` findings of a load, from number `first` on.
pub async fn findings_of_load(
    db: &Db,
    scope: &Scope,
    load: LoadId,
    first: i64,
    limit: u32,
) -> Result<Vec<FindingRow>, DbError> {
    let text = "SELECT f.load_id, CAST(f.ordinal AS bigint) AS ordinal, f.severity, f.rule, f.part, f.line, \
                f.byte_offset, f.field, f.message, f.excerpt FROM finding AS f JOIN load AS l ON l.id = f.load_id \
                WHERE f.load_id = $1 AND f.ordinal >= $2 AND ($3 IS NULL OR l.customer = $3) \
                ORDER BY f.ordinal LIMIT $4";
    let mut reader = db.reader(View::Results).await?;
    let query =
        sql!(&mut reader.tx(), query_as(text, load, first, scope.customer(), i64::from(limit)).fetch_all);
    Ok(query?)
}
