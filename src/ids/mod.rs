//! The basic types: ids, instants, digests, coordinates, job kinds, queue and volume names, roles, permissions and scopes.

mod coordinates;
mod hex;
mod kind;
mod queue;
mod role;
mod scope;
mod time;
mod volume;

pub use coordinates::{Coordinates, Slug};
pub use hex::{from_hex, hex};
pub use kind::{Exhausted, Home, Kind, KindFacts, StoredKind};
pub use queue::QueueName;
pub use role::Role;
pub use scope::{Grant, Scope};
pub use time::{Timestamp, micros};
pub use volume::VolumeName;

use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// What an id is made of, and how it is read.
trait IdValue: Sized {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

impl IdValue for i64 {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }
}

impl IdValue for uuid::Uuid {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return Self::deserialize(deserializer);
        }
        let wrong = |_| serde::de::Error::custom("is not an id such as 0198c0de-0000-7000-8000-000000000001");
        String::deserialize(deserializer)?.parse().map_err(wrong)
    }
}

/// Declares an id newtype over `Uuid` or `i64`, with the same form in the stores, in JSON and on the command line.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
        )]
        #[sqlx(transparent)]
        #[serde(transparent)]
        pub struct $name(#[serde(deserialize_with = "IdValue::read")] pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = <$inner as std::str::FromStr>::Err;
            fn from_str(s: &str) -> Result<Self, Self::Err> {
                s.parse().map($name)
            }
        }
    };
}

id! {
    /// Public id of one accepted thing: a UUIDv8 of its ingest key and fingerprint, so the same thing has the same id.
    ReceiptId(uuid::Uuid)
}
id! {
    /// One delivery: bytes with coordinates. UUIDv7, made at accept.
    DeliveryId(uuid::Uuid)
}
id! {
    /// One job; never reused.
    JobId(i64)
}
id! {
    /// The right of one run to finish its job, new for each claim. Every write of a run carries it.
    LeaseToken(uuid::Uuid)
}
id! {
    /// The rows of one job.
    LoadId(i64)
}
id! {
    /// One process start: the identity of a worker.
    BootId(uuid::Uuid)
}
id! {
    /// One spool directory, from its `id` file.
    SpoolId(uuid::Uuid)
}

impl DeliveryId {
    /// A fresh id; ids made later sort later.
    #[must_use]
    pub fn fresh() -> Self {
        Self(uuid::Uuid::now_v7())
    }
}

impl LeaseToken {
    /// A fresh token.
    #[must_use]
    pub fn fresh() -> Self {
        Self(uuid::Uuid::new_v4())
    }
}

impl BootId {
    /// A fresh id.
    #[must_use]
    pub fn fresh() -> Self {
        Self(uuid::Uuid::now_v7())
    }
}

/// A SHA-256, the only digest in use.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// From its stored form; `None` unless `bytes` are 32.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl std::str::FromStr for Digest {
    type Err = String;

    /// Reads what `Display` writes.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = from_hex(text).and_then(|bytes| Self::from_slice(&bytes));
        bytes.ok_or_else(|| format!("{text:?} is not 64 hexadecimal digits"))
    }
}

/// In JSON: 64 hexadecimal digits in lower case.
impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
