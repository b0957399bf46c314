//! Cursors: the end of a page, as opaque text.

use crate::ids::{from_hex, hex};
use crate::load::value::{from_json, to_json};
use module_api::{ColumnKind, Value};

/// A cursor from the values of the sort columns in the last row. `mark` names table and order.
pub(super) fn write(mark: &str, place: &[&Value]) -> String {
    let values: Vec<serde_json::Value> =
        std::iter::once(mark.into()).chain(place.iter().map(|v| to_json(v))).collect();
    hex(serde_json::Value::Array(values).to_string().as_bytes())
}

/// The values in a cursor; `None` unless it was written with the same mark and kinds.
pub(super) fn read(mark: &str, kinds: &[&ColumnKind], text: &str) -> Option<Vec<Value>> {
    let values: Vec<serde_json::Value> = serde_json::from_slice(&from_hex(text)?).ok()?;
    let (first, place) = values.split_first()?;
    if first != mark || place.len() != kinds.len() {
        return None;
    }
    kinds.iter().zip(place).map(|(kind, json)| from_json(kind, json)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_written_for_the_same_question_reads_back() {
        let (kinds, place) = ([&ColumnKind::Int, &ColumnKind::Text], [&Value::Null, &Value::from("a")]);
        let cursor = write("node load asc", &place);
        assert_eq!(read("node load asc", &kinds, &cursor), Some(vec![Value::Null, "a".into()]));
        assert_eq!(read("node load desc", &kinds, &cursor), None);
        assert_eq!(read("node load asc", &kinds[..1], &cursor), None);
        for broken in ["", "zz", "5", &cursor[2..]] {
            assert_eq!(read("node load asc", &kinds, broken), None);
        }
    }
}
