//! DDL of declared tables and views.

use crate::ids::Digest;
use crate::load::declared::{Declared, DeclaredView};
use crate::load::provenance::Field;
use crate::load::sql::{Dialect, names, quoted};
use module_api::{Column, ColumnKind};

/// Provenance, declared columns and the primary key (customer, key columns).
pub(super) fn create_table(dialect: Dialect, table: &Declared) -> String {
    let mut parts: Vec<String> = table.fields.iter().map(|f| column(dialect, f)).collect();
    parts.push(format!("PRIMARY KEY ({})", names("", table.key_fields())));
    let strict = if dialect == Dialect::Lite { " STRICT" } else { "" };
    format!("CREATE TABLE {} ({}){strict}", dialect.relation(&table.table.name), parts.join(", "))
}

/// Adds a nullable column to an existing table.
pub(super) fn add_column(dialect: Dialect, table: &str, declared: &Column) -> String {
    let field = Field { name: declared.name.clone(), kind: declared.kind.clone(), nullable: true };
    format!("ALTER TABLE {} ADD COLUMN {}", dialect.relation(table), column(dialect, &field))
}

/// An index of a declared table.
#[derive(Debug)]
pub(super) struct Index {
    /// Its name, which says of which columns it is.
    pub name: String,
    /// The statement that makes it.
    pub create: String,
}

/// One index per searchable column, in the order in which rows are listed: by that column, by `received_at`, by the key. So a
/// page is a walk of the index, also behind a filter that holds the first column to one value. A row whose entry would be too
/// long for Postgres is refused before it is written.
pub(super) fn indexes(dialect: Dialect, table: &Declared) -> Vec<Index> {
    let relation = dialect.relation(&table.table.name);
    let index = |first: &str| {
        let key = table.key_fields().map(|field| field.name.as_str());
        let mut columns = vec![quoted(first)];
        for column in std::iter::once("received_at").chain(key).map(quoted) {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        let columns = columns.join(", ");
        let name = index_name(&table.table.name, &columns);
        let create = format!("CREATE INDEX IF NOT EXISTS {} ON {relation} ({columns})", quoted(&name));
        Index { name, create }
    };
    table.searchable().into_iter().map(index).collect()
}

/// Removes an index that a table no longer needs.
pub(super) fn drop_index(dialect: Dialect, name: &str) -> String {
    let schema = dialect.either("rows.", "");
    format!("DROP INDEX IF EXISTS {schema}{}", quoted(name))
}

pub(super) fn drop_view(dialect: Dialect, name: &str) -> String {
    format!("DROP VIEW IF EXISTS {}", dialect.relation(name))
}

/// The latest row of each group. A null in the ordering column counts as oldest; the key decides ties.
pub(super) fn create_view(dialect: Dialect, view: &DeclaredView) -> String {
    let group = std::iter::once("customer").chain(view.view.partition_by.iter().map(String::as_str));
    let group: Vec<String> = group.map(quoted).collect();
    let latest = view.view.order_by.iter().map(|name| format!("{} DESC NULLS LAST", quoted(name)));
    let ties = view.table.key_fields().map(|f| format!("{} DESC", quoted(&f.name)));
    let columns = names("", &view.table.fields);
    format!(
        "CREATE VIEW {} AS SELECT {columns} FROM (SELECT {columns}, row_number() OVER \
         (PARTITION BY {} ORDER BY {}) AS _rank FROM {}) AS ranked WHERE _rank = 1",
        dialect.relation(&view.view.name),
        group.join(", "),
        latest.chain(ties).collect::<Vec<_>>().join(", "),
        dialect.relation(&view.table.table.name)
    )
}

fn column(dialect: Dialect, field: &Field) -> String {
    let null = if field.nullable { "" } else { " NOT NULL" };
    format!("{} {}{null}", quoted(&field.name), column_type(dialect, &field.kind))
}

/// Text is ordered by bytes on both stores; decimals of any `i64` fit; documents keep their text (`jsonb` would not).
fn column_type(dialect: Dialect, kind: &ColumnKind) -> String {
    let fixed = match (dialect, kind) {
        (Dialect::Pg, ColumnKind::Decimal(scale)) => return format!("numeric(19, {scale})"),
        (Dialect::Pg, ColumnKind::Text | ColumnKind::Enum(_)) => "text COLLATE \"C\"",
        (Dialect::Pg, ColumnKind::Int) => "bigint",
        (Dialect::Pg, ColumnKind::Bool) => "boolean",
        (Dialect::Pg, ColumnKind::Time) => "timestamptz",
        (Dialect::Pg, ColumnKind::Bytes) => "bytea",
        (Dialect::Pg, ColumnKind::Uuid) => "uuid",
        (Dialect::Pg, ColumnKind::Json) => "json",
        (Dialect::Lite, ColumnKind::Text | ColumnKind::Enum(_) | ColumnKind::Json) => "TEXT",
        (Dialect::Lite, ColumnKind::Bytes | ColumnKind::Uuid) => "BLOB",
        (Dialect::Lite, ColumnKind::Int | ColumnKind::Decimal(_) | ColumnKind::Bool | ColumnKind::Time) => {
            "INTEGER"
        }
    };
    fixed.to_owned()
}

/// Begins the name of every index made here.
pub(super) const INDEX_PREFIX: &str = "ix_";

/// Under 63 bytes and unique per table and columns: index names share one namespace in both stores.
fn index_name(table: &str, columns: &str) -> String {
    let digest = Digest::of(format!("{table} {columns}").as_bytes()).to_string();
    format!("{INDEX_PREFIX}{}_{}", &table[..table.len().min(40)], &digest[..12])
}
