//! The kinds of jobs: one table, read by configuration, job core and features.

use super::Role;
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// Where jobs of a kind can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// In any process that has the role.
    Anywhere,
    /// Only in the process that holds the spool their queue names.
    Spool,
}

/// What happens to a job whose last allowed attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exhausted {
    /// It ends as failed.
    Fail,
    /// It is held for an operator.
    Hold,
}

/// What is fixed for one kind of job.
#[derive(Debug, Clone, Copy)]
pub struct KindFacts {
    /// The number in the store; it never changes its meaning.
    pub number: i16,
    /// The word in queue names, JSON and on the command line.
    pub word: &'static str,
    /// The role of `serve` that runs it.
    pub role: Role,
    /// Where it can run.
    pub home: Home,
    /// What happens when its attempts are used up.
    pub exhausted: Exhausted,
    /// It decides the coordinates of its delivery: releasing a held job sorts the delivery again.
    pub sorts: bool,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $facts:expr;)*) => {
        /// What a job does.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Kind { $($(#[$doc])* $kind,)* }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// What is fixed for it.
            #[must_use]
            pub const fn facts(self) -> KindFacts {
                match self { $(Self::$kind => $facts,)* }
            }
        }
    };
}

kinds! {
    /// Splits a mail, decides its coordinates, makes its tree.
    Sort = KindFacts {
        number: 1, word: "sort", role: Role::Mail, home: Home::Spool, exhausted: Exhausted::Hold, sorts: true,
    };
    /// Hands the parts to a module and loads the rows it returns.
    Parse = KindFacts {
        number: 2, word: "parse", role: Role::Worker, home: Home::Anywhere, exhausted: Exhausted::Fail, sorts: false,
    };
    /// Appends a record that Kafka refused to the log again. It is held until an operator releases it.
    Relay = KindFacts {
        number: 3, word: "relay", role: Role::Relay, home: Home::Anywhere, exhausted: Exhausted::Hold, sorts: false,
    };
}

impl Kind {
    /// The number in the store.
    #[must_use]
    pub const fn code(self) -> i16 {
        self.facts().number
    }

    /// The word in queue names, JSON and on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        self.facts().word
    }

    /// The kind of a number; `None` if this version does not know it.
    #[must_use]
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.code() == code)
    }
}

impl std::str::FromStr for Kind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let known = || Self::ALL.iter().map(|kind| kind.word()).collect::<Vec<_>>().join(", ");
        let found = Self::ALL.iter().copied().find(|kind| kind.word() == word);
        found.ok_or_else(|| format!("{word:?} is not a kind of job; the kinds are {}", known()))
    }
}

/// The kind of a stored job. A newer version may have inserted one that this version does not know; it is listed by its
/// number and left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredKind {
    /// One of ours.
    Known(Kind),
    /// The number of one that this version does not know.
    Unknown(i16),
}

impl StoredKind {
    /// The kind; `None` if this version does not know it.
    #[must_use]
    pub const fn known(self) -> Option<Kind> {
        match self {
            Self::Known(kind) => Some(kind),
            Self::Unknown(_) => None,
        }
    }
}

impl From<i16> for StoredKind {
    fn from(code: i16) -> Self {
        Kind::from_code(code).map_or(Self::Unknown(code), Self::Known)
    }
}

impl fmt::Display for StoredKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(kind) => f.write_str(kind.word()),
            Self::Unknown(code) => code.fmt(f),
        }
    }
}

impl Serialize for StoredKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl utoipa::PartialSchema for StoredKind {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        let words = Kind::ALL.iter().map(|kind| kind.word()).collect::<Vec<_>>().join("|");
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::Type::String)
            .description(Some("The kind of a job; a number if this version does not know it."))
            .pattern(Some(format!("^({words}|-?[0-9]+)$")))
            .examples(Kind::ALL.iter().map(|kind| kind.word()).chain(["17"]))
            .into()
    }
}

impl utoipa::ToSchema for StoredKind {
    fn name() -> std::borrow::Cow<'static, str> {
        "JobKind".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_kind_has_a_number_and_a_word_of_its_own() {
        for &kind in Kind::ALL {
            assert_eq!(StoredKind::from(kind.code()).known(), Some(kind));
            assert_eq!(kind.word().parse(), Ok(kind));
            assert_eq!(serde_json::json!(kind), kind.word());
        }
        let numbers: BTreeSet<i16> = Kind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(numbers.len(), Kind::ALL.len());
    }

    #[test]
    fn a_kind_this_version_does_not_know_is_shown_by_its_number() {
        assert_eq!(serde_json::json!(StoredKind::from(17)), "17");
        let refused = "judge".parse::<Kind>().unwrap_err();
        assert!(
            refused.starts_with("\"judge\" is not a kind of job; the kinds are sort, parse, relay"),
            "{refused}"
        );
    }
}
