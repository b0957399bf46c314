//! Binding and decoding the values of declared tables, for both stores.
//!
//! Postgres takes a set of rows as one array per column, SQLite as one JSON text (blobs in hexadecimal). Decimals
//! travel as whole units.

use super::provenance::Field;
use super::sql::Dialect;
use crate::ids::{Timestamp, hex};
use crate::infra::db::{DbError, DbErrorKind, Tx};
use module_api::{ColumnKind, Decimal, Value};
use serde::{Serialize, Serializer};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Row};
use uuid::Uuid;

/// One array per column of `rows`.
fn arrays(fields: &[Field], rows: &[Vec<&Value>]) -> Result<PgArguments, DbError> {
    let mut arguments = PgArguments::default();
    for (column, field) in fields.iter().enumerate() {
        let values = rows.iter().map(|row| row[column]);
        match field.kind {
            ColumnKind::Text | ColumnKind::Enum(_) | ColumnKind::Json => {
                arguments.add(values.map(text).collect::<Vec<_>>())
            }
            ColumnKind::Int | ColumnKind::Decimal(_) => arguments.add(values.map(number).collect::<Vec<_>>()),
            ColumnKind::Bool => arguments.add(values.map(boolean).collect::<Vec<_>>()),
            ColumnKind::Time => arguments.add(values.map(|v| number(v).map(Timestamp)).collect::<Vec<_>>()),
            ColumnKind::Bytes => arguments.add(values.map(bytes).collect::<Vec<_>>()),
            ColumnKind::Uuid => arguments.add(values.map(id).collect::<Vec<_>>()),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

/// Rows as one JSON array of arrays.
fn json_rows(rows: &[Vec<&Value>]) -> Result<String, DbError> {
    struct Cell<'v>(&'v Value);
    impl Serialize for Cell<'_> {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            match self.0 {
                Value::Null => to.serialize_none(),
                Value::Text(text) | Value::Json(text) => to.serialize_str(text),
                Value::Int(number) | Value::Time(number) => to.serialize_i64(*number),
                Value::Decimal(decimal) => to.serialize_i64(decimal.units),
                Value::Bool(yes) => to.serialize_u8(u8::from(*yes)),
                Value::Bytes(bytes) => to.serialize_str(&hex(bytes)),
                Value::Uuid(bytes) => to.serialize_str(&hex(bytes)),
            }
        }
    }
    let rows: Vec<Vec<Cell<'_>>> = rows.iter().map(|row| row.iter().map(|v| Cell(v)).collect()).collect();
    serde_json::to_string(&rows).map_err(|error| DbError::new(DbErrorKind::Content, error))
}

/// A statement, and kind and value of each parameter.
pub(super) type Bound<'v> = (String, Vec<(&'v ColumnKind, &'v Value)>);

/// Runs a statement with one parameter for each of `bound`, and returns its rows as values of `fields`. Only a
/// `persistent` statement stays prepared.
pub(super) async fn fetch(
    tx: &mut Tx<'_>,
    (text, bound): Bound<'_>,
    fields: &[Field],
    persistent: bool,
) -> Result<Vec<Vec<Value>>, DbError> {
    let text = AssertSqlSafe(text);
    match tx {
        Tx::Pg(connection) => {
            let query = sqlx::query_with(text, pg_arguments(&bound)?).persistent(persistent);
            query.fetch_all(&mut **connection).await?.iter().map(|row| decode_pg(fields, row)).collect()
        }
        Tx::Lite(connection) => {
            let query = sqlx::query_with(text, lite_arguments(&bound)?).persistent(persistent);
            query.fetch_all(&mut **connection).await?.iter().map(|row| decode_lite(fields, row)).collect()
        }
    }
}

/// Runs a statement that tells something in the last column of its rows.
pub(super) async fn lines(tx: &mut Tx<'_>, (text, bound): Bound<'_>) -> Result<Vec<String>, DbError> {
    let text = AssertSqlSafe(text);
    Ok(match tx {
        Tx::Pg(connection) => {
            let query = sqlx::query_with(text, pg_arguments(&bound)?).persistent(false);
            let rows = query.fetch_all(&mut **connection).await?;
            rows.iter().map(|row| row.try_get(row.len() - 1)).collect::<Result<_, _>>()?
        }
        Tx::Lite(connection) => {
            let query = sqlx::query_with(text, lite_arguments(&bound)?).persistent(false);
            let rows = query.fetch_all(&mut **connection).await?;
            rows.iter().map(|row| row.try_get(row.len() - 1)).collect::<Result<_, _>>()?
        }
    })
}

fn pg_arguments(bound: &[(&ColumnKind, &Value)]) -> Result<PgArguments, DbError> {
    let mut arguments = PgArguments::default();
    for (kind, value) in bound {
        bind_pg(&mut arguments, kind, value)?;
    }
    Ok(arguments)
}

fn lite_arguments(bound: &[(&ColumnKind, &Value)]) -> Result<SqliteArguments, DbError> {
    let mut arguments = SqliteArguments::default();
    for (_, value) in bound {
        bind_lite(&mut arguments, value)?;
    }
    Ok(arguments)
}

/// Runs a statement over many rows, and returns its result as values of `returned`.
pub(super) async fn run(
    tx: &mut Tx<'_>,
    text: impl Fn(Dialect) -> String,
    fields: &[Field],
    rows: &[Vec<&Value>],
    returned: &[Field],
) -> Result<Vec<Vec<Value>>, DbError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let text = AssertSqlSafe(text(Dialect::of(tx)));
    match tx {
        Tx::Pg(connection) => {
            let query = sqlx::query_with(text, arrays(fields, rows)?);
            query.fetch_all(&mut **connection).await?.iter().map(|row| decode_pg(returned, row)).collect()
        }
        Tx::Lite(connection) => {
            let query = sqlx::query(text).bind(json_rows(rows)?);
            query.fetch_all(&mut **connection).await?.iter().map(|row| decode_lite(returned, row)).collect()
        }
    }
}

/// One value as one parameter of Postgres.
fn bind_pg(arguments: &mut PgArguments, kind: &ColumnKind, value: &Value) -> Result<(), DbError> {
    let bound = match kind {
        ColumnKind::Text | ColumnKind::Enum(_) | ColumnKind::Json => arguments.add(text(value)),
        ColumnKind::Int | ColumnKind::Decimal(_) => arguments.add(number(value)),
        ColumnKind::Bool => arguments.add(boolean(value)),
        ColumnKind::Time => arguments.add(number(value).map(Timestamp)),
        ColumnKind::Bytes => arguments.add(bytes(value)),
        ColumnKind::Uuid => arguments.add(id(value)),
    };
    Ok(bound.map_err(sqlx::Error::Encode)?)
}

/// One value as one parameter of SQLite.
fn bind_lite(arguments: &mut SqliteArguments, value: &Value) -> Result<(), DbError> {
    let bound = match value {
        Value::Null => arguments.add(None::<i64>),
        Value::Text(text) | Value::Json(text) => arguments.add(text.clone()),
        Value::Int(number) | Value::Time(number) => arguments.add(*number),
        Value::Decimal(decimal) => arguments.add(decimal.units),
        Value::Bool(yes) => arguments.add(*yes),
        Value::Bytes(bytes) => arguments.add(bytes.clone()),
        Value::Uuid(bytes) => arguments.add(bytes.to_vec()),
    };
    Ok(bound.map_err(sqlx::Error::Encode)?)
}

macro_rules! decode {
    ($name:ident, $row:ty) => {
        /// The columns of a row, which are those of `fields`.
        fn $name(fields: &[Field], row: &$row) -> Result<Vec<Value>, DbError> {
            let one = |(column, field): (usize, &Field)| {
                Ok(match &field.kind {
                    ColumnKind::Text | ColumnKind::Enum(_) => {
                        row.try_get::<Option<String>, _>(column)?.into()
                    }
                    ColumnKind::Json => row.try_get::<Option<_>, _>(column)?.map_or(Value::Null, Value::Json),
                    ColumnKind::Int => row.try_get::<Option<i64>, _>(column)?.into(),
                    ColumnKind::Decimal(scale) => units(row.try_get(column)?, *scale),
                    ColumnKind::Bool => row.try_get::<Option<bool>, _>(column)?.into(),
                    ColumnKind::Time => {
                        let at: Option<Timestamp> = row.try_get(column)?;
                        at.map_or(Value::Null, |at| Value::Time(at.0))
                    }
                    ColumnKind::Bytes => {
                        row.try_get::<Option<_>, _>(column)?.map_or(Value::Null, Value::Bytes)
                    }
                    ColumnKind::Uuid => {
                        let id: Option<Uuid> = row.try_get(column)?;
                        id.map_or(Value::Null, |id| Value::Uuid(id.into_bytes()))
                    }
                })
            };
            fields.iter().enumerate().map(one).collect()
        }
    };
}

decode!(decode_pg, PgRow);
decode!(decode_lite, SqliteRow);

fn units(units: Option<i64>, scale: u8) -> Value {
    units.map_or(Value::Null, |units| Value::Decimal(Decimal { units, scale }))
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) | Value::Json(text) => Some(text),
        _ => None,
    }
}

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) | Value::Time(number) => Some(*number),
        Value::Decimal(decimal) => Some(decimal.units),
        _ => None,
    }
}

fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(yes) => Some(*yes),
        _ => None,
    }
}

fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}

fn id(value: &Value) -> Option<Uuid> {
    match value {
        Value::Uuid(bytes) => Some(Uuid::from_bytes(*bytes)),
        _ => None,
    }
}
