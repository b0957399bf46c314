//! Asking for rows: filters, order, pages.
//!
//! A question is checked against the declaration before the store hears of it. A filter or an order on a column
//! without an index is taken only with a time range, which bounds what has to be read. Text sorts by bytes and null
//! after every value, on both stores. Pages go on after the last row's place in the order, so rows that arrive
//! meanwhile neither repeat nor hide others.

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

/// A question to one table or view.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// All of these hold.
    pub filters: Vec<Filter>,
    /// Received at or after this.
    pub since: Option<Timestamp>,
    /// Received before this.
    pub until: Option<Timestamp>,
    /// Sorted by; `received_at`, newest first, where none is named.
    pub order: Option<Order>,
    /// Where the page before ended.
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

/// Rows, and where to go on.
#[derive(Debug, Clone)]
pub struct Page {
    /// What was asked.
    pub table: Arc<Declared>,
    /// One value per [`Declared::fields`].
    pub rows: Vec<Vec<Value>>,
    /// Cursor of the next page, unless this is the last.
    pub next: Option<String>,
}

impl Page {
    /// The rows as JSON objects, by column name.
    pub fn objects(&self) -> impl Iterator<Item = serde_json::Map<String, serde_json::Value>> {
        self.rows.iter().map(|row| object(&self.table, row))
    }
}

/// Why there is no answer. All but `Store` are the asker's mistakes and name what is wrong.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// There is no such table or view.
    #[error("there is no table {0:?}")]
    NoTable(String),
    /// The table has no such column.
    #[error("table {table} has no column {column:?}")]
    NoColumn {
        /// Asked for.
        table: String,
        /// Not there.
        column: String,
    },
    /// Without a time range this would read the whole table.
    #[error("column {column} is not indexed: give a time range, or use one of {searchable}")]
    NotIndexed {
        /// Filtered or sorted by.
        column: String,
        /// What may be used without a range, joined by commas.
        searchable: String,
    },
    /// A filter that cannot be.
    #[error("filter on {column}: {why}")]
    Filter {
        /// On which column.
        column: String,
        /// As a lower-case fragment.
        why: String,
    },
    /// A cursor that is not of this table and order.
    #[error("the cursor is not of this table and order")]
    Cursor,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] DbError),
}

/// A question that can be put to the store.
#[derive(Debug)]
struct Checked {
    relation: String,
    table: Arc<Declared>,
    /// What is asked for, the time range, and the scope's customer: position of a column, and what it must be.
    conditions: Vec<(usize, Operator)>,
    /// Positions sorted by, the first one as asked, then the key, which makes the order total.
    order: Vec<usize>,
    descending: bool,
    /// Values of `order` in the last row of the page before.
    after: Option<Vec<Value>>,
    limit: u32,
}

/// Answers a question about what `scope` may see.
///
/// # Errors
/// See [`QueryError`].
pub async fn rows(
    db: &Db,
    scope: &Scope,
    tables: &Tables,
    name: &str,
    question: &Question,
) -> Result<Page, QueryError> {
    let checked = check(scope, tables, name, question)?;
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

fn check(scope: &Scope, tables: &Tables, name: &str, question: &Question) -> Result<Checked, QueryError> {
    let table = match (tables.table(name), tables.view(name)) {
        (Some(table), _) => table.clone(),
        (None, Some(view)) => view.table.clone(),
        (None, None) => return Err(QueryError::NoTable(name.to_owned())),
    };
    let bounded = question.since.is_some() || question.until.is_some();
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
    let filters = question.filters.iter().map(|filter| {
        let position = column(&filter.column)?;
        let operator = filter.operator(&table.fields[position].kind);
        let why = |why| QueryError::Filter { column: filter.column.clone(), why };
        Ok((position, operator.map_err(why)?))
    });
    let mut conditions = filters.collect::<Result<Vec<_>, QueryError>>()?;
    conditions.extend(scope.customer().map(|c| (provenance::CUSTOMER, Operator::Equal(c.into()))));
    conditions.extend(question.since.map(|at| (RECEIVED_AT, Operator::AtLeast(comparable_time(at)))));
    conditions.extend(question.until.map(|at| (RECEIVED_AT, Operator::Less(comparable_time(at)))));
    let (first, descending) = match &question.order {
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
        limit: question.limit.clamp(1, MAX_PAGE),
    };
    if let Some(text) = &question.cursor {
        let kinds: Vec<&ColumnKind> = checked.order.iter().map(|&p| &checked.table.fields[p].kind).collect();
        checked.after = Some(cursor::read(&checked.mark(), &kinds, text).ok_or(QueryError::Cursor)?);
    }
    Ok(checked)
}

impl Checked {
    fn field(&self, position: usize) -> &Field {
        &self.table.fields[position]
    }

    /// What a cursor belongs to.
    fn mark(&self) -> String {
        let direction = if self.descending { "desc" } else { "asc" };
        format!("{} {} {direction}", self.relation, self.field(self.order[0]).name)
    }
}
