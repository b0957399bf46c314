//! The parts of `serve`.

use schemars::JsonSchema;
use serde::Deserialize;

/// One part of `serve` that may run in a process of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Every HTTP door.
    Http,
    /// LMTP and this host's spool.
    Mail,
    /// Runs jobs.
    Worker,
    /// Copies the log to Kafka.
    Relay,
    /// Periodic duties.
    Keeper,
}

impl Role {
    /// The word in the configuration and on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Mail => "mail",
            Self::Worker => "worker",
            Self::Relay => "relay",
            Self::Keeper => "keeper",
        }
    }
}
