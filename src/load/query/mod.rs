//! Queries for rows: filters, order, pages.
//!
//! A query is checked against the declaration before it goes to the store. Filtering or sorting by a column without an
//! index requires a time range, which bounds what has to be read. On both stores text sorts by bytes, and null after
//! every value. A page continues after the last row's sort key, so rows that arrive in between neither repeat nor hide
//! others.

mod cursor;
mod filter;
mod select;
mod store;

pub use filter::{Filter, Operator};
pub use store::{FindingRow, LoadRow, findings_of_load, loads_of_delivery};

use super::declared::{Declared, Tables};
use super::provenance::{self, Field, RECEIVED_AT};
use super::row::object;
use super::value::comparable_time;
use crate::ids::{Scope, Timestamp};
use crate::infra::db::{Db, DbError};
use module_api::{ColumnKind, Value};
use std::sync::Arc;

/// A query of one table or view.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// All of these must hold.
    pub filters: Vec<Filter>,
    /// Received at or after this.
    pub since: Option<Timestamp>,
    /// Received before this.
    pub until: Option<Timestamp>,
    /// Sort order; by default `received_at`, newest first.
    pub order: Option<Order>,
    /// `next` of the previous page.
    pub cursor: Option<String>,
    /// Rows of the page, at least one.
    pub limit: u32,
}

/// A column to sort by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its name.
    pub column: String,
    /// Largest first, and null before everything.
    pub descending: bool,
}

/// One page of rows.
#[derive(Debug, Clone)]
pub struct Page {
    /// The table.
    pub table: Arc<Declared>,
    /// One value per [`Declared::fields`].
    pub rows: Vec<Vec<Value>>,
    /// Cursor of the next page; `None` on the last one.
    pub next: Option<String>,
}

impl Page {
    /// The rows as JSON objects, by column name.
    pub fn objects(&self) -> impl Iterator<Item = serde_json::Map<String, serde_json::Value>> {
        self.rows.iter().map(|row| object(&self.table, row))
    }
}

/// Errors of a query. All but `Store` are mistakes of the caller and name what is wrong.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// There is no such table or view.
    #[error("there is no table {0:?}")]
    NoTable(String),
    /// A column that is not there, or that cannot be used so: it would be read from the whole table.
    #[error("{why}")]
    Column {
        /// The parameter that names it: `order`, or `filter[column]`.
        parameter: String,
        /// What is wrong with it, and what is allowed.
        why: String,
    },
    /// An invalid condition.
    #[error("{why}")]
    Filter {
        /// The column.
        column: String,
        /// What is wrong with it, and what is allowed.
        why: String,
    },
    /// A cursor of another table or order.
    #[error("is not the `next` of an earlier page of this table in this order")]
    Cursor,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] DbError),
}

/// A checked query.
#[derive(Debug, Clone)]
struct Checked {
    relation: String,
    table: Arc<Declared>,
    /// Filters, time range and the scope's customer: the position of a column, and its condition.
    conditions: Vec<(usize, Operator)>,
    /// Positions of the sort columns: the requested one, `received_at`, then the key, which makes the order total. Indexes have
    /// their columns in this order.
    order: Vec<usize>,
    descending: bool,
    /// Values of `order` in the last row of the previous page.
    after: Option<Vec<Value>>,
    limit: u32,
}

/// Runs a query on the rows that `scope` may see.
///
/// # Errors
/// See [`QueryError`].
pub async fn rows(
    db: &Db,
    scope: &Scope,
    tables: &Tables,
    name: &str,
    query: &Question,
) -> Result<Page, QueryError> {
    let checked = check(scope, tables, name, query)?;
    let mut rows = store::rows(db, &checked).await?;
    let limit = usize::try_from(checked.limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|last| {
        let place: Vec<&Value> = checked.order.iter().map(|&p| &last[p]).collect();
        cursor::write(&checked.mark(), &place)
    });
    Ok(Page { table: checked.table.clone(), rows, next })
}

/// How the store would find the rows of a query, one line per step.
///
/// # Errors
/// See [`QueryError`].
pub async fn plan(
    db: &Db,
    scope: &Scope,
    tables: &Tables,
    name: &str,
    query: &Question,
) -> Result<Vec<String>, QueryError> {
    Ok(store::plan(db, &check(scope, tables, name, query)?).await?)
}

fn check(scope: &Scope, tables: &Tables, name: &str, query: &Question) -> Result<Checked, QueryError> {
    let table = match (tables.table(name), tables.view(name)) {
        (Some(table), _) => table.clone(),
        (None, Some(view)) => view.table.clone(),
        (None, None) => return Err(QueryError::NoTable(name.to_owned())),
    };
    let bounded = query.since.is_some() || query.until.is_some();
    let column = |parameter: &str, column: &str| {
        let wrong = |why| QueryError::Column { parameter: parameter.to_owned(), why };
        let position = table.position(column).ok_or_else(|| {
            let all: Vec<&str> = table.fields.iter().map(|field| field.name.as_str()).collect();
            wrong(format!("table {name} has no column {column:?}; its columns are {}", all.join(", ")))
        })?;
        let searchable = table.searchable();
        if bounded || searchable.contains(&column) {
            return Ok(position);
        }
        let searchable = searchable.join(", ");
        Err(wrong(format!("column {column} has no index: give since or until, or use one of {searchable}")))
    };
    let filters = query.filters.iter().map(|filter| {
        let position = column(&format!("filter[{}]", filter.column), &filter.column)?;
        let operator = filter.operator(&table.fields[position].kind);
        let why = |why| QueryError::Filter { column: filter.column.clone(), why };
        Ok((position, operator.map_err(why)?))
    });
    let mut conditions = filters.collect::<Result<Vec<_>, QueryError>>()?;
    conditions.extend(scope.customer().map(|c| (provenance::CUSTOMER, Operator::Equal(c.into()))));
    conditions.extend(query.since.map(|at| (RECEIVED_AT, Operator::AtLeast(comparable_time(at)))));
    conditions.extend(query.until.map(|at| (RECEIVED_AT, Operator::Less(comparable_time(at)))));
    let (first, descending) = match &query.order {
        None => (RECEIVED_AT, true),
        Some(order) => (column("order", &order.column)?, order.descending),
    };
    let mut order = vec![first];
    for position in std::iter::once(RECEIVED_AT).chain(table.key.iter().copied()) {
        if !order.contains(&position) {
            order.push(position);
        }
    }
    let mut checked = Checked {
        relation: name.to_owned(),
        table,
        conditions,
        order,
        descending,
        after: None,
        limit: query.limit.max(1),
    };
    if let Some(text) = &query.cursor {
        let kinds: Vec<&ColumnKind> = checked.order.iter().map(|&p| &checked.table.fields[p].kind).collect();
        checked.after = Some(cursor::read(&checked.mark(), &kinds, text).ok_or(QueryError::Cursor)?);
    }
    Ok(checked)
}

impl Checked {
    fn field(&self, position: usize) -> &Field {
        &self.table.fields[position]
    }

    /// Table and order, as a cursor names them.
    fn mark(&self) -> String {
        let direction = if self.descending { "desc" } else { "asc" };
        format!("{} {} {direction}", self.relation, self.field(self.order[0]).name)
    }
}
