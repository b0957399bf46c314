//! Sections that are tables: a line of titles, then a line per record.

use super::outline::Section;
use crate::lines::{self, Cell, Line};
use crate::profile::Names;
use crate::values::Printed;
use module_reading::size::Unit;
use std::borrow::Cow;

/// A column of a printed table.
#[derive(Debug)]
pub struct Column {
    /// Our name, if the profile has one for the title.
    pub field: Option<String>,
    /// Title as printed.
    pub title: String,
    /// What stands in brackets at the end of the title, `TB` of `Logical(TB)`.
    pub unit: Option<String>,
    /// Line of the title.
    pub line: u64,
}

/// A line of a table under its columns.
#[derive(Debug)]
pub struct Record {
    pub line: u64,
    /// A text per column.
    pub cells: Vec<String>,
}

/// A printed table.
#[derive(Debug, Default)]
pub struct Table<'a> {
    pub columns: Vec<Column>,
    pub records: Vec<Record>,
    /// Lines that could not be laid under the titles.
    pub shapeless: Vec<Line<'a>>,
}

impl<'a> Table<'a> {
    /// Reads a section. Lines that say there is nothing are left out.
    pub fn of(section: &Section<'a>, names: &Names, nothing: &[String]) -> Self {
        let says_nothing = |line: &&Line<'a>| nothing.contains(&crate::profile::plain(line.text));
        let lines: Vec<Line<'a>> = section.lines.iter().filter(|line| !says_nothing(line)).copied().collect();
        let Some((first, rest)) = lines.split_first() else { return Self::default() };
        let (titles, cells, rest) = titles(first, rest, names);
        let columns = titles.into_iter().map(|title| Column::of(title, first.number, names)).collect();
        let mut table = Self { columns, ..Self::default() };
        let mut rest = rest;
        while let Some((line, after)) = rest.split_first() {
            let (text, used) = unwrapped(line, after, cells.len());
            let whole = Line { text: &text, ..*line };
            match lines::under(&cells, &whole.cells()) {
                Some(cells) => {
                    let cells = cells.into_iter().map(str::to_owned).collect();
                    table.records.push(Record { line: line.number, cells });
                }
                None => table.shapeless.push(*line),
            }
            rest = &after[used..];
        }
        table
    }

    /// The cell of a field; an empty text where the table has no such column.
    pub fn get<'r>(&self, record: &'r Record, field: &'r str) -> Printed<'r> {
        let at = self.columns.iter().position(|column| column.field.as_deref() == Some(field));
        let text = at.and_then(|at| record.cells.get(at)).map_or("", String::as_str);
        Printed { field, text, line: record.line }
    }

    /// What the title of a field's column says in brackets.
    pub fn unit(&self, field: &str) -> Option<&str> {
        self.columns.iter().find(|column| column.field.as_deref() == Some(field))?.unit.as_deref()
    }

    /// The unit of size in the title of a field's column.
    pub fn size_unit(&self, field: &str) -> Option<Unit> {
        self.unit(field).and_then(|word| Unit::read(word).ok())
    }
}

impl Column {
    fn of(title: String, line: u64, names: &Names) -> Self {
        let bracketed = title.strip_suffix([')', '）']).and_then(|title| title.rsplit_once(['(', '（']));
        let field = names.find(&title).or_else(|| names.find(bracketed?.0)).map(str::to_owned);
        let unit = bracketed.map(|(_, unit)| unit.trim().to_owned());
        Self { field, title, unit, line }
    }
}

/// The titles and where they stand, with the rest of a title line that was broken in two: only if the profile then
/// knows the titles of the second half, the first of which may be the end of the last one before.
fn titles<'a, 'l>(
    first: &Line<'a>,
    rest: &'l [Line<'a>],
    names: &Names,
) -> (Vec<String>, Vec<Cell<'a>>, &'l [Line<'a>]) {
    let mut cells = first.cells();
    let mut titles: Vec<String> = cells.iter().map(|cell| cell.text.to_owned()).collect();
    let broken = rest.split_first().filter(|(next, _)| first.may_continue_in(next, lines::TABLE_GAP));
    let Some((next, after)) = broken else { return (titles, cells, rest) };
    let is_known = |title: &str| Column::of(title.to_owned(), 0, names).field.is_some();
    let mut more = next.cells();
    let joined = titles.last().zip(more.first()).map(|(last, first)| format!("{last} {}", first.text));
    if let Some(joined) = joined.filter(|joined| is_known(joined)) {
        titles.pop();
        titles.push(joined);
        more.remove(0);
    }
    if !more.iter().all(|cell| is_known(cell.text)) {
        return (first.cells().iter().map(|cell| cell.text.to_owned()).collect(), cells, rest);
    }
    titles.extend(more.iter().map(|cell| cell.text.to_owned()));
    cells.extend(more);
    // Positions in a broken line tell nothing, so every record must have all its cells.
    let unplaced = |cell: Cell<'a>| Cell { start: 0, end: 0, ..cell };
    (titles, cells.into_iter().map(unplaced).collect(), after)
}

/// A record's text and how many of the following lines it took: those that only together with it have a cell for each
/// title.
fn unwrapped<'a>(line: &Line<'a>, after: &[Line<'a>], columns: usize) -> (Cow<'a, str>, usize) {
    if let Some(next) = after.first().filter(|next| line.may_continue_in(next, lines::TABLE_GAP)) {
        let (cells, more) = (line.cells().len(), next.cells().len());
        if more < columns && cells + more == columns {
            return (format!("{}  {}", line.text, next.text.trim_start()).into(), 1);
        }
        if more < columns && cells + more == columns + 1 {
            return (format!("{} {}", line.text, next.text.trim_start()).into(), 1);
        }
    }
    (line.text.into(), 0)
}
