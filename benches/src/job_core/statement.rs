//! The statements of the job table, read from the source they stand in: the floor of a ratio is always the very same
//! text that the core runs, and a statement that is renamed fails the bench instead of measuring an old one.

use anyhow::Context;

const POSTGRES: &str = include_str!("../../../src/job/store/pg.rs");
const SQLITE: &str = include_str!("../../../src/job/store/lite.rs");

/// A statement for Postgres.
pub fn postgres(name: &str) -> anyhow::Result<&'static str> {
    constant(POSTGRES, name)
}

/// A statement for SQLite.
pub fn sqlite(name: &str) -> anyhow::Result<&'static str> {
    constant(SQLITE, name)
}

fn constant(source: &'static str, name: &str) -> anyhow::Result<&'static str> {
    let begin = format!("const {name}: &str = \"");
    let text = source.split_once(&begin).and_then(|(_, rest)| rest.split_once("\";"));
    text.map(|(text, _)| text).with_context(|| format!("src/job/store has no statement {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statements_are_where_they_are_looked_for() {
        for name in ["INSERT", "CLAIM", "END"] {
            assert!(postgres(name).is_ok_and(|text| text.contains("$1") && !text.contains('\\')), "{name}");
        }
        for name in ["INSERT", "CLAIM", "END_COPY", "END_REMOVE"] {
            assert!(sqlite(name).is_ok_and(|text| text.contains("$1") && !text.contains('\\')), "{name}");
        }
        assert!(postgres("NONE").is_err());
    }
}
