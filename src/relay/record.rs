//! An entry as a record of Kafka.

use crate::ids::Timestamp;
use crate::log::{Position, Stored};
use std::fmt;
use uuid::Uuid;

/// Names one message for ever: it never means two contents, and one content sent twice has it twice.
#[derive(Debug, Clone, Copy)]
pub struct MessageId<'a> {
    /// The store whose log it is from.
    pub store: Uuid,
    /// Rises when an operator resumes the topic after a restore.
    pub epoch: u32,
    /// The log topic.
    pub topic: &'a str,
    /// The entry.
    pub position: Position,
    /// The row, where the entry names a file of them; 0 otherwise.
    pub row: u64,
}

impl fmt::Display for MessageId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store, epoch, topic, position, row } = self;
        write!(f, "{store}:{epoch}:{topic}:{position}:{row}")
    }
}

/// Milliseconds of a timestamp, which is in microseconds.
const MICROS_PER_MILLI: i64 = 1_000;

/// The headers of a message: its id, the number of its entry, and what the entry says of itself.
#[must_use]
pub fn headers(id: &MessageId<'_>, entry: &Stored) -> Vec<(String, Vec<u8>)> {
    let ours = [("id".to_owned(), id.to_string()), ("seq".to_owned(), id.position.number().to_string())];
    let theirs = entry.headers.iter().map(|(name, value)| (name.clone(), value.clone()));
    let named = ours.into_iter().chain(theirs);
    named
        .map(|(name, value)| {
            let name = if name == "content-type" { name } else { format!("headworks-{name}") };
            (name, value.into_bytes())
        })
        .collect()
}

/// When the entry was appended, in milliseconds.
#[must_use]
pub const fn millis(entry: &Stored) -> i64 {
    millis_of(entry.at)
}

/// A time in milliseconds.
#[must_use]
pub const fn millis_of(at: Timestamp) -> i64 {
    at.0.div_euclid(MICROS_PER_MILLI)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn an_id_names_store_epoch_topic_entry_and_row() {
        let position = "00000000000000ff".parse().unwrap();
        let id = MessageId { store: Uuid::from_u128(1), epoch: 2, topic: "rows.t", position, row: 3 };
        assert_eq!(id.to_string(), "00000000-0000-0000-0000-000000000001:2:rows.t:00000000000000ff:3");
        let entry = Stored {
            position,
            at: Timestamp(1_999),
            key: None,
            headers: BTreeMap::from([("op".into(), "upsert".into()), ("content-type".into(), "a/b".into())]),
            body: Vec::new(),
        };
        let headers = headers(&id, &entry);
        let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["headworks-id", "headworks-seq", "content-type", "headworks-op"]);
        assert_eq!((headers[1].1.as_slice(), millis(&entry)), (&b"255"[..], 1));
    }
}
