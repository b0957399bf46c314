//! The SQL of a query, with its parameters.
//!
//! Postgres decides by its statistics where to begin. For SQLite, which has none, [`Start`] says whether it begins at the column
//! of a filter or walks the index of the order, and a plus keeps all other columns out of its indexes.

use super::{Checked, Operator};
use crate::infra::db::FEW;
use crate::load::columns::Bound;
use crate::load::provenance::{CUSTOMER, Field, RECEIVED_AT};
use crate::load::sql::Dialect;
use crate::load::value;
use module_api::{ColumnKind, Value};
use std::cmp::Ordering;

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// Where the store thinks best.
    Anywhere,
    /// At the condition with this number: its index has the rows in order, or they are sorted.
    At(usize),
    /// At the first row of the order.
    Order,
}

/// The part of the order that is read: null sorts after every value, and an index has it in another place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// Behind the cursor, where the first column is null if it is null in the cursor, and else not.
    Beyond,
    /// Where the first column is null.
    Null,
    /// Where it is not.
    Values,
}

impl Part {
    /// The parts that are left, in their order.
    pub(super) fn left(query: &Checked) -> &'static [Self] {
        let Some(place) = &query.after else { return &[Self::Whole] };
        match (query.field(query.order[0]).nullable, &place[0], query.descending) {
            (true, Value::Null, true) => &[Self::Beyond, Self::Values],
            (true, Value::Null, false) | (false, ..) | (true, _, true) => &[Self::Beyond],
            (true, _, false) => &[Self::Beyond, Self::Null],
        }
    }
}

impl Start {
    /// Where to begin in SQLite; otherwise the numbers of the conditions that must be counted to know.
    pub(super) fn without_counts(query: &Checked) -> Result<Self, Vec<usize>> {
        if query.relation != query.table.table.name {
            return Ok(Self::Anywhere);
        }
        let found: Vec<usize> =
            (0..query.conditions.len()).filter(|&n| query.is_indexed(query.conditions[n].0)).collect();
        match found[..] {
            [] => Ok(Self::Order),
            [only] if query.in_order(only) => Ok(Self::At(only)),
            _ => Err(found),
        }
    }

    /// Where to begin in SQLite, by the counts of conditions up to [`FEW`].
    pub(super) fn of_counts(query: &Checked, counts: &[(usize, i64)]) -> Self {
        let least = counts.iter().min_by_key(|(_, rows)| *rows);
        if let Some((least, rows)) = least
            && (*rows < FEW || !query.is_indexed(query.order[0]))
        {
            return Self::At(*least);
        }
        let in_order = counts.iter().map(|(number, _)| *number).filter(|&number| query.in_order(number));
        // Every other index has the customer too, so that of the customer is the last choice.
        in_order.min_by_key(|&n| query.conditions[n].0 == CUSTOMER).map_or(Self::Order, Self::At)
    }
}

/// Most values of an `in` filter that are looked up one by one.
const BRANCHES: usize = 16;

impl Operator {
    /// Whether all rows that meet it have one value.
    const fn is_fixed(&self) -> bool {
        matches!(self, Self::Equal(_) | Self::Null(true))
    }
}

impl Checked {
    /// Whether an index begins with a column.
    fn is_indexed(&self, position: usize) -> bool {
        self.table.searchable().contains(&self.field(position).name.as_str())
    }

    /// The queries, one for each value of an `in` filter, whose rows together are those of this one. Each is a walk of the index in
    /// the order of rows. For the values together there is no such walk: a store sorts all that meet the filter, or walks the
    /// whole table in its order. `None` where the filter has no index, or the order is another.
    pub(super) fn branches(&self) -> Option<Vec<Self>> {
        if self.order[0] != RECEIVED_AT || self.relation != self.table.table.name {
            return None;
        }
        let (number, values) =
            self.conditions.iter().enumerate().find_map(|(number, (position, operator))| {
                let Operator::In(values) = operator else { return None };
                (values.len() <= BRANCHES && self.is_indexed(*position)).then_some((number, values))
            })?;
        let mut branches: Vec<Self> = Vec::with_capacity(values.len());
        for (at, value) in values.iter().enumerate() {
            if !values[..at].contains(value) {
                let mut branch = self.clone();
                branch.conditions[number].1 = Operator::Equal(value.clone());
                branches.push(branch);
            }
        }
        Some(branches)
    }

    /// Compares two rows in the order of the query, where its first column cannot be null.
    pub(super) fn compare(&self, a: &[Value], b: &[Value]) -> Ordering {
        let fields = self.order.iter().map(|&position| value::order(&a[position], &b[position]));
        let ascending = fields.fold(Ordering::Equal, Ordering::then);
        if self.descending { ascending.reverse() } else { ascending }
    }

    /// Whether the index of a condition's column has the rows that meet it in the order of the query.
    fn in_order(&self, number: usize) -> bool {
        let (position, operator) = &self.conditions[number];
        match operator {
            Operator::NotEqual(_) | Operator::In(_) => false,
            _ if *position == self.order[0] => true,
            _ => operator.is_fixed() && self.order[0] == RECEIVED_AT,
        }
    }

    /// Whether the rows must be sorted once they are found.
    fn is_sorted(&self, start: Start) -> bool {
        matches!(start, Start::At(number) if !self.in_order(number))
    }

    /// Whether all rows have the value of a place in a column, and the index that is walked does not have it among the others: each
    /// but that of the customer has the customer behind the time. A place may have another value than the rows, where it is that of
    /// a row of another [branch](Self::branches).
    fn is_left_out(&self, position: usize, value: &Value) -> bool {
        let fixed =
            |(at, o): &(usize, Operator)| *at == position && matches!(o, Operator::Equal(v) if v == value);
        let walks = |(at, o): &(usize, Operator)| *at != CUSTOMER && o.is_fixed() && self.is_indexed(*at);
        let by_customer =
            [RECEIVED_AT, CUSTOMER].contains(&self.order[0]) && !self.conditions.iter().any(walks);
        self.conditions.iter().any(fixed) && (position != CUSTOMER || by_customer)
    }

    /// Whether a condition is only a filter, which SQLite looks up in no index.
    fn is_kept_out(&self, start: Start, number: usize) -> bool {
        let position = self.conditions[number].0;
        match start {
            Start::Anywhere => false,
            Start::Order => position != self.order[0],
            Start::At(first) => {
                let (begins, operator) = &self.conditions[first];
                // Behind its first column every index has the time.
                position != *begins && !(position == RECEIVED_AT && operator.is_fixed())
            }
        }
    }
}

/// Counts the rows that meet all conditions on the column of one, up to [`FEW`].
pub(super) fn count(dialect: Dialect, query: &Checked, number: usize) -> Bound<'_> {
    let mut select = Select { dialect, bound: Vec::new() };
    let column = query.conditions[number].0;
    let mut conditions = Vec::new();
    for (position, operator) in query.conditions.iter().filter(|(position, _)| *position == column) {
        conditions.push(select.condition(query.field(*position), operator, ""));
    }
    let (relation, conditions) = (dialect.relation(&query.relation), conditions.join(" AND "));
    let text = format!("SELECT count(*) FROM (SELECT 1 FROM {relation} AS t WHERE {conditions} LIMIT {FEW})");
    (text, select.bound)
}

/// The statement for at most `limit` rows of a part.
pub(super) fn statement(
    dialect: Dialect,
    query: &Checked,
    start: Start,
    part: Part,
    limit: usize,
) -> Bound<'_> {
    let mut select = Select { dialect, bound: Vec::new() };
    let mut conditions = Vec::new();
    for (number, (position, operator)) in query.conditions.iter().enumerate() {
        let plus = if query.is_kept_out(start, number) { "+" } else { "" };
        conditions.push(select.condition(query.field(*position), operator, plus));
    }
    // Few rows are sorted, or SQLite would walk the index of the order after all.
    let sorted = if query.is_sorted(start) { "+" } else { "" };
    let first = dialect.comparable("t.", query.field(query.order[0]));
    match (part, &query.after) {
        (Part::Beyond, Some(place)) => conditions.push(select.after(query, place, sorted)),
        (Part::Null, _) => conditions.push(format!("{first} IS NULL")),
        (Part::Values, _) => conditions.push(format!("{first} IS NOT NULL")),
        _ => {}
    }
    let conditions = if conditions.is_empty() { "true".to_owned() } else { conditions.join(" AND ") };
    let text = format!(
        "SELECT {} FROM {} AS t WHERE {conditions} ORDER BY {} LIMIT {limit}",
        dialect.selected("t.", &query.table.fields),
        dialect.relation(&query.relation),
        order(dialect, query, sorted, part),
    );
    (text, select.bound)
}

fn order(dialect: Dialect, query: &Checked, sorted: &str, part: Part) -> String {
    let (direction, nulls) = if query.descending { ("DESC", "FIRST") } else { ("ASC", "LAST") };
    // Postgres does not know that what is null is equal, and finds the order of an index only if that column is in it.
    let null = query.conditions.iter().find(|(_, operator)| *operator == Operator::Null(true));
    let null = null.filter(|_| dialect == Dialect::Pg && query.order[0] == RECEIVED_AT).map(|(p, _)| p);
    let terms = null.into_iter().chain(&query.order).enumerate().map(|(at, &p)| {
        let field = query.field(p);
        let nulls =
            if field.nullable && part == Part::Whole { format!(" NULLS {nulls}") } else { String::new() };
        let plus = if at == 0 { sorted } else { "" };
        format!("{plus}{} {direction}{nulls}", dialect.comparable("t.", field))
    });
    terms.collect::<Vec<_>>().join(", ")
}

struct Select<'q> {
    dialect: Dialect,
    bound: Vec<(&'q ColumnKind, &'q Value)>,
}

impl<'q> Select<'q> {
    fn bind(&mut self, field: &'q Field, value: &'q Value) -> String {
        self.bound.push((&field.kind, value));
        self.dialect.operand(field, self.bound.len())
    }

    /// `plus` keeps SQLite from looking the column up in an index.
    fn condition(&mut self, field: &'q Field, operator: &'q Operator, plus: &str) -> String {
        let column = format!("{plus}{}", self.dialect.comparable("t.", field));
        match operator {
            Operator::Equal(value) => format!("{column} = {}", self.bind(field, value)),
            Operator::NotEqual(value) => {
                let value = self.bind(field, value);
                format!("({column} < {value} OR {column} > {value})")
            }
            Operator::Less(value) => format!("{column} < {}", self.bind(field, value)),
            Operator::AtMost(value) => format!("{column} <= {}", self.bind(field, value)),
            Operator::Greater(value) => format!("{column} > {}", self.bind(field, value)),
            Operator::AtLeast(value) => format!("{column} >= {}", self.bind(field, value)),
            Operator::In(values) => {
                let values: Vec<String> = values.iter().map(|value| self.bind(field, value)).collect();
                format!("{column} IN ({})", values.join(", "))
            }
            Operator::Prefix(first, end) => {
                let from = format!("{column} >= {}", self.bind(field, first));
                let Some(end) = end else { return from };
                format!("{from} AND {column} < {}", self.bind(field, end))
            }
            Operator::Null(true) => format!("{column} IS NULL"),
            Operator::Null(false) => self.not_null(field, &column),
        }
    }

    /// SQLite looks up only what is compared with a value.
    fn not_null(&self, field: &Field, column: &str) -> String {
        match (self.dialect, &field.kind) {
            (Dialect::Pg, _) => format!("{column} IS NOT NULL"),
            (Dialect::Lite, ColumnKind::Text | ColumnKind::Enum(_) | ColumnKind::Json) => {
                format!("{column} >= ''")
            }
            (Dialect::Lite, ColumnKind::Bytes | ColumnKind::Uuid) => format!("{column} >= x''"),
            (Dialect::Lite, _) => format!("{column} >= {}", i64::MIN),
        }
    }

    /// Condition for rows after the one with these values of the sort columns, in the part where the first is null or is not.
    fn after(&mut self, query: &'q Checked, place: &'q [Value], plus: &str) -> String {
        let all: Vec<_> = query.order.iter().copied().zip(place).collect();
        if place[0] != Value::Null {
            return self.beyond(query, &all, plus);
        }
        let first = self.dialect.comparable("t.", query.field(query.order[0]));
        format!("{first} IS NULL AND {}", self.beyond(query, &all[1..], plus))
    }

    /// Rows beyond a place in the order.
    fn beyond(&mut self, query: &'q Checked, place: &[(usize, &'q Value)], plus: &str) -> String {
        let place = place.iter().filter(|(p, value)| !query.is_left_out(*p, value));
        let place: Vec<_> = place.map(|&(p, value)| (query.field(p), value)).collect();
        if place.is_empty() {
            return "false".to_owned();
        }
        let columns: Vec<String> = place.iter().map(|(f, _)| self.dialect.comparable("t.", f)).collect();
        let values: Vec<String> = place.iter().map(|&(f, value)| self.bind(f, value)).collect();
        let than = if query.descending { "<" } else { ">" };
        format!("({plus}{}) {than} ({})", columns.join(", "), values.join(", "))
    }
}
