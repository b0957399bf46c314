//! Rows as CSV (RFC 4180): a header, CRLF, quotes where they are needed.
//!
//! A text that a spreadsheet would take for a formula gets an apostrophe in front, against CSV injection: texts come
//! from outside. Numbers do not need it, not even negative ones.

use super::declared::Declared;
use super::value::to_text;
use module_api::Value;

/// The header: all columns of the table.
#[must_use]
pub fn header(table: &Declared) -> String {
    line(table.fields.iter().map(|field| field.name.clone()))
}

/// One row. Null is an empty cell.
#[must_use]
pub fn record(row: &[Value]) -> String {
    line(row.iter().map(cell))
}

fn cell(value: &Value) -> String {
    let text = to_text(value);
    let from_outside = matches!(value, Value::Text(_) | Value::Json(_));
    let text = if from_outside && starts_formula(&text) { format!("'{text}") } else { text };
    if text.contains(['"', ',', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// Full-width forms count too: some spreadsheets fold them.
fn starts_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'])
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let mut line = cells.collect::<Vec<_>>().join(",");
    line.push_str("\r\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_formulas_defused() {
        let row = [
            Value::from("plain"),
            Value::from("a,\"b\"\r\n"),
            Value::from("=HYPERLINK(\"x\")"),
            Value::from("-1+1"),
            Value::Int(-1),
            Value::Null,
            Value::Json("[1,2]".into()),
        ];
        assert_eq!(
            record(&row),
            "plain,\"a,\"\"b\"\"\r\n\",\"'=HYPERLINK(\"\"x\"\")\",'-1+1,-1,,\"[1,2]\"\r\n"
        );
    }
}
