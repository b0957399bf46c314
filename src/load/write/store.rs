//! SQL of loads, findings, superseded rows and rows of declared tables.

use super::merge::Incoming;
use super::{Open, chunks, weight};
use crate::ids::{Digest, JobId, LoadId};
use crate::infra::db::{DbError, DbErrorKind, Tx};
use crate::load::NewLoad;
use crate::load::columns::{fetch, run};
use crate::load::declared::Declared;
use crate::load::provenance::{Field, ROW_HASH};
use crate::load::row::StoredRow;
use crate::load::sql::{Dialect, OnConflict};
use crate::sql;
use module_api::{ColumnKind, Severity, Value};
use std::collections::{BTreeSet, HashMap};
use uuid::Uuid;

// Loads ---------------------------------------------------------------------------------------------------------------

/// Existing loads of the same deliveries and modules, each with the position of the load that replaces it.
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

/// Inserts loads and returns their ids in the order given.
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
    let rows: Vec<Vec<&Value>> = rows.iter().map(|row| row.iter().collect()).collect();
    let returned = [Field::new("id", ColumnKind::Int, false), fields[0].clone(), fields[2].clone()];
    let text = |dialect: Dialect| dialect.insert("load", &fields, "id, delivery_id, module");
    let mut ids = HashMap::new();
    for row in run(tx, text, &fields, &rows, &returned).await? {
        if let [Value::Int(id), Value::Uuid(delivery), Value::Text(module)] = &row[..] {
            ids.insert((*delivery, module.clone()), LoadId(*id));
        }
    }
    let id = |load: &NewLoad| {
        let id = ids.get(&(load.delivery.0.into_bytes(), load.module.clone())).copied();
        id.ok_or_else(|| DbError::corrupt("an inserted load is missing"))
    };
    loads.iter().map(id).collect()
}

/// Stores counts of rows and findings.
pub(super) async fn update_loads(tx: &mut Tx<'_>, loads: &[Open]) -> Result<(), DbError> {
    let ends = loads.iter().map(|open| Ok((open.id.0, json(&open.counts)?, open.load.findings.len())));
    let ends = json(&ends.collect::<Result<Vec<_>, DbError>>()?)?;
    let text = Dialect::of(tx).either(
        "UPDATE load SET row_counts = (i.value ->> 1)::jsonb, findings = (i.value ->> 2)::bigint \
         FROM jsonb_array_elements($1::jsonb) AS i(value) WHERE load.id = (i.value ->> 0)::bigint",
        "UPDATE load SET row_counts = i.value ->> 1, findings = i.value ->> 2 \
         FROM json_each($1) AS i WHERE load.id = i.value ->> 0",
    );
    sql!(tx, query(text, ends).execute)?;
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
    Ok(sql!(tx, query_scalar(text, load).fetch_optional)?)
}

/// Deletes a load and its findings; its rows are deleted already.
pub(super) async fn delete_load(tx: &mut Tx<'_>, load: LoadId) -> Result<(), DbError> {
    for text in ["DELETE FROM finding WHERE load_id = $1", "DELETE FROM load WHERE id = $1"] {
        sql!(tx, query(text, load).execute)?;
    }
    Ok(())
}

// Rows ----------------------------------------------------------------------------------------------------------------

/// Inserts the rows whose keys are new and returns their hashes; locks the existing rows of the other keys.
pub(super) async fn insert_new(
    tx: &mut Tx<'_>,
    table: &Declared,
    rows: &[Incoming],
) -> Result<BTreeSet<Vec<u8>>, DbError> {
    let values: Vec<Vec<&Value>> = rows.iter().map(|incoming| incoming.row.values.iter().collect()).collect();
    let text = |dialect: Dialect| dialect.upsert(table, OnConflict::Skip);
    let hashes = run(tx, text, &table.fields, &values, &table.fields[ROW_HASH..=ROW_HASH]).await?;
    let bytes = |value| if let Value::Bytes(bytes) = value { Some(bytes) } else { None };
    Ok(hashes.into_iter().flatten().filter_map(bytes).collect())
}

/// The existing rows with the keys of `rows`.
pub(super) async fn by_key(
    tx: &mut Tx<'_>,
    table: &Declared,
    rows: &[Incoming],
) -> Result<Vec<StoredRow>, DbError> {
    let keys: Vec<Vec<&Value>> =
        rows.iter().map(|incoming| table.key.iter().map(|&k| &incoming.row.values[k]).collect()).collect();
    let key: Vec<Field> = table.key_fields().cloned().collect();
    let returned = [&table.fields[..], &[Field::new("job_id", ColumnKind::Int, false)]].concat();
    let rows = run(tx, |dialect| dialect.by_key(table), &key, &keys, &returned).await?;
    let stored = |mut values: Vec<Value>| match values.pop() {
        Some(Value::Int(job)) => Some(StoredRow { values, job: JobId(job) }),
        _ => None,
    };
    Ok(rows.into_iter().filter_map(stored).collect())
}

/// Writes rows, in key order.
pub(super) async fn upsert<'r>(
    tx: &mut Tx<'_>,
    table: &Declared,
    on_conflict: OnConflict,
    rows: impl Iterator<Item = &'r StoredRow>,
) -> Result<(), DbError> {
    let values: Vec<Vec<&Value>> = rows.map(|row| row.values.iter().collect()).collect();
    run_silently(tx, |dialect| dialect.upsert(table, on_conflict), &table.fields, &values).await
}

/// Deletes at most `limit` rows of a load from a table and returns them.
pub(super) async fn take(
    tx: &mut Tx<'_>,
    table: &Declared,
    load: LoadId,
    limit: usize,
) -> Result<Vec<StoredRow>, DbError> {
    let (load, limit) = (Value::Int(load.0), Value::Int(i64::try_from(limit).unwrap_or(i64::MAX)));
    let bound = vec![(&ColumnKind::Int, &load), (&ColumnKind::Int, &limit)];
    let text = Dialect::of(tx).take_of_load(table);
    let rows = fetch(tx, (text, bound), &table.fields, true).await?;
    // The job no longer matters.
    Ok(rows.into_iter().map(|values| StoredRow { values, job: JobId(0) }).collect())
}

// Superseded ----------------------------------------------------------------------------------------------------------

/// Inserts complete rows into `superseded`.
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

/// Deletes the superseded rows of a load.
pub(super) async fn forget_superseded(tx: &mut Tx<'_>, load: LoadId) -> Result<(), DbError> {
    sql!(tx, query("DELETE FROM superseded WHERE load_id = $1", load).execute)?;
    Ok(())
}

/// The newest superseded row of each of these keys, if any, and its id.
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
        let why = || DbError::corrupt(format!("superseded row {id} cannot be read"));
        Ok((id, row.ok_or_else(why)?))
    };
    rows.into_iter().map(read).collect()
}

/// Deletes these superseded rows and returns the ids of those that still existed.
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

/// Runs a statement over rows, in chunks; for statements that return nothing.
async fn run_silently(
    tx: &mut Tx<'_>,
    text: impl Fn(Dialect) -> String,
    fields: &[Field],
    rows: &[Vec<&Value>],
) -> Result<(), DbError> {
    let mut left = rows;
    for length in chunks(rows.iter().map(|row| weight(row.iter().copied()))) {
        let (chunk, rest) = left.split_at(length);
        run(tx, &text, fields, chunk, &[]).await?;
        left = rest;
    }
    Ok(())
}

fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<String, DbError> {
    serde_json::to_string(value).map_err(|error| DbError::new(DbErrorKind::Content, error))
}
