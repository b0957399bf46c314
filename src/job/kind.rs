//! What a job does, and how soon.

use serde::{Deserialize, Serialize};

/// What must be done. The number is what the store holds and never changes its meaning.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[schema(as = JobKind)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Split a mail, decide its coordinates, make its tree.
    Sort,
    /// Hand the parts to a module and load what it says.
    Parse,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Sort, Self::Parse];

    /// The number in the store.
    #[must_use]
    pub const fn code(self) -> i16 {
        match self {
            Self::Sort => 1,
            Self::Parse => 2,
        }
    }

    /// The kind of a number; `None` for one this program does not know.
    #[must_use]
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// The word in queue names, JSON and on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sort => "sort",
            Self::Parse => "parse",
        }
    }
}

/// How soon a job is claimed among those of its queue. None starves: see [`super::priority`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// An operator waits for it.
    Urgent,
    /// What just arrived.
    #[default]
    Normal,
    /// Replays.
    Low,
    /// When there is nothing else.
    Idle,
}

impl Priority {
    /// Every priority, soonest first.
    pub const ALL: [Self; 4] = [Self::Urgent, Self::Normal, Self::Low, Self::Idle];

    /// The number in the store, 0 to 3.
    #[must_use]
    pub const fn code(self) -> i16 {
        self as i16
    }
}
