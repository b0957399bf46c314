//! Names of volumes.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Declares the names from one list: what each is called, and what the volume holds.
macro_rules! volume_names {
    ($($name:ident = $word:literal: $holds:literal,)+) => {
        /// The volumes that exist. A line in the list below and its section in `config.default.toml` add one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum VolumeName {
            $(#[doc = $holds] #[serde(rename = $word)] $name,)+
        }

        impl VolumeName {
            /// Every name.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The name, as configuration, store and messages write it.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }

            /// What the volume holds, in a sentence.
            #[must_use]
            pub const fn holds(self) -> &'static str {
                match self {
                    $(Self::$name => $holds,)+
                }
            }
        }
    };
}

volume_names! {
    Inbox = "inbox": "Deliveries split into parts, sealed.",
    Blobs = "blobs": "Files of many log entries, until those are pruned.",
    Archive = "archive": "Copies of originals, for rules with `archive = true`.",
}

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
