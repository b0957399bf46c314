//! SQL of loads, findings and superseded rows, and of rows on their way into declared tables.

use super::merge::Incoming;
use super::{Open, chunks, weight};
use crate::ids::{Digest, JobId, LoadId};
use crate::infra::db::{DbError, DbErrorKind, Tx};
use crate::load::NewLoad;
use crate::load::columns::{arrays, decode_lite, decode_pg, json_rows};
use crate::load::declared::Declared;
use crate::load::provenance::Field;
use crate::load::row::StoredRow;
use crate::load::sql::{Dialect, Taken};
use crate::on_either;
use module_api::{ColumnKind, Severity, Value};
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row};
use std::collections::{BTreeSet, HashMap};
use uuid::Uuid;

// Loads ---------------------------------------------------------------------------------------------------------------

/// Loads that deliveries of these have from the same modules, each with the position of the one that replaces it.
pub(super) async fn older_loads(tx: &mut Tx<'_>, loads: &[NewLoad]) -> Result<Vec<(LoadId, i64)>, DbError> {
    let deliveries: Vec<Uuid> = loads.iter().map(|load| load.delivery.0).collect();
    let modules: Vec<String> = loads.iter().map(|load| load.module.clone()).collect();
    match tx {
        Tx::Pg(connection) => Ok(sqlx::query_as(
            "SELECT l.id, i.place - 1 FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS i(delivery_id, module, place) \
             JOIN load AS l USING (delivery_id, module) ORDER BY l.id",
        )
        .bind(deliveries)
        .bind(modules)
        .fetch_all(&mut **connection)
        .await?),
        Tx::Lite(connection) => {
            let pairs = deliveries.iter().map(|id| id.simple().to_string()).zip(&modules);
            let pairs: Vec<(String, &String)> = pairs.collect();
            Ok(sqlx::query_as(
                "SELECT l.id, i.key FROM json_each($1) AS i CROSS JOIN load AS l \
                 WHERE l.delivery_id = unhex(i.value ->> 0) AND l.module = i.value ->> 1 ORDER BY l.id",
            )
            .bind(json(&pairs)?)
            .fetch_all(&mut **connection)
            .await?)
        }
    }
}

/// Registers loads and returns their ids in the order given.
pub(super) async fn insert_loads(tx: &mut Tx<'_>, loads: &[NewLoad]) -> Result<Vec<LoadId>, DbError> {
    let fields = [
        Field::new("delivery_id", ColumnKind::Uuid, false),
        Field::new("customer", ColumnKind::Text, false),
        Field::new("module", ColumnKind::Text, false),
        Field::new("parser_version", ColumnKind::Text, false),
        Field::new("job_id", ColumnKind::Int, false),
        Field::new("outcome", ColumnKind::Text, false),
        Field::new("profile", ColumnKind::Text, true),
        Field::new("row_counts", ColumnKind::Json, false),
        Field::new("findings", ColumnKind::Int, false),
    ];
    let mut sorted: Vec<&NewLoad> = loads.iter().collect();
    sorted.sort_by(|a, b| (a.delivery, &a.module).cmp(&(b.delivery, &b.module)));
    let rows = sorted.into_iter().map(|load| {
        vec![
            Value::Uuid(load.delivery.0.into_bytes()),
            load.coordinates.customer.as_str().into(),
            load.module.as_str().into(),
            load.parser_version.as_str().into(),
            load.job.0.into(),
            load.outcome.as_str().into(),
            load.profile.clone().into(),
            Value::Json("{}".into()),
            0.into(),
        ]
    });
    let rows: Vec<Vec<Value>> = rows.collect();
    let made: Vec<(LoadId, Uuid, String)> = run(
        tx,
        |dialect| dialect.insert("load", &fields, "id, delivery_id, module"),
        &fields.iter().collect::<Vec<_>>(),
        &rows.iter().map(|row| row.iter().collect()).collect::<Vec<_>>(),
        |row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)),
        |row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)),
    )
    .await?;
    let ids: HashMap<(Uuid, String), LoadId> =
        made.into_iter().map(|(id, delivery, module)| ((delivery, module), id)).collect();
    let id = |load: &NewLoad| {
        let id = ids.get(&(load.delivery.0, load.module.clone())).copied();
        id.ok_or_else(|| DbError::new(DbErrorKind::Corrupt, "a load that was stored is not there"))
    };
    loads.iter().map(id).collect()
}

/// Fills in what is known at the end.
pub(super) async fn update_loads(tx: &mut Tx<'_>, loads: &[Open]) -> Result<(), DbError> {
    let ends = loads.iter().map(|open| Ok((open.id.0, json(&open.counts)?, open.load.findings.len())));
    let ends = json(&ends.collect::<Result<Vec<_>, DbError>>()?)?;
    let (pg, lite) = (
        "UPDATE load SET row_counts = (i.value ->> 1)::jsonb, findings = (i.value ->> 2)::bigint \
         FROM jsonb_array_elements($1::jsonb) AS i(value) WHERE load.id = (i.value ->> 0)::bigint",
        "UPDATE load SET row_counts = i.value ->> 1, findings = i.value ->> 2 \
         FROM json_each($1) AS i WHERE load.id = i.value ->> 0",
    );
    let text = if matches!(tx, Tx::Pg(_)) { pg } else { lite };
    on_either!(tx, connection => sqlx::query(text).bind(ends).execute(connection).await.map(drop))?;
    Ok(())
}

/// Stores the findings of all loads.
pub(super) async fn insert_findings(tx: &mut Tx<'_>, loads: &[Open]) -> Result<(), DbError> {
    let fields = [
        Field::new("load_id", ColumnKind::Int, false),
        Field::new("ordinal", ColumnKind::Int, false),
        Field::new("delivery_id", ColumnKind::Uuid, false),
        Field::new("severity", ColumnKind::Text, false),
        Field::new("rule", ColumnKind::Text, false),
        Field::new("part", ColumnKind::Text, false),
        Field::new("line", ColumnKind::Int, true),
        Field::new("byte_offset", ColumnKind::Int, true),
        Field::new("field", ColumnKind::Text, true),
        Field::new("message", ColumnKind::Text, false),
        Field::new("excerpt", ColumnKind::Text, false),
    ];
    let rows: Vec<Vec<Value>> = loads.iter().flat_map(findings_of).collect();
    let rows: Vec<Vec<&Value>> = rows.iter().map(|row| row.iter().collect()).collect();
    run_silently(tx, |dialect| dialect.insert("finding", &fields, ""), &fields, &rows).await
}

fn findings_of(open: &Open) -> impl Iterator<Item = Vec<Value>> {
    let whole = |number: Option<u64>| number.map(|n| i64::try_from(n).unwrap_or(i64::MAX)).into();
    (0_i64..).zip(&open.load.findings).map(move |(ordinal, finding)| {
        let part = usize::try_from(finding.place.part).ok().and_then(|part| open.load.parts.get(part));
        vec![
            open.id.0.into(),
            ordinal.into(),
            Value::Uuid(open.load.delivery.0.into_bytes()),
            severity_word(finding.severity).into(),
            finding.rule.as_str().into(),
            part.map_or_else(|| format!("part {}", finding.place.part), |part| part.path.clone()).into(),
            whole(finding.place.line),
            whole(finding.place.offset),
            finding.field.clone().into(),
            finding.message.as_str().into(),
            finding.excerpt.as_str().into(),
        ]
    })
}

const fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

/// The module of a load, if there is such a load.
pub(super) async fn module_of(tx: &mut Tx<'_>, load: LoadId) -> Result<Option<String>, DbError> {
    let text = "SELECT module FROM load WHERE id = $1";
    Ok(on_either!(tx, connection => sqlx::query_scalar(text).bind(load.0).fetch_optional(connection).await)?)
}

/// Removes a load and its findings; its rows are gone already.
pub(super) async fn delete_load(tx: &mut Tx<'_>, load: LoadId) -> Result<(), DbError> {
    for text in ["DELETE FROM finding WHERE load_id = $1", "DELETE FROM load WHERE id = $1"] {
        on_either!(tx, connection => sqlx::query(text).bind(load.0).execute(connection).await.map(drop))?;
    }
    Ok(())
}

// Rows ----------------------------------------------------------------------------------------------------------------

/// Inserts the rows whose keys are new, and returns their hashes; locks the rows that have the keys of the others.
pub(super) async fn insert_new(
    tx: &mut Tx<'_>,
    table: &Declared,
    rows: &[Incoming],
) -> Result<BTreeSet<Vec<u8>>, DbError> {
    let values: Vec<Vec<&Value>> = rows.iter().map(|incoming| incoming.row.values.iter().collect()).collect();
    let hashes: Vec<Vec<u8>> = run(
        tx,
        |dialect| dialect.upsert(table, Taken::Leave),
        &table.fields.iter().collect::<Vec<_>>(),
        &values,
        |row| Ok(row.try_get(0)?),
        |row| Ok(row.try_get(0)?),
    )
    .await?;
    Ok(hashes.into_iter().collect())
}

/// The rows that have the keys of `rows`.
pub(super) async fn by_key(
    tx: &mut Tx<'_>,
    table: &Declared,
    rows: &[Incoming],
) -> Result<Vec<StoredRow>, DbError> {
    let keys: Vec<Vec<&Value>> =
        rows.iter().map(|incoming| table.key.iter().map(|&k| &incoming.row.values[k]).collect()).collect();
    let job = table.fields.len();
    run(
        tx,
        |dialect| dialect.by_key(table),
        &table.key_fields().collect::<Vec<_>>(),
        &keys,
        |row| Ok(StoredRow { values: decode_pg(&table.fields, row)?, job: row.try_get(job)? }),
        |row| Ok(StoredRow { values: decode_lite(&table.fields, row)?, job: row.try_get(job)? }),
    )
    .await
}

/// Writes rows in the place of those that have their keys.
pub(super) async fn replace<'r>(
    tx: &mut Tx<'_>,
    table: &Declared,
    rows: impl Iterator<Item = &'r StoredRow>,
) -> Result<(), DbError> {
    upsert(tx, table, Taken::Replace, rows).await
}

/// Writes rows whose keys this transaction has freed.
pub(super) async fn put_back<'r>(
    tx: &mut Tx<'_>,
    table: &Declared,
    rows: impl Iterator<Item = &'r StoredRow>,
) -> Result<(), DbError> {
    upsert(tx, table, Taken::Fail, rows).await
}

async fn upsert<'r>(
    tx: &mut Tx<'_>,
    table: &Declared,
    taken: Taken,
    rows: impl Iterator<Item = &'r StoredRow>,
) -> Result<(), DbError> {
    let values: Vec<Vec<&Value>> = rows.map(|row| row.values.iter().collect()).collect();
    run_silently(tx, |dialect| dialect.upsert(table, taken), &table.fields, &values).await
}

/// Takes at most `limit` rows of a load out of a table.
pub(super) async fn take(
    tx: &mut Tx<'_>,
    table: &Declared,
    load: LoadId,
    limit: usize,
) -> Result<Vec<StoredRow>, DbError> {
    // Whose job it was decides nothing any more.
    let job = JobId(0);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    match tx {
        Tx::Pg(connection) => sqlx::query(AssertSqlSafe(Dialect::Pg.take_of_load(table)))
            .bind(load.0)
            .bind(limit)
            .fetch_all(&mut **connection)
            .await?
            .iter()
            .map(|row| Ok(StoredRow { values: decode_pg(&table.fields, row)?, job }))
            .collect(),
        Tx::Lite(connection) => sqlx::query(AssertSqlSafe(Dialect::Lite.take_of_load(table)))
            .bind(load.0)
            .bind(limit)
            .fetch_all(&mut **connection)
            .await?
            .iter()
            .map(|row| Ok(StoredRow { values: decode_lite(&table.fields, row)?, job }))
            .collect(),
    }
}

// Superseded ----------------------------------------------------------------------------------------------------------

/// Keeps whole rows that lost.
pub(super) async fn supersede<'r>(
    tx: &mut Tx<'_>,
    table: &Declared,
    rows: impl Iterator<Item = &'r StoredRow>,
) -> Result<(), DbError> {
    let fields = [
        Field::new("table_name", ColumnKind::Text, false),
        Field::new("key_hash", ColumnKind::Bytes, false),
        Field::new("load_id", ColumnKind::Int, false),
        Field::new("version", ColumnKind::Text, false),
        Field::new("row_hash", ColumnKind::Bytes, false),
        Field::new("row_values", ColumnKind::Json, false),
    ];
    let rows = rows.map(|row| {
        vec![
            table.table.name.as_str().into(),
            Value::Bytes(row.key_hash(table).0.to_vec()),
            row.load().0.into(),
            row.version().as_str().into(),
            Value::Bytes(row.row_hash().to_vec()),
            Value::Json(serde_json::Value::Object(row.to_json(table)).to_string()),
        ]
    });
    let rows: Vec<Vec<Value>> = rows.collect();
    let rows: Vec<Vec<&Value>> = rows.iter().map(|row| row.iter().collect()).collect();
    run_silently(tx, |dialect| dialect.insert("superseded", &fields, ""), &fields, &rows).await
}

/// Drops what a load has in `superseded`.
pub(super) async fn forget_superseded(tx: &mut Tx<'_>, load: LoadId) -> Result<(), DbError> {
    let text = "DELETE FROM superseded WHERE load_id = $1";
    on_either!(tx, connection => sqlx::query(text).bind(load.0).execute(connection).await.map(drop))?;
    Ok(())
}

/// The newest superseded row of each of these keys that has one, and its id.
pub(super) async fn newest_superseded(
    tx: &mut Tx<'_>,
    table: &Declared,
    keys: &[Digest],
) -> Result<Vec<(i64, StoredRow)>, DbError> {
    let name = &table.table.name;
    let rows: Vec<(i64, String, i64)> = match tx {
        Tx::Pg(connection) => {
            sqlx::query_as(
                "SELECT DISTINCT ON (s.key_hash) s.id, s.row_values::text, coalesce(l.job_id, 0) \
                 FROM superseded AS s LEFT JOIN load AS l ON l.id = s.load_id \
                 WHERE s.table_name = $1 AND s.key_hash = ANY($2) \
                 ORDER BY s.key_hash, s.version DESC, s.id DESC",
            )
            .bind(name)
            .bind(keys)
            .fetch_all(&mut **connection)
            .await?
        }
        Tx::Lite(connection) => {
            let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
            sqlx::query_as(
                "SELECT s.id, s.row_values, coalesce(l.job_id, 0) \
                 FROM json_each($2) AS k CROSS JOIN superseded AS s ON s.id = \
                 (SELECT id FROM superseded WHERE table_name = $1 AND key_hash = unhex(k.value) \
                  ORDER BY version DESC, id DESC LIMIT 1) \
                 LEFT JOIN load AS l ON l.id = s.load_id",
            )
            .bind(name)
            .bind(json(&keys)?)
            .fetch_all(&mut **connection)
            .await?
        }
    };
    let read = |(id, values, job): (i64, String, i64)| {
        let row = serde_json::from_str(&values).ok();
        let row = row.and_then(|values| StoredRow::from_json(table, &values, JobId(job)));
        let why = || DbError::new(DbErrorKind::Corrupt, format!("superseded row {id} cannot be read"));
        Ok((id, row.ok_or_else(why)?))
    };
    rows.into_iter().map(read).collect()
}

/// Takes these out of `superseded` and returns the ids of those that were still there.
pub(super) async fn take_superseded(tx: &mut Tx<'_>, ids: &[i64]) -> Result<BTreeSet<i64>, DbError> {
    let taken: Vec<i64> = match tx {
        Tx::Pg(connection) => {
            sqlx::query_scalar("DELETE FROM superseded WHERE id = ANY($1) RETURNING id")
                .bind(ids)
                .fetch_all(&mut **connection)
                .await?
        }
        Tx::Lite(connection) => {
            let text = "DELETE FROM superseded WHERE id IN (SELECT value FROM json_each($1)) RETURNING id";
            sqlx::query_scalar(text).bind(json(&ids)?).fetch_all(&mut **connection).await?
        }
    };
    Ok(taken.into_iter().collect())
}

// Running -------------------------------------------------------------------------------------------------------------

/// Runs a statement over bound rows.
async fn run<T>(
    tx: &mut Tx<'_>,
    text: impl Fn(Dialect) -> String,
    fields: &[&Field],
    rows: &[Vec<&Value>],
    read_pg: impl Fn(&PgRow) -> Result<T, DbError>,
    read_lite: impl Fn(&SqliteRow) -> Result<T, DbError>,
) -> Result<Vec<T>, DbError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    match tx {
        Tx::Pg(connection) => {
            let arguments = arrays(fields.iter().copied(), rows)?;
            let text = AssertSqlSafe(text(Dialect::Pg));
            let rows = sqlx::query_with(text, arguments).fetch_all(&mut **connection).await?;
            rows.iter().map(read_pg).collect()
        }
        Tx::Lite(connection) => {
            let text = AssertSqlSafe(text(Dialect::Lite));
            let rows = sqlx::query(text).bind(json_rows(rows)?).fetch_all(&mut **connection).await?;
            rows.iter().map(read_lite).collect()
        }
    }
}

/// As [`run`], in chunks, for statements that return nothing.
async fn run_silently(
    tx: &mut Tx<'_>,
    text: impl Fn(Dialect) -> String,
    fields: &[Field],
    rows: &[Vec<&Value>],
) -> Result<(), DbError> {
    let fields: Vec<&Field> = fields.iter().collect();
    let mut left = rows;
    for length in chunks(rows.iter().map(|row| weight(row.iter().copied()))) {
        let (chunk, rest) = left.split_at(length);
        run(tx, &text, &fields, chunk, |_| Ok(()), |_| Ok(())).await?;
        left = rest;
    }
    Ok(())
}

fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<String, DbError> {
    serde_json::to_string(value).map_err(|error| DbError::new(DbErrorKind::Content, error))
}
