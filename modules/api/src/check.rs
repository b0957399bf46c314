//! Checks rows against declarations, and declarations themselves.

use crate::{Column, ColumnKind, Declaration, PROVENANCE, Row, Table, Value};
use std::collections::BTreeSet;

/// A row that is not what its module declared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// [`Row::table`] points nowhere.
    #[error("table {0} is not declared")]
    NoTable(u16),
    /// Too few or too many values.
    #[error("a row of {table} has {found} values where {declared} columns are declared")]
    Count {
        /// The table.
        table: String,
        /// Declared columns.
        declared: usize,
        /// Values in the row.
        found: usize,
    },
    /// A value of another kind, a null where none may be, or a word outside an enum.
    #[error("{table}.{column} does not take the value of this row")]
    Value {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
}

impl Declaration {
    /// Checks one row against the tables declared here.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn check_row(&self, row: &Row) -> Result<(), RowError> {
        let table = self.tables.get(usize::from(row.table)).ok_or(RowError::NoTable(row.table))?;
        if table.columns.len() != row.values.len() {
            return Err(RowError::Count {
                table: table.name.clone(),
                declared: table.columns.len(),
                found: row.values.len(),
            });
        }
        match table.columns.iter().zip(&row.values).find(|(column, value)| !column.takes(value)) {
            Some((column, _)) => {
                Err(RowError::Value { table: table.name.clone(), column: column.name.clone() })
            }
            None => Ok(()),
        }
    }

    /// Checks the declaration itself: names, keys and views.
    ///
    /// # Errors
    /// The first thing that is wrong, naming its place.
    pub fn check(&self) -> Result<(), String> {
        if self.id.split('/').filter(|part| is_name(part)).count() != 2 {
            return Err(format!("id {:?} is not of the form family/type", self.id));
        }
        let mut names = BTreeSet::new();
        for table in &self.tables {
            table.check().map_err(|wrong| format!("table {}: {wrong}", table.name))?;
            if !names.insert(&table.name) {
                return Err(format!("table {} is declared twice", table.name));
            }
        }
        for view in &self.views {
            let table = self.tables.iter().find(|table| table.name == view.table);
            let table =
                table.ok_or_else(|| format!("view {} reads {}, which is no table", view.name, view.table))?;
            for column in view.partition_by.iter().chain(&view.order_by) {
                if !table.knows(column) {
                    return Err(format!(
                        "view {} names {column}, which {} does not have",
                        view.name, view.table
                    ));
                }
            }
            if !is_name(&view.name) || !names.insert(&view.name) {
                return Err(format!("view {} has no name of its own", view.name));
            }
        }
        Ok(())
    }
}

impl Table {
    fn check(&self) -> Result<(), String> {
        if !is_name(&self.name) {
            return Err("a name is [a-z][a-z0-9_]{0,54}".into());
        }
        let mut names = BTreeSet::new();
        for column in &self.columns {
            let name = column.name.as_str();
            if !is_name(name) || PROVENANCE.contains(&name) || !names.insert(name) {
                return Err(format!("column {name:?} has a bad, reserved or repeated name"));
            }
            if matches!(column.kind, ColumnKind::Decimal(scale) if scale > 6) {
                return Err(format!("column {name} has more than 6 decimals"));
            }
        }
        if self.key.is_empty() {
            return Err("no key".into());
        }
        for name in self.key.iter().chain(&self.indexed).chain(&self.log_key) {
            if !self.knows(name) {
                return Err(format!("{name} is no column"));
            }
        }
        match self.columns.iter().find(|column| column.nullable && self.key.contains(&column.name)) {
            Some(column) => Err(format!("key column {} may be null", column.name)),
            None => Ok(()),
        }
    }

    fn knows(&self, column: &str) -> bool {
        column == "report_at" || self.position(column).is_some()
    }
}

impl Column {
    fn takes(&self, value: &Value) -> bool {
        match (&self.kind, value) {
            (_, Value::Null) => self.nullable,
            (ColumnKind::Text, Value::Text(_))
            | (ColumnKind::Int, Value::Int(_))
            | (ColumnKind::Bool, Value::Bool(_))
            | (ColumnKind::Time, Value::Time(_))
            | (ColumnKind::Bytes, Value::Bytes(_))
            | (ColumnKind::Uuid, Value::Uuid(_)) => true,
            (ColumnKind::Json, Value::Json(text)) => {
                serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
            }
            (ColumnKind::Decimal(scale), Value::Decimal(decimal)) => {
                decimal.scale <= *scale && decimal.rescale(*scale).is_some()
            }
            (ColumnKind::Enum(words), Value::Text(word)) => words.contains(word),
            _ => false,
        }
    }
}

fn is_name(name: &str) -> bool {
    (1..=55).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decimal, Place, View};

    fn declared() -> Declaration {
        let table = Table::new("node", "A node.")
            .key("name", ColumnKind::Text, "Its name.")
            .column("load_pct", ColumnKind::Decimal(4), "Its load.")
            .column("state", ColumnKind::words(&["up", "down"]), "Its state.");
        Declaration {
            id: "test/node".into(),
            version: "1.0.0".into(),
            summary: "Nodes.".into(),
            assumed: true,
            tables: vec![table],
            views: Vec::new(),
        }
    }

    fn row(values: Vec<Value>) -> Row {
        Row { table: 0, place: Place::default(), report_at: None, report_tz_assumed: false, values }
    }

    #[test]
    fn a_row_must_have_the_declared_columns_kinds_and_words() {
        let decimal = |scale| Value::Decimal(Decimal { units: 5, scale });
        for (values, fits) in [
            (vec!["a".into(), decimal(4), "up".into()], true),
            (vec!["a".into(), Value::Null, Value::Null], true),
            (vec![Value::Null, Value::Null, Value::Null], false),
            (vec!["a".into(), decimal(2), "up".into()], true),
            (vec!["a".into(), decimal(5), "up".into()], false),
            (vec!["a".into(), decimal(4), "sideways".into()], false),
            (vec!["a".into(), Value::Int(1), "up".into()], false),
            (vec!["a".into()], false),
        ] {
            assert_eq!(declared().check_row(&row(values.clone())).is_ok(), fits, "{values:?}");
        }
        let elsewhere = Row { table: 1, ..row(Vec::new()) };
        assert_eq!(declared().check_row(&elsewhere), Err(RowError::NoTable(1)));
    }

    #[test]
    fn a_declaration_that_cannot_become_tables_is_refused() {
        assert_eq!(declared().check(), Ok(()));
        let spoilt: [fn(&mut Declaration); 6] = [
            |d| d.id = "node".into(),
            |d| d.tables[0].columns[0].name = "customer".into(),
            |d| d.tables[0].columns[0].nullable = true,
            |d| d.tables[0].key = vec!["nothing".into()],
            |d| d.tables.push(d.tables[0].clone()),
            |d| {
                d.views.push(View {
                    name: "latest".into(),
                    meaning: String::new(),
                    table: "elsewhere".into(),
                    partition_by: Vec::new(),
                    order_by: Vec::new(),
                });
            },
        ];
        for (index, spoil) in spoilt.iter().enumerate() {
            let mut declaration = declared();
            spoil(&mut declaration);
            assert!(declaration.check().is_err(), "spoilt in way {index}");
        }
    }
}
