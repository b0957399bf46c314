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

/// Most rows of one page.
const MAX_PAGE: u32 = 1_000;

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
    /// Rows of the page, at most 1,000.
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
    /// The table has no such column.
    #[error("table {table} has no column {column:?}")]
    NoColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// Without a time range this would read the whole table.
    #[error("column {column} is not indexed: give a time range, or use one of {searchable}")]
    NotIndexed {
        /// The column.
        column: String,
        /// Columns that need no range, comma-separated.
        searchable: String,
    },
    /// An invalid filter.
    #[error("filter on {column}: {why}")]
    Filter {
        /// The column.
        column: String,
        /// What is wrong with it.
        why: String,
    },
    /// A cursor of another table or order.
    #[error("the cursor belongs to another table or order")]
    Cursor,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] DbError),
}

/// A checked query.
#[derive(Debug)]
struct Checked {
    relation: String,
    table: Arc<Declared>,
    /// Filters, time range and the scope's customer: the position of a column, and its condition.
    conditions: Vec<(usize, Operator)>,
    /// Positions of the sort columns: the requested one, then the key, which makes the order total.
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

fn check(scope: &Scope, tables: &Tables, name: &str, query: &Question) -> Result<Checked, QueryError> {
    let table = match (tables.table(name), tables.view(name)) {
        (Some(table), _) => table.clone(),
        (None, Some(view)) => view.table.clone(),
        (None, None) => return Err(QueryError::NoTable(name.to_owned())),
    };
    let bounded = query.since.is_some() || query.until.is_some();
    let column = |column: &str| {
        let position = table
            .position(column)
            .ok_or_else(|| QueryError::NoColumn { table: name.to_owned(), column: column.to_owned() })?;
        let searchable = table.searchable();
        if bounded || searchable.contains(&column) {
            Ok(position)
        } else {
            Err(QueryError::NotIndexed { column: column.to_owned(), searchable: searchable.join(", ") })
        }
    };
    let filters = query.filters.iter().map(|filter| {
        let position = column(&filter.column)?;
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
        Some(order) => (column(&order.column)?, order.descending),
    };
    let mut order = vec![first];
    order.extend(table.key.iter().filter(|&&k| k != first));
    let mut checked = Checked {
        relation: name.to_owned(),
        table,
        conditions,
        order,
        descending,
        after: None,
        limit: query.limit.clamp(1, MAX_PAGE),
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
