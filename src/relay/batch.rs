//! What goes to Kafka at once.

use super::control::{Control, Fingerprint, Mark};
use super::record::{self, MessageId};
use super::view::View;
use crate::infra::kafka::Record;
use crate::log::{Position, Stored};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Most records of a batch, the positions not counted.
const RECORDS: usize = 1_000;
/// A batch is not made larger once it has so many bytes.
const BYTES: u64 = 4 << 20;
/// What a record takes in Kafka besides key, body and headers, at most.
const RECORD_BYTES: usize = 64;
const HEADER_BYTES: usize = 8;

/// Records, and where each topic is once they are in Kafka.
#[derive(Debug, Default)]
pub struct Batch {
    /// In the order of their entries.
    pub records: Vec<Record>,
    /// The log topic of each record, and its entry.
    pub of: Vec<(String, Position)>,
    /// Where each log topic is once the records are in Kafka.
    pub marks: BTreeMap<String, Mark>,
    bytes: u64,
}

/// The topic an entry is of.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The store.
    pub store: Uuid,
    /// The log topic.
    pub topic: &'a str,
    /// Its Kafka topic.
    pub kafka: &'a str,
    /// How far it is copied.
    pub mark: &'a Mark,
}

/// An entry as a record, and where its topic is behind it.
#[derive(Debug)]
pub struct Copied {
    record: Record,
    position: Position,
    entry: Fingerprint,
}

impl Source<'_> {
    /// An entry as a record.
    #[must_use]
    pub fn record(&self, entry: Stored) -> Copied {
        let Self { store, topic, kafka, mark } = *self;
        let id = MessageId { store, epoch: mark.epoch, topic, position: entry.position, row: 0 };
        Copied {
            position: entry.position,
            entry: Fingerprint::of(&entry),
            record: Record {
                topic: kafka.to_owned(),
                partition: None,
                headers: record::headers(&id, &entry),
                timestamp_millis: record::millis(&entry),
                // An empty key is none: such records are spread over the partitions.
                key: entry.key.filter(|key| !key.is_empty()),
                payload: Some(entry.body),
            },
        }
    }
}

impl Copied {
    /// What it takes in Kafka, before compression.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers = self.record.headers.iter().map(|(name, value)| name.len() + value.len() + HEADER_BYTES);
        (length(&self.record.key) + length(&self.record.payload) + RECORD_BYTES + headers.sum::<usize>())
            as u64
    }
}

impl Batch {
    /// Whether it is large enough.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.records.len() >= RECORDS || self.bytes >= BYTES
    }

    /// Adds a record of a topic. They come in the order of their entries.
    pub fn add(&mut self, source: Source<'_>, copied: Copied) {
        self.bytes += copied.bytes();
        let Copied { record, position, entry } = copied;
        let after = Mark { position, row: 0, entry: Some(entry), ..source.mark.clone() };
        self.marks.insert(source.topic.to_owned(), after);
        self.of.push((source.topic.to_owned(), position));
        self.records.push(record);
    }

    /// Records of the control topic that say where each topic is behind this batch. `kafka` names the Kafka topic of a log topic.
    pub fn positions<'b>(
        &'b self,
        store: Uuid,
        control_topic: &'b str,
        view: &'b View,
        kafka: impl Fn(&str) -> Option<&'b str>,
    ) -> impl Iterator<Item = Record> {
        self.marks.iter().map(move |(topic, mark)| {
            let partitions = kafka(topic).and_then(|name| Some((name.to_owned(), view.partitions(name)?)));
            let control = Control {
                store,
                topic: topic.clone(),
                mark: mark.clone(),
                partitions: partitions.into_iter().collect(),
            };
            let (key, payload) = control.to_record();
            Record {
                topic: control_topic.to_owned(),
                partition: Some(0),
                key: Some(key),
                payload: Some(payload),
                headers: Vec::new(),
                timestamp_millis: mark.entry.map_or(0, |entry| record::millis_of(entry.at)),
            }
        })
    }
}
