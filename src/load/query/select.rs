//! The SQL of a query, with its parameters.

use super::{Checked, Operator};
use crate::load::provenance::Field;
use crate::load::sql::Dialect;
use module_api::{ColumnKind, Value};

/// The statement, and kind and value of each parameter.
pub(super) fn statement(dialect: Dialect, query: &Checked) -> (String, Vec<(&ColumnKind, &Value)>) {
    let mut select = Select { dialect, bound: Vec::new() };
    let mut conditions: Vec<String> = query
        .conditions
        .iter()
        .map(|(position, operator)| select.condition(query.field(*position), operator))
        .collect();
    if let Some(after) = &query.after {
        conditions.push(select.after(query, after));
    }
    let conditions = if conditions.is_empty() { "true".to_owned() } else { conditions.join(" AND ") };
    let (direction, nulls) = if query.descending { ("DESC", "FIRST") } else { ("ASC", "LAST") };
    let order = query.order.iter().map(|&p| {
        let field = query.field(p);
        let nulls = if field.nullable { format!(" NULLS {nulls}") } else { String::new() };
        format!("{} {direction}{nulls}", dialect.comparable("t.", field))
    });
    let text = format!(
        "SELECT {} FROM {} AS t WHERE {conditions} ORDER BY {} LIMIT {}",
        dialect.selected("t.", &query.table.fields),
        dialect.relation(&query.relation),
        order.collect::<Vec<_>>().join(", "),
        u64::from(query.limit) + 1
    );
    (text, select.bound)
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

    fn condition(&mut self, field: &'q Field, operator: &'q Operator) -> String {
        let column = self.dialect.comparable("t.", field);
        match operator {
            Operator::Equal(value) => format!("{column} = {}", self.bind(field, value)),
            Operator::NotEqual(value) => format!("{column} <> {}", self.bind(field, value)),
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
            Operator::Null(false) => format!("{column} IS NOT NULL"),
        }
    }

    /// Condition for rows after the one with these values of the sort columns. Null sorts after every value.
    fn after(&mut self, query: &'q Checked, place: &'q [Value]) -> String {
        let first = query.field(query.order[0]);
        let column = self.dialect.comparable("t.", first);
        let (all, key) = (&query.order[..], &query.order[1..]);
        match (&place[0], query.descending) {
            (Value::Null, false) => {
                format!("({column} IS NULL AND {})", self.beyond(query, key, &place[1..]))
            }
            (Value::Null, true) => {
                format!("({column} IS NOT NULL OR {})", self.beyond(query, key, &place[1..]))
            }
            (_, false) if first.nullable => {
                format!("({column} IS NULL OR {})", self.beyond(query, all, place))
            }
            _ => self.beyond(query, all, place),
        }
    }

    fn beyond(&mut self, query: &'q Checked, positions: &'q [usize], place: &'q [Value]) -> String {
        let fields: Vec<&Field> = positions.iter().map(|&p| query.field(p)).collect();
        let columns: Vec<String> = fields.iter().map(|f| self.dialect.comparable("t.", f)).collect();
        let values: Vec<String> = fields.iter().zip(place).map(|(f, v)| self.bind(f, v)).collect();
        let than = if query.descending { "<" } else { ">" };
        format!("({}) {than} ({})", columns.join(", "), values.join(", "))
    }
}
