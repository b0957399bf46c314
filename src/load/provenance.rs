//! The provenance columns, which come first in every declared table.

use module_api::{ColumnKind, PROVENANCE};

/// One column of a stored table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name; safe in SQL between quotes.
    pub name: String,
    /// Type of its values.
    pub kind: ColumnKind,
    /// Whether null is allowed.
    pub nullable: bool,
}

impl Field {
    pub(super) fn new(name: &str, kind: ColumnKind, nullable: bool) -> Self {
        Self { name: name.to_owned(), kind, nullable }
    }
}

/// Position of `customer` among the fields of every table.
pub const CUSTOMER: usize = 0;
/// Position of `grp`.
pub const GROUP: usize = 3;
/// Position of `received_at`.
pub const RECEIVED_AT: usize = 8;
/// Position of `report_at`.
pub const REPORT_AT: usize = 9;
/// Position of `parser_version`.
pub const PARSER_VERSION: usize = 12;
/// Position of `row_hash`.
pub const ROW_HASH: usize = 14;
/// Position of `load_id`.
pub const LOAD_ID: usize = 15;

/// The provenance columns; `report_at` may be null unless it is part of the key.
pub(super) fn fields(keyed_by_report_at: bool) -> Vec<Field> {
    let field = |&name: &&str| {
        let kind = match name {
            "delivery_id" => ColumnKind::Uuid,
            "source_sha256" | "row_hash" => ColumnKind::Bytes,
            "source_line" | "load_id" => ColumnKind::Int,
            "received_at" | "report_at" => ColumnKind::Time,
            "report_tz_assumed" => ColumnKind::Bool,
            _ => ColumnKind::Text,
        };
        let nullable =
            matches!(name, "source_line" | "profile") || (name == "report_at" && !keyed_by_report_at);
        Field::new(name, kind, nullable)
    };
    PROVENANCE.iter().map(field).collect()
}

/// What a provenance column says.
pub(super) fn meaning(name: &str) -> &'static str {
    match name {
        "customer" => "customer of the delivery that the row was read from",
        "category" => "category of the delivery",
        "type" => "type of the delivery",
        "grp" => "group of the delivery",
        "delivery_id" => "the delivery",
        "source_sha256" => "SHA-256 of the part that the row was read from, after decoding and decompression",
        "source_path" => "path of that part inside the delivery; what follows !/ is a member of an archive",
        "source_line" => "line of that part, from 1; null where the format has no lines",
        "received_at" => "when the delivery arrived",
        "report_at" => "time that the source itself gives",
        "report_tz_assumed" => "whether report_at had no time zone and one was assumed",
        "parser" => "the module that read the row, family/type",
        "parser_version" => "version of that module",
        "profile" => "profile that shaped the row; null without one",
        "row_hash" => "SHA-256 over key and declared columns: rows with the same values have the same",
        "load_id" => "the load that brought the row",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_those_of_the_published_list() {
        let named = [
            (CUSTOMER, "customer"),
            (RECEIVED_AT, "received_at"),
            (REPORT_AT, "report_at"),
            (PARSER_VERSION, "parser_version"),
            (ROW_HASH, "row_hash"),
            (LOAD_ID, "load_id"),
        ];
        for (position, name) in named {
            assert_eq!(PROVENANCE[position], name);
        }
    }
}
