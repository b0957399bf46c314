//! The declared tables, checked once so that every other file here can rely on them.

use super::provenance::{self, Field};
use crate::ids::Slug;
use module_api::{Column, ColumnKind, Declaration, PROVENANCE, Table, View};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Longest name of a table, view or column, in bytes: leaves room for a prefix under Postgres' 63.
const NAME_BYTES: usize = 55;
/// Postgres gives every table these columns.
const SYSTEM_COLUMNS: [&str; 6] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];

/// All tables and views of all modules; cheap to clone.
#[derive(Debug, Clone)]
pub struct Tables {
    set: Arc<Set>,
}

#[derive(Debug)]
struct Set {
    tables: Vec<Arc<Declared>>,
    views: Vec<Arc<DeclaredView>>,
    /// Position in `tables`, by module and the module's own index.
    by_module: BTreeMap<String, Vec<usize>>,
}

/// One table as its module declared it, with the framework's columns in front.
#[derive(Debug)]
pub struct Declared {
    /// `family/type` of the module that writes it.
    pub module: String,
    /// As declared.
    pub table: Table,
    /// Every column: provenance, then declared ones.
    pub fields: Vec<Field>,
    /// Positions in `fields` of the natural key; `customer` comes first.
    pub key: Vec<usize>,
}

/// One view, and the table whose columns it has.
#[derive(Debug)]
pub struct DeclaredView {
    /// As declared.
    pub view: View,
    /// The table it reads.
    pub table: Arc<Declared>,
}

/// A declaration that cannot be used: where, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {why}")]
pub struct DeclarationError {
    /// `module.table.column`, as far as it goes.
    pub place: String,
    /// What is wrong.
    pub why: String,
}

impl Tables {
    /// Checks declarations.
    ///
    /// # Errors
    /// The first fault, with its place.
    pub fn new(declarations: &[Declaration]) -> Result<Self, DeclarationError> {
        let mut set = Set { tables: Vec::new(), views: Vec::new(), by_module: BTreeMap::new() };
        let mut owners = BTreeMap::new();
        for module in declarations {
            check_module(module)?;
            let names = module.tables.iter().map(|t| &t.name).chain(module.views.iter().map(|v| &v.name));
            for name in names {
                if let Some(owner) = owners.insert(name.clone(), module.id.clone()) {
                    return wrong(&[&module.id, name], format!("{owner} has a table or view of this name"));
                }
            }
            let first = set.tables.len();
            set.tables.extend(module.tables.iter().map(|table| Arc::new(Declared::new(&module.id, table))));
            let positions = (first..set.tables.len()).collect();
            if set.by_module.insert(module.id.clone(), positions).is_some() {
                return wrong(&[&module.id], "declared twice");
            }
            for view in &module.views {
                let table = set.tables[first..].iter().find(|t| t.table.name == view.table);
                let Some(table) = table.cloned() else {
                    return wrong(&[&module.id, &view.name], format!("no table {:?} here", view.table));
                };
                check_view(&module.id, view, &table)?;
                set.views.push(Arc::new(DeclaredView { view: view.clone(), table }));
            }
        }
        Ok(Self { set: Arc::new(set) })
    }

    /// Whether a module of this id is declared.
    #[must_use]
    pub fn declares(&self, module: &str) -> bool {
        self.set.by_module.contains_key(module)
    }

    /// The table of `module` with this index, as rows name it.
    #[must_use]
    pub fn of_row(&self, module: &str, table: u16) -> Option<&Arc<Declared>> {
        let position = *self.set.by_module.get(module)?.get(usize::from(table))?;
        self.set.tables.get(position)
    }

    /// A table by name.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&Arc<Declared>> {
        self.set.tables.iter().find(|t| t.table.name == name)
    }

    /// A view by name.
    #[must_use]
    pub fn view(&self, name: &str) -> Option<&Arc<DeclaredView>> {
        self.set.views.iter().find(|v| v.view.name == name)
    }

    /// Every table, in order of declaration.
    #[must_use]
    pub fn tables(&self) -> &[Arc<Declared>] {
        &self.set.tables
    }

    /// Every view, in order of declaration.
    #[must_use]
    pub fn views(&self) -> &[Arc<DeclaredView>] {
        &self.set.views
    }
}

impl Declared {
    fn new(module: &str, table: &Table) -> Self {
        let mut fields = provenance::fields(table.key.iter().any(|k| k == "report_at"));
        fields.extend(table.columns.iter().map(|c| Field::new(&c.name, c.kind.clone(), c.nullable)));
        let position = |name: &String| fields.iter().position(|f| f.name == *name);
        let key =
            std::iter::once(provenance::CUSTOMER).chain(table.key.iter().filter_map(position)).collect();
        Self { module: module.to_owned(), table: table.clone(), fields, key }
    }

    /// Position in `fields` of a column by name.
    #[must_use]
    pub fn position(&self, column: &str) -> Option<usize> {
        self.fields.iter().position(|f| f.name == column)
    }

    /// The natural key's columns.
    pub(super) fn key_fields(&self) -> impl Iterator<Item = &Field> {
        self.key.iter().map(|&k| &self.fields[k])
    }

    /// Whether `report_at` is part of the key; rows without one are then keyed by `received_at`.
    pub(super) fn keyed_by_report_at(&self) -> bool {
        self.key.contains(&provenance::REPORT_AT)
    }

    /// Names of columns that start an index, so that filtering by them is cheap without a time range.
    #[must_use]
    pub fn searchable(&self) -> Vec<&str> {
        let mut names = vec!["customer", "received_at", "load_id"];
        for name in self.table.key.first().into_iter().chain(&self.table.indexed) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names
    }
}

fn wrong<T>(place: &[&str], why: impl Into<String>) -> Result<T, DeclarationError> {
    Err(DeclarationError { place: place.join("."), why: why.into() })
}

fn check_module(module: &Declaration) -> Result<(), DeclarationError> {
    let halves = module.id.split_once('/').map(|(family, kind)| [family.to_owned(), kind.to_owned()]);
    if !halves.is_some_and(|halves| halves.into_iter().all(|half| Slug::try_from(half).is_ok())) {
        return wrong(&[&module.id], "the id is not of the form family/type");
    }
    if module.version.is_empty() || module.version.len() > 64 || module.version.contains('\0') {
        return wrong(&[&module.id], "the version is not a text of 1 to 64 bytes");
    }
    module.tables.iter().try_for_each(|table| check_table(&module.id, table))
}

fn check_name(place: &[&str], name: &str) -> Result<(), DeclarationError> {
    let word = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if word && name.len() <= NAME_BYTES && name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Ok(());
    }
    wrong(place, format!("{name:?} is not of the form [a-z][a-z0-9_]{{0,54}}"))
}

fn check_table(module: &str, table: &Table) -> Result<(), DeclarationError> {
    let place = [module, table.name.as_str()];
    check_name(&place, &table.name)?;
    let mut names = BTreeSet::new();
    for column in &table.columns {
        check_column(&place, column)?;
        if !names.insert(&column.name) {
            return wrong(&[&place[..], &[&column.name]].concat(), "declared twice");
        }
    }
    check_key(&place, table)?;
    for name in &table.indexed {
        match table.columns.iter().find(|c| c.name == *name) {
            None => return wrong(&[&place[..], &[name]].concat(), "indexed, but not a declared column"),
            Some(c) if c.kind == ColumnKind::Json => {
                return wrong(&[&place[..], &[name]].concat(), "a json column cannot be indexed");
            }
            Some(_) => {}
        }
    }
    match &table.log_key {
        None if table.published => wrong(&place, "published without a column for the key of its entries"),
        Some(name) if table.position(name).is_none() => {
            wrong(&[&place[..], &[name]].concat(), "key of log entries, but not a declared column")
        }
        _ => Ok(()),
    }
}

fn check_column(table: &[&str; 2], column: &Column) -> Result<(), DeclarationError> {
    let place = [table[0], table[1], column.name.as_str()];
    check_name(&place, &column.name)?;
    if PROVENANCE.contains(&column.name.as_str()) || SYSTEM_COLUMNS.contains(&column.name.as_str()) {
        return wrong(&place, "the name is taken by headworks or Postgres");
    }
    match &column.kind {
        ColumnKind::Decimal(scale) if *scale > 6 => wrong(&place, "more than 6 decimals"),
        ColumnKind::Enum(words) => {
            let fits = |word: &String| (1..=64).contains(&word.len()) && !word.chars().any(char::is_control);
            let distinct: BTreeSet<_> = words.iter().collect();
            if words.is_empty() || distinct.len() < words.len() || !words.iter().all(fits) {
                return wrong(&place, "the words are not different printable texts of 1 to 64 bytes");
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn check_key(place: &[&str; 2], table: &Table) -> Result<(), DeclarationError> {
    if table.key.is_empty() {
        return wrong(place, "no key");
    }
    let mut names = BTreeSet::new();
    for name in &table.key {
        let here = [place[0], place[1], name.as_str()];
        if !names.insert(name) {
            return wrong(&here, "twice in the key");
        }
        match table.columns.iter().find(|c| c.name == *name) {
            None if name == "report_at" => {}
            None => return wrong(&here, "in the key, but not a declared column"),
            Some(c) if c.nullable => return wrong(&here, "in the key, but may be null"),
            Some(c) if c.kind == ColumnKind::Json => {
                return wrong(&here, "a json column cannot be in the key");
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn check_view(module: &str, view: &View, table: &Declared) -> Result<(), DeclarationError> {
    check_name(&[module, &view.name], &view.name)?;
    if view.order_by.is_empty() {
        return wrong(&[module, &view.name], "no column says which row is the latest");
    }
    for name in view.partition_by.iter().chain(&view.order_by) {
        match table.position(name).map(|p| &table.fields[p].kind) {
            None => return wrong(&[module, &view.name, name], format!("not a column of {}", view.table)),
            Some(ColumnKind::Json) => {
                return wrong(&[module, &view.name, name], "a json column cannot be sorted");
            }
            Some(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declaration(tables: Vec<Table>) -> Declaration {
        Declaration {
            id: "test/report".into(),
            version: "1.0.0".into(),
            summary: String::new(),
            assumed: false,
            tables,
            views: Vec::new(),
        }
    }

    fn sample() -> Table {
        Table::new("node", "a node").key("name", ColumnKind::Text, "").column(
            "load",
            ColumnKind::Decimal(2),
            "",
        )
    }

    fn fault(table: Table) -> String {
        Tables::new(&[declaration(vec![table])]).unwrap_err().to_string()
    }

    #[test]
    fn a_sound_declaration_is_taken_with_provenance_in_front() {
        let tables = Tables::new(&[declaration(vec![sample().key_report_at()])]).unwrap();
        let node = tables.of_row("test/report", 0).unwrap();
        assert_eq!(node.fields.len(), PROVENANCE.len() + 2);
        let key: Vec<_> = node.key_fields().map(|f| f.name.as_str()).collect();
        assert_eq!(key, ["customer", "name", "report_at"]);
        assert!(node.fields[provenance::REPORT_AT].name == "report_at");
        assert!(!node.fields[provenance::REPORT_AT].nullable);
        assert!(tables.of_row("test/report", 1).is_none());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let cases = [
            (Table::new("Node", ""), "test/report.Node: \"Node\" is not of the form"),
            (Table::new("node", ""), "test/report.node: no key"),
            (sample().column("name", ColumnKind::Int, ""), "test/report.node.name: declared twice"),
            (
                sample().column("row_hash", ColumnKind::Int, ""),
                "test/report.node.row_hash: the name is taken",
            ),
            (sample().column("xmin", ColumnKind::Int, ""), "test/report.node.xmin: the name is taken"),
            (sample().column("d", ColumnKind::Decimal(7), ""), "test/report.node.d: more than 6 decimals"),
            (sample().column("e", ColumnKind::words(&["a", "a"]), ""), "test/report.node.e: the words"),
            (sample().index("nothing"), "test/report.node.nothing: indexed, but not"),
            (sample().publish("nothing"), "test/report.node.nothing: key of log entries"),
            (sample().key("j", ColumnKind::Json, ""), "test/report.node.j: a json column"),
        ];
        for (table, expected) in cases {
            let fault = fault(table);
            assert!(fault.starts_with(expected), "{fault}");
        }
    }

    #[test]
    fn two_modules_cannot_have_one_table() {
        let other = Declaration { id: "test/other".into(), ..declaration(vec![sample()]) };
        let error = Tables::new(&[declaration(vec![sample()]), other]).unwrap_err();
        assert_eq!(error.to_string(), "test/other.node: test/report has a table or view of this name");
    }
}
