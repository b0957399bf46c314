//! SQL over declared tables, for both stores.
//!
//! The only place where SQL is composed at run time. A statement contains only names checked by [`Tables`](super::Tables)
//! and text written here; values are always bound.

use super::declared::Declared;
use super::provenance::Field;
use crate::infra::db::Tx;
use module_api::ColumnKind;

/// The SQL dialect of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Pg,
    Lite,
}

/// What an insert does when a row with the same key exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnConflict {
    /// Fails.
    Fail,
    /// Skips the new row, locks the existing one, and returns the hashes of inserted rows.
    Skip,
    /// Replaces the existing row.
    Replace,
}

/// A name in quotes.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

/// Names in quotes, after a prefix such as `t.`, joined by commas.
pub(super) fn names<'f>(prefix: &str, fields: impl IntoIterator<Item = &'f Field>) -> String {
    join(fields, |f| format!("{prefix}{}", quoted(&f.name)), ", ")
}

fn join<'f>(
    fields: impl IntoIterator<Item = &'f Field>,
    each: impl FnMut(&'f Field) -> String,
    by: &str,
) -> String {
    fields.into_iter().map(each).collect::<Vec<_>>().join(by)
}

impl Dialect {
    pub(super) const fn of(tx: &Tx<'_>) -> Self {
        match tx {
            Tx::Pg(_) => Self::Pg,
            Tx::Lite(_) => Self::Lite,
        }
    }

    /// The text for this store, of two.
    pub(super) const fn either<'t>(self, pg: &'t str, lite: &'t str) -> &'t str {
        match self {
            Self::Pg => pg,
            Self::Lite => lite,
        }
    }

    /// A declared table or view: schema `rows` of Postgres; a prefix in SQLite, which has no schemas.
    pub(super) fn relation(self, name: &str) -> String {
        format!("{}{}", self.either("rows.", ""), quoted(&self.stored_name(name)))
    }

    /// Its name in the catalogue of the store.
    pub(super) fn stored_name(self, name: &str) -> String {
        format!("{}{name}", self.either("", "rows_"))
    }

    /// Columns as [`columns::decode`](super::columns) reads them.
    pub(super) fn selected<'f>(self, prefix: &str, fields: impl IntoIterator<Item = &'f Field>) -> String {
        let one = |f: &Field| {
            let name = format!("{prefix}{}", quoted(&f.name));
            match (self, &f.kind) {
                (Self::Pg, ColumnKind::Decimal(scale)) => format!("({name} * 1e{scale})::int8"),
                (Self::Pg, ColumnKind::Json) => format!("{name}::text"),
                _ => name,
            }
        };
        join(fields, one, ", ")
    }

    /// A column in comparisons and sort orders.
    pub(super) fn comparable(self, prefix: &str, field: &Field) -> String {
        match (self, &field.kind) {
            (Self::Pg, ColumnKind::Json) => format!("({prefix}{}::text COLLATE \"C\")", quoted(&field.name)),
            _ => format!("{prefix}{}", quoted(&field.name)),
        }
    }

    /// A parameter to compare with it.
    pub(super) fn operand(self, field: &Field, parameter: usize) -> String {
        match (self, &field.kind) {
            (Self::Lite, _) => format!("${parameter}"),
            (Self::Pg, ColumnKind::Decimal(scale)) => format!("(${parameter}::int8 * 1e-{scale}::numeric)"),
            (Self::Pg, kind) => format!("${parameter}::{}", bound_type(kind)),
        }
    }

    /// Many rows, bound as one array per column (Postgres) or as one JSON array of arrays (SQLite).
    fn incoming(self, fields: &[Field]) -> String {
        match self {
            Self::Pg => {
                let arrays = (1..).zip(fields).map(|(i, f)| format!("${i}::{}[]", bound_type(&f.kind)));
                format!("unnest({}) AS i({})", arrays.collect::<Vec<_>>().join(", "), names("", fields))
            }
            Self::Lite => "json_each($1) AS i".to_owned(),
        }
    }

    /// The values of these rows, in the types of the table.
    fn incoming_values(self, fields: &[Field]) -> Vec<String> {
        let one = |(position, field): (usize, &Field)| match (self, &field.kind) {
            (Self::Pg, ColumnKind::Decimal(scale)) => {
                format!("i.{} * 1e-{scale}::numeric", quoted(&field.name))
            }
            (Self::Pg, ColumnKind::Json) => format!("i.{}::json", quoted(&field.name)),
            (Self::Pg, _) => format!("i.{}", quoted(&field.name)),
            (Self::Lite, ColumnKind::Bytes | ColumnKind::Uuid) => format!("unhex(i.value ->> {position})"),
            (Self::Lite, _) => format!("i.value ->> {position}"),
        };
        fields.iter().enumerate().map(one).collect()
    }

    /// Inserts many rows into any table, in the order in which they are bound, which is also the order of locks.
    pub(super) fn insert(self, relation: &str, fields: &[Field], returning: &str) -> String {
        let (into, values) = (names("", fields), self.incoming_values(fields).join(", "));
        let returning = if returning.is_empty() { "" } else { &format!(" RETURNING {returning}") };
        // "WHERE true" keeps SQLite from reading ON CONFLICT as a join's ON.
        format!(
            "INSERT INTO {relation} AS t ({into}) SELECT {values} FROM {} WHERE true{returning}",
            self.incoming(fields)
        )
    }

    /// Inserts rows of a declared table.
    pub(super) fn upsert(self, table: &Declared, on_conflict: OnConflict) -> String {
        let insert = self.insert(&self.relation(&table.table.name), &table.fields, "");
        let key = names("", table.key_fields());
        match (self, on_conflict) {
            (_, OnConflict::Fail) => insert,
            // An update that is filtered out still locks the row.
            (Self::Pg, OnConflict::Skip) => format!(
                "{insert} ON CONFLICT ({key}) DO UPDATE SET load_id = t.load_id WHERE false RETURNING row_hash"
            ),
            (Self::Lite, OnConflict::Skip) => {
                format!("{insert} ON CONFLICT ({key}) DO NOTHING RETURNING row_hash")
            }
            (_, OnConflict::Replace) => {
                let set = |f: &Field| format!("{0} = excluded.{0}", quoted(&f.name));
                format!("{insert} ON CONFLICT ({key}) DO UPDATE SET {}", join(&table.fields, set, ", "))
            }
        }
    }

    /// The rows with one of the bound keys, and the job of each.
    pub(super) fn by_key(self, table: &Declared) -> String {
        let key: Vec<Field> = table.key_fields().cloned().collect();
        let values = self.incoming_values(&key);
        let same = key.iter().zip(values).map(|(f, value)| format!("t.{} = {value}", quoted(&f.name)));
        // CROSS JOIN makes SQLite look each key up instead of scanning the table. A row without a load (its table was not
        // declared when the load was removed) counts as that of the oldest job.
        format!(
            "SELECT {}, coalesce(l.job_id, 0) FROM {} CROSS JOIN {} AS t LEFT JOIN load AS l ON l.id = t.load_id \
             WHERE {}",
            self.selected("t.", &table.fields),
            self.incoming(&key),
            self.relation(&table.table.name),
            same.collect::<Vec<_>>().join(" AND ")
        )
    }

    /// Deletes at most `$2` rows of load `$1` and returns them.
    pub(super) fn take_of_load(self, table: &Declared) -> String {
        let (relation, key) = (self.relation(&table.table.name), names("", table.key_fields()));
        let lock = if self == Self::Pg { " FOR UPDATE" } else { "" };
        format!(
            "DELETE FROM {relation} AS t WHERE ({key}) IN \
             (SELECT {key} FROM {relation} WHERE load_id = $1 ORDER BY {key} LIMIT $2{lock}) RETURNING {}",
            self.selected("", &table.fields)
        )
    }
}

/// The Postgres type of a bound value.
fn bound_type(kind: &ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Text | ColumnKind::Enum(_) | ColumnKind::Json => "text",
        ColumnKind::Int | ColumnKind::Decimal(_) => "int8",
        ColumnKind::Bool => "bool",
        ColumnKind::Time => "timestamptz",
        ColumnKind::Bytes => "bytea",
        ColumnKind::Uuid => "uuid",
    }
}

#[cfg(test)]
mod tests {
    use super::Dialect;
    use crate::infra::db::{Db, Lite, LiteSettings, Tx, View};
    use crate::load::{Tables, ensure};
    use module_api::{ColumnKind, Declaration, Table};
    use sqlx::AssertSqlSafe;
    use std::time::Duration;

    /// SQLite's query plan.
    async fn plan(db: &Db, statement: String) -> String {
        let mut reader = db.reader(View::Results).await.unwrap();
        let Tx::Lite(connection) = reader.tx() else { unreachable!("the store of this test is SQLite") };
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
        let steps: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(explain).fetch_all(connection).await.unwrap();
        steps.into_iter().map(|step| step.3).collect::<Vec<_>>().join("; ")
    }

    #[tokio::test]
    async fn keys_and_loads_are_looked_up_by_index() {
        let directory = tempfile::tempdir().unwrap();
        let settings = LiteSettings {
            directory: directory.path().to_owned(),
            readers: 1,
            cache_bytes: 16 << 20,
            queue_bound: 16,
        };
        let db = Db::Lite(Lite::open(&settings).await.unwrap());
        let tables = Tables::new(&[Declaration {
            id: "test/report".into(),
            version: "1.0.0".into(),
            summary: String::new(),
            assumed: false,
            tables: vec![Table::new("node", "").key("site", ColumnKind::Uuid, "").key(
                "n",
                ColumnKind::Int,
                "",
            )],
            views: Vec::new(),
        }])
        .unwrap();
        ensure(&db, &tables, Duration::from_secs(1)).await.unwrap();
        let node = tables.table("node").unwrap();
        let by_key = plan(&db, Dialect::Lite.by_key(node)).await;
        assert!(by_key.contains("SEARCH t USING INDEX"), "{by_key}");
        assert!(by_key.contains("(customer=? AND site=? AND n=?)"), "{by_key}");
        let take = plan(&db, Dialect::Lite.take_of_load(node)).await;
        assert!(take.contains("(load_id=?)") && !take.contains("SCAN"), "{take}");
        db.close().await;
    }
}
