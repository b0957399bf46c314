//! The text of a question, with what has to be bound to it.

use super::{Checked, Operator};
use crate::load::provenance::Field;
use crate::load::sql::Dialect;
use module_api::{ColumnKind, Value};

/// One statement, and the values of its parameters in order.
pub(super) fn statement(dialect: Dialect, question: &Checked) -> (String, Vec<(&ColumnKind, &Value)>) {
    let mut select = Select { dialect, bound: Vec::new() };
    let mut conditions: Vec<String> = question
        .conditions
        .iter()
        .map(|(position, operator)| select.condition(question.field(*position), operator))
        .collect();
    if let Some(after) = &question.after {
        conditions.push(select.after(question, after));
    }
    let conditions = if conditions.is_empty() { "true".to_owned() } else { conditions.join(" AND ") };
    let (direction, nulls) = if question.descending { ("DESC", "FIRST") } else { ("ASC", "LAST") };
    let order = question.order.iter().map(|&p| {
        let field = question.field(p);
        let nulls = if field.nullable { format!(" NULLS {nulls}") } else { String::new() };
        format!("{} {direction}{nulls}", dialect.comparable("t.", field))
    });
    let text = format!(
        "SELECT {} FROM {} AS t WHERE {conditions} ORDER BY {} LIMIT {}",
        dialect.selected("t.", &question.table.fields),
        dialect.relation(&question.relation),
        order.collect::<Vec<_>>().join(", "),
        u64::from(question.limit) + 1
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

    /// Rows that come after one with these values of the order's columns. Null is after every value.
    fn after(&mut self, question: &'q Checked, place: &'q [Value]) -> String {
        let first = question.field(question.order[0]);
        let column = self.dialect.comparable("t.", first);
        let (all, key) = (&question.order[..], &question.order[1..]);
        match (&place[0], question.descending) {
            (Value::Null, false) => {
                format!("({column} IS NULL AND {})", self.beyond(question, key, &place[1..]))
            }
            (Value::Null, true) => {
                format!("({column} IS NOT NULL OR {})", self.beyond(question, key, &place[1..]))
            }
            (_, false) if first.nullable => {
                format!("({column} IS NULL OR {})", self.beyond(question, all, place))
            }
            _ => self.beyond(question, all, place),
        }
    }

    fn beyond(&mut self, question: &'q Checked, positions: &'q [usize], place: &'q [Value]) -> String {
        let fields: Vec<&Field> = positions.iter().map(|&p| question.field(p)).collect();
        let columns: Vec<String> = fields.iter().map(|f| self.dialect.comparable("t.", f)).collect();
        let values: Vec<String> = fields.iter().zip(place).map(|(f, v)| self.bind(f, v)).collect();
        let than = if question.descending { "<" } else { ">" };
        format!("({}) {than} ({})", columns.join(", "), values.join(", "))
    }
}
