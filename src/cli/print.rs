//! Data on standard output, as a table for people or as JSON lines for programs.
//!
//! All text from outside (subjects, addresses, errors) is escaped here, in cells and in JSON alike.

use super::{Exit, Failure};
use crate::infra::telemetry::terminal::{escape, json_string};
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use serde_json::Value;
use std::io::{self, ErrorKind, IsTerminal, Write};

/// A column: its heading, and the JSON pointer of its value in an object.
pub type Column = (&'static str, &'static str);

/// Writes to standard output.
///
/// # Errors
/// When it cannot be written. If its reader has gone away, the failure ends the command silently and with success.
pub fn out(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::new(Exit::Done, ""),
        _ => Failure::new(Exit::Failed, format!("standard output: {error}")),
    })
}

/// Prints objects: one per line with `json`, otherwise as a table.
pub fn list<C: AsRef<str>>(json: bool, columns: &[(C, C)], items: &[Value]) -> Result<(), Failure> {
    if json {
        return out(&items.iter().map(json_line).collect::<String>());
    }
    out(&table(columns, items))
}

/// Prints one object: as one line with `json`, otherwise one field per line, without fields that are null or lists.
pub fn one(json: bool, object: &Value) -> Result<(), Failure> {
    if json { out(&json_line(object)) } else { out(&fields(object)) }
}

/// Prints a part of a larger result under a heading, or nothing if it is empty.
pub fn section(name: &str, columns: &[Column], items: &Value) -> Result<(), Failure> {
    match items.as_array() {
        Some(items) if !items.is_empty() => out(&format!("\n{name}\n{}", table(columns, items))),
        _ => Ok(()),
    }
}

/// The object as one line of JSON that is safe on a terminal.
pub fn json_line(object: &Value) -> String {
    let mut line = Vec::new();
    let mut writer = serde_json::Serializer::with_formatter(&mut line, Safe);
    object.serialize(&mut writer).expect("JSON values are always writable to memory");
    line.push(b'\n');
    String::from_utf8_lossy(&line).into_owned()
}

/// Objects as a table, with a border on a terminal; an empty list prints the heading only.
pub fn table<C: AsRef<str>>(columns: &[(C, C)], items: &[Value]) -> String {
    let mut table = filled(columns, items);
    table
        .set_header(columns.iter().map(|(heading, _)| escape(&heading.as_ref().to_uppercase()).into_owned()));
    lines(&table)
}

/// As [`list`], for the next lines of an output that goes on: as a table, it has no heading.
pub fn more(json: bool, columns: &[Column], items: &[Value]) -> Result<(), Failure> {
    if json { list(true, columns, items) } else { out(&lines(&filled(columns, items))) }
}

fn filled<C: AsRef<str>>(columns: &[(C, C)], items: &[Value]) -> Table {
    let mut table = blank();
    for item in items {
        table.add_row(columns.iter().map(|(_, pointer)| cell(pointer.as_ref(), item)));
    }
    table
}

fn fields(object: &Value) -> String {
    let mut table = blank();
    for (name, value) in object.as_object().into_iter().flatten() {
        if !value.is_null() && !value.is_array() && name != "links" {
            table.add_row([escape(name).into_owned(), cell(&format!("/{name}"), object)]);
        }
    }
    lines(&table)
}

fn blank() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if io::stdout().is_terminal() {
        table.load_style(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
        if let Ok(size) = rustix::termios::tcgetwinsize(io::stdout()) {
            table.set_width(size.ws_col.max(40));
        }
    }
    table
}

fn lines(table: &Table) -> String {
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Times (fields `at` and `…_at`) are printed without their fraction, lists and objects as JSON.
fn cell(pointer: &str, item: &Value) -> String {
    let Some(value) = item.pointer(pointer) else { return String::new() };
    match value {
        Value::Null => String::new(),
        Value::String(text) if pointer == "/at" || pointer.ends_with("_at") => {
            escape(text.split('.').next().unwrap_or(text)).replace('T', " ").trim_end_matches('Z').to_owned()
        }
        Value::String(text) => escape(text).into_owned(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        Value::Array(_) | Value::Object(_) => json_line(value).trim_end().to_owned(),
    }
}

/// Writes characters that control a terminal as `\uXXXX`.
struct Safe;

impl serde_json::ser::Formatter for Safe {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut quoted = String::new();
        json_string(fragment, &mut quoted);
        writer.write_all(&quoted.as_bytes()[1..quoted.len() - 1])
    }
}

#[cfg(test)]
mod tests {
    use super::{json_line, table};
    use serde_json::{Value, json};

    #[test]
    fn text_from_outside_cannot_control_the_terminal() {
        let object = json!({"subject": "\u{1b}[2Jgone \u{9b}31m \u{202e}\" \\ \n", "at": "x"});
        let line = json_line(&object);
        assert!(!line.trim_end().chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), object);
        let shown = table(&[("subject", "/subject")], &[object]);
        assert!(shown.contains("\\u{1b}[2Jgone \\u{9b}31m \\u{202e}"), "{shown}");
    }

    #[test]
    fn a_table_has_a_heading_and_one_line_per_object() {
        let items =
            [json!({"id": 1, "created_at": "2026-11-21T13:00:00.123456Z"}), json!({"id": 20, "kind": null})];
        let shown = table(&[("id", "/id"), ("created", "/created_at"), ("kind", "/kind")], &items);
        let lines: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines, [vec!["ID", "CREATED", "KIND"], vec!["1", "2026-11-21", "13:00:00"], vec!["20"]]);
    }
}
