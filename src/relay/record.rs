//! An entry as a record of Kafka.

use crate::ids::Timestamp;
use crate::infra::kafka::Record;
use crate::log::Position;
use std::collections::BTreeMap;
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
    /// The row, from 0, where the entry names a file of them.
    pub row: Option<u64>,
}

impl fmt::Display for MessageId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store, epoch, topic, position, row } = self;
        write!(f, "{store}:{epoch}:{topic}:{position}")?;
        row.iter().try_for_each(|row| write!(f, ":{row}"))
    }
}

/// The one header that is not ours.
const CONTENT_TYPE: &str = "content-type";
const MICROS_PER_MILLI: i64 = 1_000;

/// Header of an entry that is a message sent before: its id. In Kafka every message has it, with a prefix.
pub const ID: &str = "id";
const SEQ: &str = "seq";
const ROW: &str = "row";
const PREFIX: &str = "headworks-";

/// The headers of a message: its id, the number of its entry and of its row, and what the entry says of itself. Per key, (entry, row)
/// rises.
#[must_use]
pub fn headers(id: &MessageId<'_>, entry: &BTreeMap<String, String>) -> Vec<(String, Vec<u8>)> {
    let given = entry.get(ID).cloned().unwrap_or_else(|| id.to_string());
    let ours = [
        (ID, Some(given)),
        (SEQ, Some(id.position.number().to_string())),
        (ROW, id.row.map(|row| row.to_string())),
    ];
    let ours = ours.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let theirs = entry.iter().filter(|(name, _)| name.as_str() != ID);
    ours.chain(theirs.map(|(name, value)| (name.as_str(), value.clone())))
        .map(|(name, value)| {
            let name = if name == CONTENT_TYPE { name.to_owned() } else { format!("{PREFIX}{name}") };
            (name, value.into_bytes())
        })
        .collect()
}

/// Id of a message.
#[must_use]
pub fn message_id(record: &Record) -> &str {
    let id = record.headers.iter().find(|(name, _)| name.strip_prefix(PREFIX) == Some(ID));
    id.and_then(|(_, value)| std::str::from_utf8(value).ok()).unwrap_or_default()
}

/// Row of a message, where its entry names a file.
#[must_use]
pub fn row(record: &Record) -> Option<u64> {
    let row = record.headers.iter().find(|(name, _)| name.strip_prefix(PREFIX) == Some(ROW));
    row.and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse().ok())
}

/// The headers that the entry of a message had.
#[must_use]
pub fn entry_headers(record: &Record) -> BTreeMap<String, String> {
    let headers = record.headers.iter().map(|(name, value)| {
        let name = name.strip_prefix(PREFIX).unwrap_or(name);
        (name.to_owned(), String::from_utf8_lossy(value).into_owned())
    });
    headers.filter(|(name, _)| ![ID, SEQ, ROW].contains(&name.as_str())).collect()
}

/// The copy of a refused record for the topic of dead letters: the same, with where it was to go and why it is not there.
#[must_use]
pub fn dead_letter(record: &Record, dead_letters: &str, why: &str) -> Record {
    let mut copy = Record { topic: dead_letters.to_owned(), partition: None, ..record.clone() };
    let added = [("refused-by", record.topic.as_str()), ("refused-because", why)];
    let added = added.map(|(name, value)| (format!("{PREFIX}{name}"), value.as_bytes().to_vec()));
    copy.headers.extend(added);
    copy
}

/// A time in milliseconds.
#[must_use]
pub const fn millis(at: Timestamp) -> i64 {
    at.0.div_euclid(MICROS_PER_MILLI)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_store_epoch_topic_entry_and_row() {
        let position = "00000000000000ff".parse().unwrap();
        let id = MessageId { store: Uuid::from_u128(1), epoch: 2, topic: "rows.t", position, row: None };
        assert_eq!(id.to_string(), "00000000-0000-0000-0000-000000000001:2:rows.t:00000000000000ff");
        let entry = [("op", "upsert"), ("content-type", "a/b")];
        let entry = entry.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let named = headers(&id, &entry);
        let names: Vec<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["headworks-id", "headworks-seq", "content-type", "headworks-op"]);
        assert_eq!((named[1].1.as_slice(), millis(Timestamp(1_999))), (&b"255"[..], 1));
        let id = MessageId { row: Some(3), ..id };
        assert!(id.to_string().ends_with(":00000000000000ff:3"));
        assert_eq!(headers(&id, &entry)[2], ("headworks-row".to_owned(), b"3".to_vec()));
    }
}
