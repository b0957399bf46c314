//! Declarations of modules: tables, columns and keys, used for DDL, API, schema and checks.

use serde::{Deserialize, Serialize};

/// Columns the framework adds in front of every declared table, filled from the delivery and the row's
/// [`Place`](crate::Place). A declared column may not take one of these names.
///
/// `report_at` may be named in a key; a row without it is then keyed by `received_at`.
pub const PROVENANCE: &[&str] = &[
    "customer",
    "category",
    "type",
    "grp",
    "delivery_id",
    "source_sha256",
    "source_path",
    "source_line",
    "received_at",
    "report_at",
    "report_tz_assumed",
    "parser",
    "parser_version",
    "profile",
    "row_hash",
    "load_id",
];

/// A module's name, version and tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declaration {
    /// `family/type`, for example `hydrastor/alert`: the category and type of the deliveries it reads.
    pub id: String,
    /// Semantic version of the parser; part of every row's provenance and of the order of versions.
    pub version: String,
    /// One sentence for `headworks modules list`.
    pub summary: String,
    /// The format is our assumption, not a published one; shown wherever the module is.
    pub assumed: bool,
    /// The tables it writes. [`Row::table`](crate::Row) is an index into this list.
    pub tables: Vec<Table>,
    /// Views over those tables.
    #[serde(default)]
    pub views: Vec<View>,
}

/// A view that shows the latest row of each group of rows of one table. `customer` always belongs to the group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// As of a table, and unique among tables and views.
    pub name: String,
    /// What one of its rows is, in a sentence.
    pub meaning: String,
    /// Name of the table it reads; the view has the same columns.
    pub table: String,
    /// Columns that, with `customer`, make a group.
    pub partition_by: Vec<String>,
    /// Columns, the last one in their order being the latest.
    pub order_by: Vec<String>,
}

/// One declared table. The natural key is `customer` followed by `key`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Singular, `[a-z][a-z0-9_]{0,54}`, unique among all modules.
    pub name: String,
    /// What one row is, in a sentence.
    pub meaning: String,
    /// Declared columns, in the order of [`Row::values`](crate::Row).
    pub columns: Vec<Column>,
    /// Names of key columns (declared ones, or `report_at`); never null.
    pub key: Vec<String>,
    /// Further columns that may be filtered on without a time range.
    pub indexed: Vec<String>,
    /// Whether each new or changed row is also a log entry (topic `rows.<name>`).
    pub published: bool,
    /// Column whose value is the key of the log entry, so that one object's history stays in order.
    pub log_key: Option<String>,
}

/// One declared column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// `[a-z][a-z0-9_]{0,54}`; sizes end in `_bytes`, durations in a unit.
    pub name: String,
    /// Type of its values.
    pub kind: ColumnKind,
    /// Unit as a word (`bytes`, `percent`, `celsius`), where it has one.
    pub unit: Option<String>,
    /// What it says, in a sentence.
    pub meaning: String,
    /// Whether null is allowed. Key columns never are.
    pub nullable: bool,
}

/// The types a column can have. Both stores sort and filter them alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// UTF-8 without U+0000, ordered by bytes.
    Text,
    /// 64-bit signed.
    Int,
    /// Fixed point with so many decimals, at most 6; stored exactly.
    Decimal(u8),
    /// True or false.
    Bool,
    /// An instant, microseconds, UTC.
    Time,
    /// Any bytes.
    Bytes,
    /// 128 bits.
    Uuid,
    /// A JSON document as text.
    Json,
    /// One of these words.
    Enum(Vec<String>),
}

impl Table {
    /// A table without columns; add them with [`key`](Self::key) and [`column`](Self::column).
    #[must_use]
    pub fn new(name: &str, meaning: &str) -> Self {
        Self {
            name: name.into(),
            meaning: meaning.into(),
            columns: Vec::new(),
            key: Vec::new(),
            indexed: Vec::new(),
            published: false,
            log_key: None,
        }
    }

    /// Adds a column that is part of the natural key, and so never null.
    #[must_use]
    pub fn key(mut self, name: &str, kind: ColumnKind, meaning: &str) -> Self {
        self.key.push(name.into());
        self.push(name, kind, meaning, false)
    }

    /// Makes the source's own time part of the natural key.
    #[must_use]
    pub fn key_report_at(mut self) -> Self {
        self.key.push("report_at".into());
        self
    }

    /// Adds a column that may be null.
    #[must_use]
    pub fn column(self, name: &str, kind: ColumnKind, meaning: &str) -> Self {
        self.push(name, kind, meaning, true)
    }

    /// Adds a column that is never null.
    #[must_use]
    pub fn required(self, name: &str, kind: ColumnKind, meaning: &str) -> Self {
        self.push(name, kind, meaning, false)
    }

    /// Gives the column added last a unit.
    #[must_use]
    pub fn unit(mut self, unit: &str) -> Self {
        if let Some(column) = self.columns.last_mut() {
            column.unit = Some(unit.into());
        }
        self
    }

    /// Makes a declared column cheap to filter on.
    #[must_use]
    pub fn index(mut self, column: &str) -> Self {
        self.indexed.push(column.into());
        self
    }

    /// Publishes each new or changed row, keyed by `log_key`.
    #[must_use]
    pub fn publish(mut self, log_key: &str) -> Self {
        self.published = true;
        self.log_key = Some(log_key.into());
        self
    }

    /// Position of a declared column in [`Row::values`](crate::Row).
    #[must_use]
    pub fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == column)
    }

    fn push(mut self, name: &str, kind: ColumnKind, meaning: &str, nullable: bool) -> Self {
        self.columns.push(Column { name: name.into(), kind, unit: None, meaning: meaning.into(), nullable });
        self
    }
}

impl ColumnKind {
    /// An enum column of these words.
    #[must_use]
    pub fn words(words: &[&str]) -> Self {
        Self::Enum(words.iter().map(|&w| w.to_owned()).collect())
    }
}
