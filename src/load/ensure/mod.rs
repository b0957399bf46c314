//! Creates the tables that modules declare, and extends them when a later version declares more.
//!
//! ```text
//!   lock ─▶ read module_table ─▶ plan ─▶ DDL ─▶ write module_table     (one transaction)
//! ```
//!
//! Only additions are allowed: a table, a nullable column, a word of an enum (enums are text, checked when rows are
//! written, so this needs no DDL), an index, a view. Anything else would change or lose rows and is an error that names
//! it; then nothing is changed. Tables that are no longer declared stay as they are.
//!
//! Indexes are compared with those that are there, also of a table whose declaration is the same: an earlier version of this
//! program may have made others.

mod ddl;
mod store;

use super::declared::{Declared, DeclaredView, Tables};
use super::sql::Dialect;
use crate::infra::db::{Db, DbError, Lane};
use module_api::{ColumnKind, Table, View};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A table or view as recorded in `module_table`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Definition {
    Table(Table),
    View {
        view: View,
        /// Columns of its table when the view was created.
        columns: Vec<String>,
    },
}

/// A row of `module_table`.
#[derive(Debug, Clone)]
struct Record {
    name: String,
    module: String,
    made: Definition,
}

/// The indexes that are there, by the table's name in the store.
type Indexes = BTreeMap<String, BTreeSet<String>>;

/// The change to one table or view.
#[derive(Debug)]
struct Step {
    /// For the log: `table node: column x`.
    what: Vec<String>,
    statements: Vec<String>,
    record: Record,
}

/// Creates and extends module tables as declared, and returns the changes in words.
///
/// Servers that start at the same time wait for each other, at most `lock_timeout`.
///
/// # Errors
/// [`Contention`](crate::infra::db::DbErrorKind::Contention) when the lock is not free in time; [`Corrupt`](crate::infra::db::DbErrorKind::Corrupt)
/// naming a change that is not an addition.
pub async fn ensure(db: &Db, tables: &Tables, lock_timeout: Duration) -> Result<Vec<String>, DbError> {
    let tables = tables.clone();
    db.write(Lane::Results, move |mut tx| {
        Box::pin(async move {
            let dialect = store::lock(&mut tx, lock_timeout).await?;
            let made = store::records(&mut tx).await?;
            let indexes = store::indexes(&mut tx).await?;
            let steps = plan(dialect, &tables, &made, &indexes)
                .map_err(|why| DbError::corrupt(format!("module tables: {why}")))?;
            for step in &steps {
                store::carry_out(&mut tx, step).await?;
            }
            Ok(steps.into_iter().flat_map(|step| step.what).collect())
        })
    })
    .await
}

fn plan(dialect: Dialect, tables: &Tables, made: &[Record], indexes: &Indexes) -> Result<Vec<Step>, String> {
    let made: BTreeMap<&str, &Record> = made.iter().map(|r| (r.name.as_str(), r)).collect();
    let mut steps = Vec::new();
    for table in tables.tables() {
        let name = table.table.name.as_str();
        let Some(record) = made.get(name) else {
            steps.push(create(dialect, table));
            continue;
        };
        let step = extend(dialect, table, record).map_err(|why| format!("table {name}: {why}"))?;
        let index = index(dialect, table, indexes.get(&dialect.stored_name(name)));
        match (step, index) {
            (Some(mut step), Some(index)) => {
                step.statements.extend(index.statements);
                steps.push(step);
            }
            (step, index) => steps.extend(step.or(index)),
        }
    }
    for view in tables.views() {
        steps.extend(replace_view(dialect, view, made.get(view.view.name.as_str()).copied())?);
    }
    Ok(steps)
}

fn create(dialect: Dialect, table: &Declared) -> Step {
    let mut statements = vec![ddl::create_table(dialect, table)];
    statements.extend(ddl::indexes(dialect, table).into_iter().map(|index| index.create));
    Step { what: vec![format!("table {}", table.table.name)], statements, record: record_of(table) }
}

fn record_of(table: &Declared) -> Record {
    Record {
        name: table.table.name.clone(),
        module: table.module.clone(),
        made: Definition::Table(table.table.clone()),
    }
}

fn extend(dialect: Dialect, table: &Declared, record: &Record) -> Result<Option<Step>, String> {
    let Definition::Table(old) = &record.made else {
        return Err("was made as a view".into());
    };
    if record.module != table.module {
        return Err(format!("was made by {} and is declared by {}", record.module, table.module));
    }
    let new = &table.table;
    if old == new {
        return Ok(None);
    }
    if old.key != new.key {
        return Err(format!("the key was ({}) and is ({})", old.key.join(", "), new.key.join(", ")));
    }
    for was in &old.columns {
        let Some(is) = new.columns.iter().find(|c| c.name == was.name) else {
            return Err(format!("column {} is no longer declared", was.name));
        };
        if !holds(&was.kind, &is.kind) {
            return Err(format!("column {} was {:?} and is {:?}", was.name, was.kind, is.kind));
        }
        if was.nullable != is.nullable {
            return Err(format!("column {} changed whether it may be null", was.name));
        }
    }
    let mut what = Vec::new();
    let mut statements = Vec::new();
    for column in new.columns.iter().filter(|c| old.position(&c.name).is_none()) {
        if !column.nullable {
            return Err(format!(
                "new column {} may not be null, and the rows that are there have none",
                column.name
            ));
        }
        what.push(format!("table {}: column {}", new.name, column.name));
        statements.push(ddl::add_column(dialect, &new.name, column));
    }
    if what.is_empty() {
        what.push(format!("table {}: declaration", new.name));
    }
    Ok(Some(Step { what, statements, record: record_of(table) }))
}

/// Makes the indexes that a table lacks, and removes those that no list needs any more.
fn index(dialect: Dialect, table: &Declared, there: Option<&BTreeSet<String>>) -> Option<Step> {
    let (none, wanted) = (BTreeSet::new(), ddl::indexes(dialect, table));
    let there = there.unwrap_or(&none);
    let missing =
        wanted.iter().filter(|index| !there.contains(&index.name)).map(|index| index.create.clone());
    let needless = there.iter().filter(|name| !wanted.iter().any(|index| index.name == **name));
    let needless = needless.map(|name| ddl::drop_index(dialect, name));
    let statements: Vec<String> = missing.chain(needless).collect();
    let what = vec![format!("table {}: indexes", table.table.name)];
    (!statements.is_empty()).then(|| Step { what, statements, record: record_of(table) })
}

/// Whether a column of kind `is` can hold everything that one of kind `was` held.
fn holds(was: &ColumnKind, is: &ColumnKind) -> bool {
    match (was, is) {
        (ColumnKind::Enum(was), ColumnKind::Enum(is)) => was.iter().all(|word| is.contains(word)),
        (was, is) => was == is,
    }
}

fn replace_view(
    dialect: Dialect,
    view: &DeclaredView,
    record: Option<&Record>,
) -> Result<Option<Step>, String> {
    let name = &view.view.name;
    let columns = view.table.fields.iter().map(|f| f.name.clone()).collect();
    let made = Definition::View { view: view.view.clone(), columns };
    match record {
        Some(Record { made: Definition::Table(_), .. }) => {
            return Err(format!("view {name}: was made as a table"));
        }
        Some(record) if record.module != view.table.module => {
            return Err(format!("view {name}: was made by {}", record.module));
        }
        Some(record) if record.made == made => return Ok(None),
        _ => {}
    }
    Ok(Some(Step {
        what: vec![format!("view {name}")],
        statements: vec![ddl::drop_view(dialect, name), ddl::create_view(dialect, view)],
        record: Record { name: name.clone(), module: view.table.module.clone(), made },
    }))
}
