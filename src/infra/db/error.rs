//! What can go wrong with a store, as kinds that callers branch on.

use std::fmt;

/// A failed operation: its kind, and the source for the log.
#[derive(Debug)]
pub struct DbError {
    kind: DbErrorKind,
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// What a caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DbErrorKind {
    /// The store cannot be reached, is busy beyond its bound, or its disk is full. Try again later.
    Unavailable,
    /// The store failed during the commit, which may or may not have happened. Try again later, under a key or token that makes
    /// the repetition harmless.
    Undecided,
    /// A conflict between transactions, or a timeout: the transaction was rolled back. Try again at once.
    Contention,
    /// A value cannot be stored (NUL, overflow, a violated constraint). Trying again does not help.
    Content,
    /// A unique key is taken.
    Conflict,
    /// A partitioned table has no partition for the row's day. Create it and try again.
    MissingPartition,
    /// Stored data cannot be read as expected, or the schema is not this program's.
    Corrupt,
}

impl DbError {
    /// An error of a kind, from its cause or a message.
    pub fn new(kind: DbErrorKind, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { kind, source: source.into() }
    }

    /// The store cannot be used at the moment.
    pub fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(DbErrorKind::Unavailable, source)
    }

    /// Stored data or the schema is not as expected.
    pub fn corrupt(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(DbErrorKind::Corrupt, source)
    }

    /// What a caller can do about it.
    #[must_use]
    pub const fn kind(&self) -> DbErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        self.is_outage() || matches!(self.kind, DbErrorKind::Contention | DbErrorKind::MissingPartition)
    }

    /// Whether the store as a whole fails: `/readyz` says so, and the log says it once.
    #[must_use]
    pub const fn is_outage(&self) -> bool {
        matches!(self.kind, DbErrorKind::Unavailable | DbErrorKind::Undecided)
    }

    /// The same failure, met while committing: an unavailable store has not said what became of the commit.
    #[must_use]
    pub(super) fn while_committing(mut self) -> Self {
        if self.kind == DbErrorKind::Unavailable {
            self.kind = DbErrorKind::Undecided;
        }
        self
    }
}

impl fmt::Display for DbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            DbErrorKind::Unavailable => "store is unavailable",
            DbErrorKind::Undecided => "store failed during a commit",
            DbErrorKind::Contention => "store is contended",
            DbErrorKind::Content => "store refused a value",
            DbErrorKind::Conflict => "key is taken",
            DbErrorKind::MissingPartition => "partition is missing",
            DbErrorKind::Corrupt => "store is not as expected",
        };
        write!(f, "{what}: {}", self.source)
    }
}

impl std::error::Error for DbError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        let kind = match &error {
            sqlx::Error::Database(database) => kind_of(&**database),
            sqlx::Error::Decode(_)
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::TypeNotFound { .. }
            | sqlx::Error::RowNotFound => DbErrorKind::Corrupt,
            sqlx::Error::Encode(_) | sqlx::Error::InvalidArgument(_) => DbErrorKind::Content,
            _ => DbErrorKind::Unavailable,
        };
        Self::new(kind, error)
    }
}

impl From<sqlx::migrate::MigrateError> for DbError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            sqlx::migrate::MigrateError::Execute(error) => error.into(),
            other => Self::new(DbErrorKind::Corrupt, other),
        }
    }
}

/// SQLSTATE classes of Postgres; primary result codes of SQLite (low byte of the extended code).
fn kind_of(error: &dyn sqlx::error::DatabaseError) -> DbErrorKind {
    if error.is_unique_violation() {
        return DbErrorKind::Conflict;
    }
    let code = error.code().unwrap_or_default();
    if error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
        return match code.as_ref() {
            // serialization, deadlock, lock_timeout, statement_timeout: rolled back, and worth another try
            "40001" | "40P01" | "55P03" | "57014" => DbErrorKind::Contention,
            // A violated CHECK has a name; a row without a partition has none, and its message is translated.
            "23514" if error.constraint().is_none() => DbErrorKind::MissingPartition,
            // connection, resources, operator intervention (shutdown), system errors, read only
            c if ["08", "53", "57", "58", "25"].iter().any(|class| c.starts_with(class)) => {
                DbErrorKind::Unavailable
            }
            // wrong data, broken constraints, a key too long for its index
            c if ["22", "23", "54"].iter().any(|class| c.starts_with(class)) => DbErrorKind::Content,
            _ => DbErrorKind::Corrupt,
        };
    }
    match code.parse::<i32>().map(|c| c & 0xFF) {
        Ok(5 | 6) => DbErrorKind::Contention,
        Ok(18..=20 | 25) => DbErrorKind::Content,
        Ok(11 | 26 | 1) => DbErrorKind::Corrupt,
        _ => DbErrorKind::Unavailable,
    }
}
