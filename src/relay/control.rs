//! The position of a topic as a record of the control topic.

use crate::ids::{Digest, Timestamp};
use crate::log::{Position, Stored};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use uuid::Uuid;

/// How far a topic is copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// All entries up to here are in Kafka.
    pub position: Position,
    /// Rows of the next entry that are there too, where it names a file of rows.
    pub row: u64,
    /// Rises when an operator resumes the topic.
    pub epoch: u32,
    /// The operator's wish that began the epoch.
    #[serde(default)]
    pub wish: Option<Uuid>,
    /// The entry at the position; `None` before the first one.
    pub entry: Option<Fingerprint>,
    /// Id of the Kafka cluster.
    pub cluster: String,
}

impl Mark {
    /// Before the first entry.
    #[must_use]
    pub fn none(cluster: &str) -> Self {
        let position = Position::START;
        Self { position, row: 0, epoch: 1, wish: None, entry: None, cluster: cluster.to_owned() }
    }
}

/// Tells an entry from every other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// When it was appended.
    pub at: Timestamp,
    /// Of its key, headers and body.
    pub sha256: Digest,
}

impl Fingerprint {
    /// That of an entry.
    #[must_use]
    pub fn of(entry: &Stored) -> Self {
        let mut hash = Sha256::new();
        let mut add = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        add(&[u8::from(entry.key.is_some())]);
        add(entry.key.as_deref().unwrap_or_default());
        for (name, value) in &entry.headers {
            add(name.as_bytes());
            add(value.as_bytes());
        }
        add(&entry.body);
        Self { at: entry.at, sha256: Digest(hash.finalize().into()) }
    }
}

/// A record of the control topic. Older fields are never given another meaning; a reader ignores what it does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// The store whose log it is.
    pub store: Uuid,
    /// The log topic.
    pub topic: String,
    /// How far it is copied.
    #[serde(flatten)]
    pub mark: Mark,
    /// Partitions of the Kafka topic when it was written: with another count, keys go elsewhere.
    pub partitions: BTreeMap<String, u32>,
}

/// A record of the control topic that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("control record {key:?}: {why}")]
pub struct BadControl {
    key: String,
    why: String,
}

impl Control {
    /// Key of its record: compaction keeps the last one of each.
    #[must_use]
    pub fn key(store: Uuid, topic: &str) -> String {
        format!("{store} {topic}")
    }

    /// Its record: key and payload.
    #[must_use]
    pub fn to_record(&self) -> (Vec<u8>, Vec<u8>) {
        let payload = serde_json::to_vec(self).expect("names and numbers");
        (Self::key(self.store, &self.topic).into_bytes(), payload)
    }

    /// The last record of each topic of `store`, from all records in their order.
    ///
    /// # Errors
    /// When one of this store cannot be read: only an operator can say how far that topic is.
    pub fn latest(
        store: Uuid,
        records: impl IntoIterator<Item = (Option<Vec<u8>>, Option<Vec<u8>>)>,
    ) -> Result<BTreeMap<String, Self>, BadControl> {
        let prefix = Self::key(store, "");
        let mut latest = BTreeMap::new();
        for (key, payload) in records {
            let key = String::from_utf8(key.unwrap_or_default()).unwrap_or_default();
            let Some(topic) = key.strip_prefix(&prefix) else { continue };
            match payload {
                None => latest.remove(topic),
                Some(payload) => {
                    let read = serde_json::from_slice(&payload);
                    let control = read.map_err(|e| BadControl { key: key.clone(), why: e.to_string() })?;
                    latest.insert(topic.to_owned(), control)
                }
            };
        }
        Ok(latest)
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.position)?;
        if self.row > 0 {
            write!(f, " row {}", self.row)?;
        }
        write!(f, ", epoch {}", self.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(topic: &str, epoch: u32) -> Control {
        let entry = Some(Fingerprint { at: Timestamp(7), sha256: Digest([9; 32]) });
        let position = "000000000000002a".parse().unwrap();
        Control {
            store: Uuid::from_u128(1),
            topic: topic.into(),
            mark: Mark { position, row: 3, epoch, wish: None, entry, cluster: "c".into() },
            partitions: BTreeMap::from([("t".into(), 4)]),
        }
    }

    fn kept(control: &Control) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
        let (key, payload) = control.to_record();
        (Some(key), Some(payload))
    }

    #[test]
    fn the_last_record_of_each_topic_of_this_store_counts() {
        let other = Control { store: Uuid::from_u128(2), ..control("a", 9) };
        let (gone, _) = control("gone", 1).to_record();
        let records = [
            kept(&control("a", 1)),
            kept(&control("gone", 1)),
            kept(&control("a", 2)),
            kept(&other),
            (Some(b"something else".to_vec()), Some(b"x".to_vec())),
            (Some(gone), None),
            (None, None),
        ];
        let latest = Control::latest(Uuid::from_u128(1), records).unwrap();
        assert_eq!(latest.into_values().collect::<Vec<_>>(), [control("a", 2)]);
    }

    #[test]
    fn a_record_of_this_store_that_cannot_be_read_is_an_error() {
        let (key, _) = control("a", 1).to_record();
        let bad = Control::latest(Uuid::from_u128(1), [(Some(key), Some(b"{}".to_vec()))]).unwrap_err();
        assert!(bad.to_string().starts_with("control record \"00000000-0000-0000-0000-000000000001 a\": "));
    }

    #[test]
    fn a_fingerprint_tells_entries_apart() {
        let entry = Stored {
            position: Position::START,
            at: Timestamp(1),
            key: Some(b"k".to_vec()),
            headers: BTreeMap::from([("a".into(), "b".into())]),
            body: b"body".to_vec(),
        };
        let one = Fingerprint::of(&entry);
        let others = [
            Stored { at: Timestamp(2), ..entry.clone() },
            Stored { key: None, ..entry.clone() },
            Stored { key: Some(b"ka".to_vec()), ..entry.clone() },
            Stored { headers: BTreeMap::new(), ..entry.clone() },
            Stored { body: b"bod".to_vec(), ..entry.clone() },
        ];
        for other in others {
            assert_ne!(one, Fingerprint::of(&other), "{other:?}");
        }
        assert_eq!(one, Fingerprint::of(&Stored { position: Position::START, ..entry }));
    }
}
