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

/// One index per searchable column, and one for a customer's newest rows.
pub(super) fn indexes(dialect: Dialect, table: &Declared) -> Vec<String> {
    let relation = dialect.relation(&table.table.name);
    let index = |columns: &str| {
        let name = index_name(&table.table.name, columns);
        format!("CREATE INDEX IF NOT EXISTS {name} ON {relation} ({columns})")
    };
    let single = table.searchable().into_iter().filter(|&name| name != "customer").map(|n| index(&quoted(n)));
    single.chain([index("\"customer\", \"received_at\"")]).collect()
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

/// Under 63 bytes and unique per table and columns: index names share one namespace in both stores.
fn index_name(table: &str, columns: &str) -> String {
    let digest = Digest::of(format!("{table} {columns}").as_bytes()).to_string();
    quoted(&format!("ix_{}_{}", &table[..table.len().min(40)], &digest[..12]))
}
