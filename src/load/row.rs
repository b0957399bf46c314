//! A row with its provenance: one value per field of its table.

use super::declared::Declared;
use super::provenance::{self, CUSTOMER, LOAD_ID, PARSER_VERSION, RECEIVED_AT, REPORT_AT, ROW_HASH};
use super::value::{self, canonical};
use super::version::Version;
use super::{NewLoad, Source};
use crate::ids::{Digest, JobId, LoadId, Timestamp};
use module_api::{Row, Value};
use std::cmp::Ordering;

/// Longest key.
const KEY_BYTES: usize = 2_000;
/// Longest value of an indexed column with the key, which is in its index too: Postgres refuses index entries over 2,704 bytes.
const INDEX_BYTES: usize = 2_600;

/// A stored row: its values in the order of [`Declared::fields`], and the job that wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRow {
    /// Provenance, then declared values.
    pub values: Vec<Value>,
    /// Job of its load; decides last in the order of versions.
    pub job: JobId,
}

impl StoredRow {
    /// Builds the stored form of a module's row. `removed` counts texts from which U+0000 was removed.
    ///
    /// # Errors
    /// `module.table.column`, line and reason of the first value that cannot be stored.
    pub fn new(
        table: &Declared,
        load: &NewLoad,
        id: LoadId,
        row: &Row,
        removed: &mut usize,
    ) -> Result<Self, String> {
        let at = |column: &str, why: &str| {
            let line = row.place.line.map(|line| format!(" in line {line}")).unwrap_or_default();
            format!("{}.{}.{column}{line}: {why}", load.module, table.table.name)
        };
        let source = load.parts.get(usize::try_from(row.place.part).unwrap_or(usize::MAX));
        let Some(source) = source else {
            return Err(at("source_path", &format!("no part {}", row.place.part)));
        };
        if row.values.len() != table.table.columns.len() {
            return Err(at(
                "*",
                &format!("{} values for {} columns", row.values.len(), table.table.columns.len()),
            ));
        }
        let mut values = provenance_values(table, load, id, source, row);
        values.extend(row.values.iter().cloned());
        for (field, value) in table.fields.iter().zip(&mut values) {
            *value = value::fit(field, std::mem::replace(value, Value::Null), removed)
                .map_err(|why| at(&field.name, &why))?;
        }
        check_index_sizes(table, &values).map_err(|(column, why)| at(column, why))?;
        values[ROW_HASH] = Value::Bytes(content_hash(table, &values).0.to_vec());
        Ok(Self { values, job: load.job })
    }

    /// Digest of the key and the declared values.
    pub(super) fn row_hash(&self) -> &[u8] {
        match &self.values[ROW_HASH] {
            Value::Bytes(bytes) => bytes,
            _ => &[],
        }
    }

    /// Its load.
    pub(super) fn load(&self) -> LoadId {
        match self.values[LOAD_ID] {
            Value::Int(id) => LoadId(id),
            _ => LoadId(0),
        }
    }

    /// Its place in the order of versions.
    pub(super) fn version(&self) -> Version {
        let time = |position: usize| match self.values[position] {
            Value::Time(at) => Some(Timestamp(at)),
            _ => None,
        };
        let parser = match &self.values[PARSER_VERSION] {
            Value::Text(parser) => parser,
            _ => "",
        };
        let received_at = time(RECEIVED_AT).unwrap_or(Timestamp(0));
        Version::new(time(REPORT_AT), received_at, parser, self.job)
    }

    /// Digest of its natural key.
    pub(super) fn key_hash(&self, table: &Declared) -> Digest {
        digest(table, table.key.iter().copied(), &self.values)
    }

    /// Compares by natural key, the order in which rows are locked.
    pub(super) fn compare_keys(&self, other: &Self, table: &Declared) -> Ordering {
        let pairs = table.key.iter().map(|&k| value::order(&self.values[k], &other.values[k]));
        pairs.fold(Ordering::Equal, Ordering::then)
    }

    /// The whole row in JSON, by column name.
    #[must_use]
    pub fn to_json(&self, table: &Declared) -> serde_json::Map<String, serde_json::Value> {
        object(table, &self.values)
    }

    /// Its natural key in JSON, by column name.
    pub(super) fn key_to_json(&self, table: &Declared) -> serde_json::Map<String, serde_json::Value> {
        let column = |&k: &usize| (table.fields[k].name.clone(), value::to_json(&self.values[k]));
        table.key.iter().map(column).collect()
    }

    /// The reverse of [`to_json`](Self::to_json); missing columns are null.
    pub(super) fn from_json(
        table: &Declared,
        json: &serde_json::Map<String, serde_json::Value>,
        job: JobId,
    ) -> Option<Self> {
        let values = table.fields.iter().map(|f| match json.get(&f.name) {
            Some(json) => value::from_json(&f.kind, json),
            None => Some(Value::Null),
        });
        Some(Self { values: values.collect::<Option<_>>()?, job })
    }
}

/// The values of all fields of a table in JSON, by column name.
pub(super) fn object(table: &Declared, values: &[Value]) -> serde_json::Map<String, serde_json::Value> {
    table.fields.iter().zip(values).map(|(f, v)| (f.name.clone(), value::to_json(v))).collect()
}

/// In the order of [`module_api::PROVENANCE`]; the hash is computed later, from the values in stored form.
fn provenance_values(table: &Declared, load: &NewLoad, id: LoadId, source: &Source, row: &Row) -> Vec<Value> {
    let text = |text: &str| Value::Text(text.to_owned());
    let report_at = row.report_at.or_else(|| table.keyed_by_report_at().then_some(load.received_at.0));
    vec![
        text(load.coordinates.customer.as_str()),
        text(load.coordinates.category.as_str()),
        text(load.coordinates.type_.as_str()),
        text(load.coordinates.group.as_str()),
        Value::Uuid(load.delivery.0.into_bytes()),
        Value::Bytes(source.sha256.0.to_vec()),
        text(&source.path),
        row.place.line.map_or(Value::Null, |line| Value::Int(i64::try_from(line).unwrap_or(i64::MAX))),
        Value::Time(load.received_at.0),
        report_at.map_or(Value::Null, Value::Time),
        Value::Bool(row.report_tz_assumed),
        text(&load.module),
        text(&load.parser_version),
        load.profile.as_deref().map_or(Value::Null, Value::from),
        Value::Bytes(Vec::new()),
        Value::Int(id.0),
    ]
}

fn check_index_sizes<'t>(table: &'t Declared, values: &[Value]) -> Result<(), (&'t str, &'static str)> {
    let key: usize = table.key.iter().map(|&k| value::index_bytes(&values[k])).sum();
    if key > KEY_BYTES {
        return Err(("*", "the key is longer than 2000 bytes"));
    }
    for name in &table.table.indexed {
        // A column of the key is in the index once.
        let long = |p: usize| !table.key.contains(&p) && key + value::index_bytes(&values[p]) > INDEX_BYTES;
        if table.position(name).is_some_and(long) {
            return Err((name, "longer than 2600 bytes with the key, and the column is indexed"));
        }
    }
    Ok(())
}

/// Digest of natural key and declared values; provenance does not count.
fn content_hash(table: &Declared, values: &[Value]) -> Digest {
    let declared = (0..table.fields.len()).skip(module_api::PROVENANCE.len());
    let key = table.key.iter().copied().filter(|&k| k == CUSTOMER || k == provenance::REPORT_AT);
    let mut positions: Vec<usize> = key.chain(declared).collect();
    positions.sort_by_key(|&p| &table.fields[p].name);
    digest(table, positions.into_iter(), values)
}

/// Digest of names and canonical values, each prefixed by its length. Null counts as absent, so adding a column later
/// changes no digest.
fn digest(table: &Declared, positions: impl Iterator<Item = usize>, values: &[Value]) -> Digest {
    let mut bytes = Vec::with_capacity(256);
    let mut put = |part: &[u8]| {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    };
    for position in positions.filter(|&p| values[p] != Value::Null) {
        put(table.fields[position].name.as_bytes());
        put(&canonical(&values[position]));
    }
    Digest::of(&bytes)
}
