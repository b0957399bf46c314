//! Permissions and scopes. Every read of a store takes a [`Scope`] as its first argument.

use crate::ids::Slug;
use serde::{Deserialize, Serialize};

/// One permission of a key.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// Submit deliveries.
    Ingest,
    /// Read jobs, receipts, rows and envelopes.
    Read,
    /// Download deliveries and parts.
    Content,
    /// Retry, cancel, release, assign, discard, pause.
    Operate,
    /// Everything, keys included.
    Admin,
}

/// What a caller may see: everything, or what belongs to one customer.
///
/// In a customer's scope, anything of another customer, of none, or of the whole installation does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everything: headworks itself and its operators.
    All,
    /// Only what belongs to one customer.
    Customer(Slug),
}

impl Scope {
    /// The customer to filter by; `None` means no filter.
    #[must_use]
    pub fn customer(&self) -> Option<&str> {
        match self {
            Self::All => None,
            Self::Customer(slug) => Some(slug.as_str()),
        }
    }
}

/// In JSON: the customer, or null for everything.
impl Serialize for Scope {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.customer().serialize(serializer)
    }
}

impl Grant {
    /// Every permission, weakest first.
    pub const ALL: [Self; 5] = [Self::Ingest, Self::Read, Self::Content, Self::Operate, Self::Admin];

    /// The word used in configuration, on the command line and in the store.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Content => "content",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

impl std::str::FromStr for Grant {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|g| g.word() == word)
            .ok_or_else(|| format!("{word:?} is not one of ingest, read, content, operate, admin"))
    }
}
